//! A series' bytes: protobuf has none that stand together in the body.

use super::metric::label_pair;
use super::wire::Message;
use crate::entry::{LabelSpan, Span};
use crate::error::ParseError;
use crate::number::format_openmetrics_float;

/// Before the metric's name and before a bound.
const PART: u8 = 0xfe;

/// The labels of a metric as they stand on the wire, each behind its length, then the name, then the bound. The labels are
/// written once for all series of a metric, and read only where they are asked for.
#[derive(Debug, Default)]
pub(super) struct Key {
    pub(super) bytes: Vec<u8>,
    pub(super) name: Span,
    pub(super) labels: Vec<LabelSpan>,
    /// Of the metric's own labels.
    labels_len: usize,
    label_count: usize,
    /// The metric's own labels are in `labels`.
    is_read: bool,
    bound: Option<LabelSpan>,
}

impl Key {
    /// Begins with the labels of a metric.
    pub(super) fn start_metric(&mut self, labels: &[Message<'_>]) {
        self.bytes.clear();
        self.labels.clear();
        self.is_read = false;
        self.label_count = 0;
        for label in labels {
            // Bodies of more than 4 GiB are refused.
            self.bytes.extend_from_slice(&(label.bytes.len() as u32).to_le_bytes());
            self.bytes.extend_from_slice(label.bytes);
        }
        // How many labels there are parts them from what follows.
        self.bytes.extend_from_slice(&(labels.len() as u32).to_le_bytes());
        self.labels_len = self.bytes.len();
    }

    /// One series of the metric.
    pub(super) fn set(&mut self, name: &str, suffix: &str, bound: Option<(&str, f64)>) {
        self.bytes.truncate(self.labels_len);
        self.labels.truncate(self.label_count);
        self.bytes.push(PART);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name.as_bytes());
        self.name = Span { start, end: self.push(suffix).end };
        self.bound = bound.map(|(name, value)| {
            self.bytes.push(PART);
            LabelSpan { name: self.push(name), value: self.push(&format_openmetrics_float(value)) }
        });
    }

    /// Reads the labels of the series; `labels` are those that the metric was begun with.
    pub(super) fn read_labels(&mut self, labels: &[Message<'_>]) -> Result<(), ParseError> {
        if !self.is_read {
            let mut at = 0;
            for label in labels {
                at += size_of::<u32>();
                let (name, value) = label_pair(*label)?;
                // Where a part of the label stands behind the label's first byte.
                let span = |part: Message<'_>| {
                    let start = (at + part.offset.saturating_sub(label.offset)) as u32;
                    Span { start, end: start + part.bytes.len() as u32 }
                };
                name.text()?;
                value.text()?;
                self.labels.push(LabelSpan { name: span(name), value: span(value) });
                at += label.bytes.len();
            }
            self.is_read = true;
            self.label_count = self.labels.len();
        }
        self.labels.extend(self.bound);
        Ok(())
    }

    fn push(&mut self, part: &str) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(part.as_bytes());
        let end = self.bytes.len() as u32;
        // Never in UTF-8.
        self.bytes.push(0xff);
        Span { start, end }
    }
}
