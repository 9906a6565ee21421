//! Components of a message: checks the types, action rows and buttons, and numbers them.
//!
//! It looks no deeper than a sender's usual mistakes: selects, sections and containers are taken
//! as they come. See <https://discord.com/developers/docs/components/reference>.

use serde_json::{Map, Value, json};

use super::super::error::FormErrors;
use super::super::form::Field;

/// Most components in a message.
const MAX_COMPONENTS: usize = 40;
/// Most action rows in a message that is not made of components alone.
const MAX_ROWS: usize = 5;
/// Most buttons in an action row.
const MAX_BUTTONS: usize = 5;
/// Longest id of a component, in characters.
const MAX_CUSTOM_ID: usize = 100;
/// Longest label of a button, in characters.
const MAX_LABEL: usize = 80;

/// The types at the top of a message, and at the top of one made of components alone.
const ROWS: [i64; 1] = [ACTION_ROW];
const TOPS: [i64; 7] = [ACTION_ROW, 9, 10, 12, 13, 14, 17];
/// The types in an action row: a button, or one of the selects.
const IN_ROW: [i64; 6] = [BUTTON, 3, 5, 6, 7, 8];
/// An action row, a button, and the button's styles that need something of their own.
const ACTION_ROW: i64 = 1;
const BUTTON: i64 = 2;
const LINK: i64 = 5;
const PREMIUM: i64 = 6;

/// Reads the field `components`, and numbers those that have no id, as Discord does.
pub(super) fn read(field: &Field<'_>, is_v2: bool, errors: &mut FormErrors) -> Vec<Value> {
    let mut reader = Reader {
        custom_ids: Vec::new(),
        errors,
    };
    let max = if is_v2 { MAX_COMPONENTS } else { MAX_ROWS };
    let types = if is_v2 { &TOPS[..] } else { &ROWS };
    let mut last = 0;
    let mut components = Vec::new();
    for item in field.items(max, reader.errors) {
        let kind = reader.kind(&item, types);
        if kind == Some(ACTION_ROW) {
            reader.row(&item);
        }
        if let Some(Value::Object(component)) = item.value() {
            let mut component = component.clone();
            number(&mut component, &mut last);
            components.push(Value::Object(component));
        }
    }
    components
}

/// Reads components, and remembers the ids that must not come twice.
struct Reader<'a> {
    custom_ids: Vec<String>,
    errors: &'a mut FormErrors,
}

impl Reader<'_> {
    fn kind(&mut self, field: &Field<'_>, types: &[i64]) -> Option<i64> {
        if !field.is_object(self.errors) {
            return None;
        }
        let kind = field.key("type");
        kind.require(self.errors);
        let number = kind.integer(i64::MIN..=i64::MAX, self.errors)?;
        if types.contains(&number) {
            return Some(number);
        }
        let message = format!("Value of field \"type\" must be one of {}.", listed(types));
        kind.refuse("UNION_TYPE_CHOICES", &message, self.errors);
        None
    }

    fn row(&mut self, field: &Field<'_>) {
        let children = field.key("components");
        let count = children.value().and_then(Value::as_array).map(Vec::len);
        if count.is_some_and(|count| !(1..=MAX_BUTTONS).contains(&count)) {
            let message = format!("Must be between 1 and {MAX_BUTTONS} in length.");
            children.refuse("BASE_TYPE_BAD_LENGTH", &message, self.errors);
            return;
        }
        children.require(self.errors);
        for child in children.items(MAX_BUTTONS, self.errors) {
            match self.kind(&child, &IN_ROW) {
                Some(BUTTON) => self.button(&child),
                Some(_) => self.custom_id(&child),
                None => (),
            }
        }
    }

    fn button(&mut self, field: &Field<'_>) {
        let style = field.key("style");
        style.require(self.errors);
        let Some(number) = style.integer(i64::MIN..=i64::MAX, self.errors) else {
            return;
        };
        match number {
            1..LINK => self.custom_id(field),
            LINK => {
                field.key("url").require(self.errors);
                let schemes = ["http", "https", "discord"];
                field.key("url").url(&schemes, self.errors);
            }
            PREMIUM => field.key("sku_id").require(self.errors),
            _ => {
                let message = "Value must be one of {1, 2, 3, 4, 5, 6}.";
                style.refuse("BASE_TYPE_CHOICES", message, self.errors);
            }
        }
        let label = field.key("label");
        label.text(MAX_LABEL, self.errors);
        if number != PREMIUM && label.is_blank() && !field.key("emoji").is_present() {
            let message = "A button must have either a label or an emoji";
            let code = "BUTTON_COMPONENT_INVALID_LABEL_OR_EMOJI";
            field.refuse(code, message, self.errors);
        }
    }

    fn custom_id(&mut self, field: &Field<'_>) {
        let field = field.key("custom_id");
        field.require(self.errors);
        let Some(id) = field.text(MAX_CUSTOM_ID, self.errors) else {
            return;
        };
        if self.custom_ids.iter().any(|known| *known == id) {
            let message = "Component custom id cannot be duplicated";
            field.refuse("COMPONENT_CUSTOM_ID_DUPLICATED", message, self.errors);
        }
        self.custom_ids.push(id.into_owned());
    }
}

fn listed(types: &[i64]) -> String {
    let types: Vec<String> = types.iter().map(i64::to_string).collect();
    format!("({},)", types.join(", "))
}

fn number(component: &mut Map<String, Value>, last: &mut u32) {
    *last += 1;
    component.entry("id").or_insert(json!(*last));
    if let Some(Value::Array(children)) = component.get_mut("components") {
        for child in children.iter_mut().filter_map(Value::as_object_mut) {
            number(child, last);
        }
    }
    for name in ["accessory", "component"] {
        if let Some(Value::Object(child)) = component.get_mut(name) {
            number(child, last);
        }
    }
}
