//! Classic histograms become native ones with custom buckets (NHCB).
//!
//! The series of a classic histogram are collected until one comes that is not of it. All text is copied out of the body's
//! parser, which by then has moved on.

mod buckets;

use histogram::ResetHint;
use labels::BUCKET_LABEL;
use model::MetricType;

use crate::entry::{Entry, Exemplar, HistogramEntry, LabelSpan, NativeHistogram, Sample, Series, Span};
use crate::error::ParseError;
use crate::parser::Base;
use buckets::Buckets;

type Result<T> = std::result::Result<T, ParseError>;

/// Classic histograms that could not be converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unconverted {
    /// How many.
    pub histograms: usize,
    /// The first one's name, and why.
    pub first: String,
}

/// A part of a classic histogram.
#[derive(Debug, Clone, Copy)]
enum Part {
    Bucket(f64),
    Count,
    Sum,
}

/// Stands between the parser of a format and its user.
#[derive(Debug)]
pub(crate) struct Converter {
    keeps_classic: bool,
    /// The family of the last `# TYPE`.
    family: String,
    /// What its histograms say of resets; `None`: it has none.
    histograms: Option<ResetHint>,
    /// The entry that the body's parser shows was not handed on yet.
    is_held: bool,
    /// What is handed on is `converted`, not what the body's parser shows.
    is_shown: bool,
    collected: Option<Collected>,
    /// The last native histogram: classic series of the same name and labels behind it are not converted.
    native_key: Vec<u8>,
    converted: Converted,
    unconverted: Option<Unconverted>,
    scratch: Text,
}

/// A series' text: the name, then names and values of labels, between bytes that are never in UTF-8.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    name: Span,
    labels: Vec<LabelSpan>,
}

#[derive(Debug)]
struct Collected {
    text: Text,
    buckets: Buckets,
    exemplars: Vec<Exemplar>,
    timestamp_ms: Option<i64>,
    start_ms: i64,
}

#[derive(Debug)]
struct Converted {
    text: Text,
    value: NativeHistogram,
    exemplars: Vec<Exemplar>,
    timestamp_ms: Option<i64>,
    start_ms: i64,
}

impl Text {
    fn push(&mut self, part: &str) -> Span {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(part.as_bytes());
        let end = self.bytes.len() as u32;
        self.bytes.push(0xff);
        Span { start, end }
    }

    /// The text of `series` under the name `base`, without the bound of a bucket.
    fn set(&mut self, base: &str, series: &Series<'_>) {
        self.bytes.clear();
        self.labels.clear();
        self.name = self.push(base);
        for (name, value) in series.labels().filter(|(name, _)| name != BUCKET_LABEL) {
            let label = LabelSpan { name: self.push(&name), value: self.push(&value) };
            self.labels.push(label);
        }
    }
}

impl Converter {
    pub(crate) fn new(keeps_classic: bool) -> Self {
        Self {
            keeps_classic,
            family: String::new(),
            histograms: None,
            is_held: false,
            is_shown: false,
            collected: None,
            native_key: Vec::new(),
            converted: Converted {
                text: Text::default(),
                value: NativeHistogram::Int(Default::default()),
                exemplars: Vec::new(),
                timestamp_ms: None,
                start_ms: 0,
            },
            unconverted: None,
            scratch: Text::default(),
        }
    }

    pub(crate) fn has_entry(&self) -> bool {
        self.is_shown
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        let converted = &self.converted;
        Entry::Histogram(HistogramEntry {
            series: Series {
                bytes: &converted.text.bytes,
                name: converted.text.name,
                labels: &converted.text.labels,
                has_escapes: false,
                family_type: MetricType::Unknown,
            },
            value: &converted.value,
            timestamp_ms: converted.timestamp_ms,
            start_ms: converted.start_ms,
            exemplars: &converted.exemplars,
        })
    }

    pub(crate) fn unconverted(&self) -> Option<&Unconverted> {
        self.unconverted.as_ref()
    }

    pub(crate) fn advance(&mut self, base: &mut Base<'_>) -> Result<bool> {
        self.is_shown = false;
        loop {
            if !std::mem::take(&mut self.is_held) && !base.advance(&mut |_: &[u8]| false)? {
                self.is_shown = self.finish();
                return Ok(self.is_shown);
            }
            let entry = base.entry();
            let part = match &entry {
                Entry::Sample(sample) => self.part(&sample.series),
                _ => None,
            };
            if !self.continues(part) && self.finish() {
                (self.is_shown, self.is_held) = (true, true);
                return Ok(true);
            }
            match entry {
                Entry::Sample(sample) => {
                    let Some(part) = part.filter(|_| self.scratch.bytes != self.native_key) else { return Ok(true) };
                    self.add(part, &sample);
                    if !self.keeps_classic {
                        continue;
                    }
                }
                Entry::Histogram(histogram) => {
                    self.scratch.set(&histogram.series.name(), &histogram.series);
                    std::mem::swap(&mut self.native_key, &mut self.scratch.bytes);
                }
                Entry::Type { family, metric_type } => {
                    family.as_ref().clone_into(&mut self.family);
                    self.histograms = match (metric_type, &*base) {
                        (MetricType::Histogram, _) => Some(ResetHint::Unknown),
                        // In text their series have other names, and they stay as they are.
                        (MetricType::GaugeHistogram, Base::Protobuf(_)) => Some(ResetHint::Gauge),
                        _ => None,
                    };
                    self.native_key.clear();
                }
                Entry::Help { .. } | Entry::Unit { .. } | Entry::Comment => {}
            }
            return Ok(true);
        }
    }

    /// Which part of the current family's histogram a series is. Its text without suffix and bound is in `scratch` then.
    fn part(&mut self, series: &Series<'_>) -> Option<Part> {
        self.histograms?;
        let name = series.name();
        let suffix = name.strip_prefix(self.family.as_str())?;
        let part = match suffix {
            "_count" => Part::Count,
            "_sum" => Part::Sum,
            "_bucket" => {
                let (_, bound) = series.labels().find(|(name, _)| name == BUCKET_LABEL)?;
                Part::Bucket(model::parse_go_float(&bound).ok().filter(|bound| !bound.is_nan())?)
            }
            _ => return None,
        };
        self.scratch.set(&self.family, series);
        Some(part)
    }

    /// Whether an entry belongs to what is being collected, or nothing is.
    fn continues(&self, part: Option<Part>) -> bool {
        match &self.collected {
            None => true,
            Some(collected) => part.is_some() && collected.text.bytes == self.scratch.bytes,
        }
    }

    fn add(&mut self, part: Part, sample: &Sample<'_>) {
        let scratch = &mut self.scratch;
        let collected = self.collected.get_or_insert_with(|| Collected {
            text: std::mem::take(scratch),
            buckets: Buckets::default(),
            exemplars: Vec::new(),
            timestamp_ms: sample.timestamp_ms,
            start_ms: sample.start_ms,
        });
        // Without a time nothing says in which order those of several buckets came.
        collected.exemplars.extend(sample.exemplars.iter().filter(|e| e.timestamp_ms.is_some()).cloned());
        match part {
            Part::Bucket(bound) => collected.buckets.bucket(bound, sample.value),
            Part::Count => collected.buckets.count(sample.value),
            Part::Sum => collected.buckets.sum(sample.value),
        }
    }

    /// Converts what was collected; true if something came of it.
    fn finish(&mut self) -> bool {
        let Some(collected) = self.collected.take() else { return false };
        match collected.buckets.convert(self.histograms.unwrap_or_default()) {
            Ok(value) => {
                self.converted = Converted {
                    text: collected.text,
                    value,
                    exemplars: collected.exemplars,
                    timestamp_ms: collected.timestamp_ms,
                    start_ms: collected.start_ms,
                };
                true
            }
            Err(why) => {
                // With the classic series kept nothing is missing.
                if !self.keeps_classic {
                    let first = || Unconverted { histograms: 0, first: format!("{}: {why}", self.family) };
                    self.unconverted.get_or_insert_with(first).histograms += 1;
                }
                false
            }
        }
    }
}
