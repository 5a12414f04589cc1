//! The page that collectors write: metric families in Prometheus' text format.

use std::collections::HashSet;
use std::fmt::Write;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Untyped,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Untyped => "untyped",
        }
    }
}

/// A sample's value. Whole numbers are written to their last digit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(whole: u64) -> Self {
        Self::Whole(whole)
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

/// Text under construction. No family is written twice, even if two lines of a file lead to the same name.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
    named: HashSet<String>,
}

impl Page {
    /// Begins a family. Its head is written with its first sample; without samples nothing is.
    pub fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &'a str) -> Family<'a> {
        let muted = !self.named.insert(name.to_owned());
        Family { page: self, kind, name, help, begun: false, muted }
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.family(Kind::Gauge, name, help).sample(&[], value);
    }

    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Into<Value>) {
        self.family(Kind::Counter, name, help).sample(&[], value);
    }

    /// Where the text ends now, for [`back_to`](Self::back_to).
    pub fn mark(&self) -> usize {
        self.text.len()
    }

    /// Takes back what was written since `mark`.
    pub fn back_to(&mut self, mark: usize) {
        self.text.truncate(mark);
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

/// A family that takes samples.
pub(crate) struct Family<'a> {
    page: &'a mut Page,
    kind: Kind,
    name: &'a str,
    help: &'a str,
    begun: bool,
    muted: bool,
}

impl Family<'_> {
    /// Writes a sample with `labels`, which stand in the order of their names.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Into<Value>) {
        if self.muted {
            return;
        }
        let text = &mut self.page.text;
        if !self.begun {
            self.begun = true;
            for part in ["# HELP ", self.name, " ", self.help, "\n# TYPE ", self.name, " ", self.kind.name(), "\n"] {
                text.push_str(part);
            }
        }
        text.push_str(self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            text.push(if at == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape(value, text);
            text.push('"');
        }
        text.push_str(if labels.is_empty() { " " } else { "} " });
        // Writing to a string cannot fail.
        let _ = match value.into() {
            Value::Whole(whole) => writeln!(text, "{whole}"),
            Value::Real(real) => writeln!(text, "{real}"),
        };
    }
}

fn escape(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
}

/// `text` with `_` in place of what a metric name cannot hold.
pub(crate) fn metric_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let mut page = Page::default();
        page.gauge("a", "First.", 0.5);
        page.family(Kind::Counter, "none_total", "Without samples.");
        let mark = page.mark();
        page.counter("taken_back_total", "Help.", 1);
        page.back_to(mark);
        let mut family = page.family(Kind::Counter, "b_total", "Second.");
        family.sample(&[("x", "1"), ("y", "a\\b\"c\nd")], u64::MAX);
        family.sample(&[], -125_000.0);
        page.family(Kind::Untyped, "b_total", "Again.").sample(&[], 3);
        assert_eq!(
            page.into_text(),
            "# HELP a First.\n# TYPE a gauge\na 0.5\n# HELP b_total Second.\n# TYPE b_total counter\n\
             b_total{x=\"1\",y=\"a\\\\b\\\"c\\nd\"} 18446744073709551615\nb_total -125000\n"
        );
    }
}
