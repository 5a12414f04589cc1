//! A series' bytes: protobuf has none that stand together in the body.

use crate::entry::{LabelSpan, Span};
use crate::number::format_openmetrics_float;

/// Behind each name and value of a label; never in UTF-8.
const END: u8 = 0xff;
/// Before the metric's name and before a bound, so that those are never taken for labels.
const PART: u8 = 0xfe;

/// The labels of a metric, the name, the bound. The labels are written once for all series of a metric.
#[derive(Debug, Default)]
pub(super) struct Key {
    pub(super) bytes: Vec<u8>,
    pub(super) name: Span,
    pub(super) labels: Vec<LabelSpan>,
    /// Of the metric's own labels.
    labels_len: usize,
    label_count: usize,
}

impl Key {
    pub(super) fn start_metric(&mut self, labels: &[(&str, &str)]) {
        self.bytes.clear();
        self.labels.clear();
        for (name, value) in labels {
            let label = LabelSpan { name: self.push(name), value: self.push(value) };
            self.labels.push(label);
        }
        self.labels_len = self.bytes.len();
        self.label_count = self.labels.len();
    }

    pub(super) fn set(&mut self, name: &str, suffix: &str, bound: Option<(&str, f64)>) {
        self.bytes.truncate(self.labels_len);
        self.labels.truncate(self.label_count);
        self.bytes.push(PART);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name.as_bytes());
        self.name = Span { start, end: self.push(suffix).end };
        if let Some((name, value)) = bound {
            self.bytes.push(PART);
            let label = LabelSpan { name: self.push(name), value: self.push(&format_openmetrics_float(value)) };
            self.labels.push(label);
        }
    }

    fn push(&mut self, part: &str) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(part.as_bytes());
        let end = self.bytes.len() as u32;
        self.bytes.push(END);
        Span { start, end }
    }
}
