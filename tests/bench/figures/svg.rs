//! A drawing of curves, in SVG.

/// Width and height of one panel's axes, in pixels.
const SIZE: [f64; 2] = [380.0, 200.0];
/// Where the first panel's axes begin.
const ORIGIN: [f64; 2] = [60.0, 40.0];
/// Room between two panels' beginnings.
const STEP: f64 = 480.0;
/// Room below the axes.
const BELOW: f64 = 60.0;
/// Colors of curves, told apart by people who do not see all colors.
const COLORS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];
/// Parts that lines cut a panel into.
const PARTS: u32 = 4;

/// One panel: curves over the same axes.
pub(crate) struct Panel {
    /// What the curves show, and its unit.
    pub(crate) title: &'static str,
    /// What is across.
    pub(crate) across: &'static str,
    /// Whether steps across are factors of ten.
    pub(crate) by_tens: bool,
    /// The curves, three at most.
    pub(crate) curves: Vec<Curve>,
}

/// One curve.
pub(crate) struct Curve {
    /// What it is.
    pub(crate) name: &'static str,
    /// Where it goes through.
    pub(crate) points: Vec<(f64, f64)>,
}

/// A panel, and where its points lie.
struct Axes<'a> {
    panel: &'a Panel,
    left: f64,
    /// The farthest place across.
    last: f64,
    /// The number at the upper end.
    top: f64,
}

/// Draws panels beside each other.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let mut left = ORIGIN[0];
    let mut elements = Vec::new();
    for panel in panels {
        Axes::new(panel, left).draw(&mut elements);
        left += STEP;
    }
    let (width, height) = (left - ORIGIN[0], ORIGIN[1] + SIZE[1] + BELOW);
    let elements = elements.join("\n");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{elements}\n</svg>\n"
    )
}

impl<'a> Axes<'a> {
    fn new(panel: &'a Panel, left: f64) -> Self {
        let points = || panel.curves.iter().flat_map(|curve| &curve.points);
        let most = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let farthest = points().map(|(x, _)| *x).fold(0.0, f64::max);
        Self {
            panel,
            left,
            last: panel.place(farthest),
            top: round_up(most),
        }
    }

    fn across(&self, x: f64) -> f64 {
        self.left + self.panel.place(x) / self.last * SIZE[0]
    }

    fn up(&self, y: f64) -> f64 {
        ORIGIN[1] + SIZE[1] - y / self.top * SIZE[1]
    }

    fn draw(&self, to: &mut Vec<String>) {
        let Panel { title, across, .. } = self.panel;
        let [middle, bottom] = [self.left + SIZE[0] / 2.0, ORIGIN[1] + SIZE[1]];
        to.push(text(self.left, ORIGIN[1] - 20.0, "start", title));
        to.push(text(middle, bottom + 36.0, "middle", across));
        for part in 0..=PARTS {
            let number = self.top * f64::from(part) / f64::from(PARTS);
            let (left, y, width) = (self.left, self.up(number), SIZE[0]);
            to.push(text(left - 6.0, y + 4.0, "end", &number.to_string()));
            to.push(format!(
                "<path d=\"M{left} {y:.1}h{width}\" stroke=\"#ddd\"/>"
            ));
        }
        let curves = &self.panel.curves;
        let mut marks: Vec<f64> = curves
            .iter()
            .flat_map(|it| it.points.iter())
            .map(|it| it.0)
            .collect();
        marks.sort_unstable_by(f64::total_cmp);
        marks.dedup();
        // The near ones have no room side by side.
        marks.retain(|x| self.panel.place(*x) >= self.last / 12.0 || *x <= 1.0);
        for x in marks {
            to.push(text(
                self.across(x),
                bottom + 18.0,
                "middle",
                &x.to_string(),
            ));
        }
        for (index, (curve, color)) in (0_u8..).zip(curves.iter().zip(COLORS)) {
            let name = format!("<tspan fill=\"{color}\">{}</tspan>", curve.name);
            let y = ORIGIN[1] + 14.0 + 16.0 * f64::from(index);
            to.push(text(self.left + 8.0, y, "start", &name));
            self.draw_curve(curve, color, to);
        }
    }

    fn draw_curve(&self, curve: &Curve, color: &str, to: &mut Vec<String>) {
        let at = |(x, y): &(f64, f64)| (self.across(*x), self.up(*y));
        let points: Vec<_> = curve.points.iter().map(at).collect();
        let line: Vec<_> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let line = line.join(" ");
        to.push(format!(
            "<polyline points=\"{line}\" stroke=\"{color}\" stroke-width=\"2\" fill=\"none\"/>"
        ));
        for (x, y) in points {
            to.push(format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\"/>"
            ));
        }
    }
}

impl Panel {
    /// Where a number stands across.
    fn place(&self, x: f64) -> f64 {
        if self.by_tens { x.log10() } else { x }
    }
}

fn text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>")
}

/// A round number that is no less, with room for the curves' names above.
fn round_up(number: f64) -> f64 {
    let unit = 10_f64.powf(number.log10().floor());
    let steps = [1.6, 2.0, 4.0, 8.0, 12.0, 16.0].map(|step| step * unit);
    let fits = steps.into_iter().find(|round| *round >= number * 1.3);
    fits.unwrap_or(number)
}
