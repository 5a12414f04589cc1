//! Samples as families: runs of one name and one kind, with the labels that are shown.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, indexed};
use labels::{Labels, METRIC_NAME};

use super::gather::{Latest, Value};

/// What a scraper takes a label set for that has none of its own.
const INSTANCE: &str = "instance";
/// Samples of one family that are written at a time.
const FAMILY_MAX: usize = 1000;

/// The kind of a family. Floats have none, as it is not stored with samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Untyped,
    Histogram,
    GaugeHistogram,
}

/// A part of a family.
#[derive(Debug)]
pub(super) struct Family {
    pub name: String,
    pub kind: Kind,
    pub samples: Vec<Exposed>,
    /// Whether a part before this one began it, so that it is not begun again.
    pub continued: bool,
}

/// A sample with the labels that are shown.
#[derive(Debug)]
pub(super) struct Exposed {
    pub labels: Vec<(String, String)>,
    pub time_ms: i64,
    pub value: Value,
}

/// Families out of samples that are sorted by name.
#[derive(Debug)]
pub(super) struct Families {
    samples: std::iter::Peekable<std::vec::IntoIter<Latest>>,
    external: Vec<(String, String)>,
    before: Option<(String, Kind)>,
    native: bool,
}

impl Families {
    /// `native` = the format has native histograms; without it only those with custom buckets are shown.
    pub fn new(samples: Vec<Latest>, external: Labels, native: bool) -> Self {
        let mut external: Vec<_> = external.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        if !external.iter().any(|(name, _)| name == INSTANCE) {
            // A scraper with honor_labels would else put the server's own address on it.
            external.push((INSTANCE.to_owned(), String::new()));
            external.sort();
        }
        Self { samples: samples.into_iter().peekable(), external, before: None, native }
    }

    /// Whether a sample can be shown: it has a name, and the format has its kind.
    fn is_shown(sample: &Latest, native: bool) -> bool {
        let has_form = match &sample.value {
            Value::Float(_) => true,
            Value::Histogram(h) => native || h.schema == CUSTOM_BUCKETS_SCHEMA,
        };
        has_form && !sample.labels.value(METRIC_NAME).is_empty()
    }

    fn exposed(&self, sample: Latest) -> Exposed {
        let own = sample.labels.iter().filter(|(name, value)| *name != METRIC_NAME && !value.is_empty());
        let mut labels: Vec<_> = own.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let added = self.external.iter().filter(|(name, _)| sample.labels.value(name).is_empty());
        labels.extend(added.cloned());
        Exposed { labels, time_ms: sample.time_ms, value: sample.value }
    }
}

impl Iterator for Families {
    type Item = Family;

    fn next(&mut self) -> Option<Family> {
        let native = self.native;
        let first = self.samples.by_ref().find(|sample| Self::is_shown(sample, native))?;
        let (name, kind) = (first.labels.value(METRIC_NAME).to_owned(), kind_of(&first.value));
        let continued = self.before.as_ref() == Some(&(name.clone(), kind));
        let mut samples = vec![self.exposed(first)];
        let same = |sample: &Latest| sample.labels.value(METRIC_NAME) == name && kind_of(&sample.value) == kind;
        while samples.len() < FAMILY_MAX
            && let Some(sample) = self.samples.next_if(same)
        {
            if Self::is_shown(&sample, native) {
                samples.push(self.exposed(sample));
            }
        }
        self.before = Some((name.clone(), kind));
        Some(Family { name, kind, samples, continued })
    }
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Float(_) => Kind::Untyped,
        Value::Histogram(h) if h.reset_hint == ResetHint::Gauge => Kind::GaugeHistogram,
        Value::Histogram(_) => Kind::Histogram,
    }
}

/// Upper bounds and counts up to them of a histogram with custom buckets, without +Inf.
pub(super) fn cumulative(h: &FloatHistogram) -> Vec<(f64, f64)> {
    let mut buckets = indexed(&h.positive_spans, &h.positive_buckets).peekable();
    let mut sum = 0.0;
    let mut up_to = |bound: usize| {
        while let Some((_, count)) = buckets.next_if(|(index, _)| usize::try_from(*index).is_ok_and(|i| i <= bound)) {
            sum += count;
        }
        sum
    };
    h.custom_values.iter().enumerate().map(|(bound, le)| (*le, up_to(bound))).collect()
}
