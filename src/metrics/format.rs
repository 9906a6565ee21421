//! The two formats that Prometheus reads, and which of them somebody takes.

use std::fmt::Write as _;

/// A format of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics`, for whoever asks for it, as Prometheus does.
    /// See <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
    OpenMetrics,
    /// The older one, which everything else reads.
    /// See <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.
    Text,
}

impl Format {
    /// The format that these values of the header `Accept` ask for.
    #[must_use]
    pub fn asked_for<'a>(accepted: impl Iterator<Item = &'a str>) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        for range in accepted.flat_map(|it| it.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let (mut weight, mut known) = (1.0_f32, true);
            for part in parts {
                match part.split_once('=') {
                    Some(("q", value)) => weight = value.parse().unwrap_or(0.0),
                    Some(("version", value)) => known = value == "1.0.0",
                    Some(_) | None => {}
                }
            }
            if kind.eq_ignore_ascii_case("application/openmetrics-text") && known {
                open_metrics = weight.max(open_metrics);
            } else if kind.eq_ignore_ascii_case("text/plain") {
                text = weight.max(text);
            }
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// What it is called over HTTP.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Puts what is written in `OpenMetrics` into the format.
    pub(super) fn of(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Text => older(&text),
        }
    }
}

/// In the older format a type stands before the very name of its samples, and there are no units.
fn older(text: &str) -> String {
    let (mut older, mut help) = (String::with_capacity(text.len()), "");
    for line in text.lines() {
        if let Some(of_next) = line.strip_prefix("# HELP ") {
            help = of_next.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap_or((kind, "untyped"));
            let (end, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            // A String takes any text, so there is nothing to report.
            let _ = writeln!(
                older,
                "# HELP {name}{end} {help}\n# TYPE {name}{end} {kind}"
            );
        } else if !line.starts_with('#') {
            older.push_str(line);
            older.push('\n');
        }
    }
    older
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_it_and_everybody_else_the_older_format() {
        let check = |accepted: &[&str], expected| {
            let found = Format::asked_for(accepted.iter().copied());
            assert_eq!(found, expected, "{accepted:?}");
        };
        // As Prometheus 2 and 3 ask by default.
        for prometheus in [
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        ] {
            check(&[prometheus], Format::OpenMetrics);
        }
        check(
            &["text/html", "Application/OpenMetrics-Text"],
            Format::OpenMetrics,
        );
        for others in [
            &[][..],
            &["*/*"],
            &["text/plain"],
            &["text/plain, application/openmetrics-text;q=0.1"],
            &["application/openmetrics-text; q=0"],
            &["application/openmetrics-text; version=2.0.0"],
            &["application/openmetrics-text; q=much"],
        ] {
            check(others, Format::Text);
        }
    }

    #[test]
    fn the_older_format_has_types_before_the_names_of_samples_and_no_units() {
        let text = "# HELP a_seconds Time, and more\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                    a_seconds_total 1.5\n# HELP b B\n# TYPE b info\nb_info{c=\"# d\"} 1\n# EOF\n";
        let expected = "# HELP a_seconds_total Time, and more\n# TYPE a_seconds_total counter\n\
                        a_seconds_total 1.5\n# HELP b_info B\n# TYPE b_info gauge\nb_info{c=\"# d\"} 1\n";
        assert_eq!(Format::Text.of(text.to_owned()), expected);
        assert_eq!(Format::OpenMetrics.of(text.to_owned()), text);
    }
}
