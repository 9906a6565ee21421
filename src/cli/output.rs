//! What commands print: whole texts on stdout, JSON as it is told apart by people and programs.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::Context as _;

use super::Failure;

/// Writes a text to stdout. A reader that is gone has seen enough.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => Err(err)
            .context("write to standard output")
            .context(Failure::Output),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes JSON to stdout: over several lines on a terminal, on one elsewhere.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print_json(json: &str) -> anyhow::Result<()> {
    let text = if io::stdout().is_terminal() {
        on_lines(json)
    } else {
        on_one_line(json)
    };
    print(format!("{text}\n").as_bytes())
}

/// Writes a line to stderr; where nobody reads it there is nobody to tell.
pub(super) fn tell(line: &str) {
    let mut stderr = io::stderr().lock();
    let _ = writeln!(stderr, "{}", shown(line));
}

/// A text without what would move a terminal's cursor.
pub(super) fn shown(text: &str) -> String {
    let hidden = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(hidden).collect()
}

/// Gives valid JSON on one line. Its numbers and the order of its members stay as they are.
fn on_one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for (c, inside) in characters(json) {
        if inside || !c.is_ascii_whitespace() {
            push(&mut line, c);
        }
    }
    line
}

/// Gives valid JSON over several lines. Its numbers and the order of its members stay as they are.
fn on_lines(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let begin_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    for (c, inside) in characters(&on_one_line(json)) {
        match c {
            _ if inside => text.push(c),
            '{' | '[' => {
                text.push(c);
                depth += 1;
                begin_line(&mut text, depth);
            }
            '}' | ']' => {
                depth -= 1;
                if text.trim_end().ends_with(['{', '[']) {
                    text.truncate(text.trim_end().len());
                } else {
                    begin_line(&mut text, depth);
                }
                text.push(c);
            }
            ',' => {
                text.push(c);
                begin_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ => text.push(c),
        }
    }
    text
}

/// The characters of a JSON text, each with whether it is part of a string.
fn characters(json: &str) -> impl Iterator<Item = (char, bool)> {
    let (mut inside, mut escaped) = (false, false);
    json.chars().map(move |c| {
        let quote = c == '"' && !escaped;
        escaped = inside && c == '\\' && !escaped;
        let was_inside = inside;
        inside ^= quote;
        (c, was_inside || inside)
    })
}

/// Appends a character; one that JSON lets stand and a terminal obeys is escaped.
fn push(text: &mut String, c: char) {
    use std::fmt::Write as _;
    if c.is_control() {
        write!(text, "\\u{:04x}", u32::from(c)).expect("a String takes any text");
    } else {
        text.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_and_nothing_else_is_changed() {
        let json = "{\"z\": 1184031022407147523,\n\t\"a\":[ ],\"b\" : {},\"c\":[1.0,{\"d\":\"x, {\\\"y: [\"}]}";
        let line = r#"{"z":1184031022407147523,"a":[],"b":{},"c":[1.0,{"d":"x, {\"y: ["}]}"#;
        assert_eq!(on_one_line(json), line);
        let lines = on_lines(json);
        assert_eq!(on_one_line(&lines), line);
        let expected = "{\n  \"z\": 1184031022407147523,\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    \
            1.0,\n    {\n      \"d\": \"x, {\\\"y: [\"\n    }\n  ]\n}";
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_printed() {
        assert_eq!(on_one_line("\"a\u{9b}2J\""), "\"a\\u009b2J\"");
        assert_eq!(shown("a\u{1b}[2J\nb"), "a\u{fffd}[2J\u{fffd}b");
    }
}
