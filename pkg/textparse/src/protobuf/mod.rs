//! Delimited protobuf: `io.prometheus.client.MetricFamily` messages, each behind its length.

mod family;
mod histogram;
mod key;
mod metric;
mod wire;

use std::borrow::Cow;

use labels::{BUCKET_LABEL, Builder, QUANTILE_LABEL};
use model::MetricType;

use crate::entry::{Entry, Exemplar, HistogramEntry, NativeHistogram, Sample, Series};
use crate::error::ParseError;
use crate::known::Known;
use crate::number::canonical;
use crate::parser::Options;
use family::Family;
use key::Key;
use metric::{Metric, label_pair, timestamp_ms};
use wire::{Message, Value};

pub(crate) use histogram::{compact, deltas};

type Result<T> = std::result::Result<T, ParseError>;

/// What of a metric makes a series of its own.
#[derive(Debug, Clone, Copy)]
enum Row<'a> {
    /// A float of the series with this suffix and bound.
    Float { suffix: &'static str, bound: Option<(&'static str, f64)>, value: f64, exemplar: Option<Message<'a>> },
    /// The native histogram.
    Native,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    None,
    Help,
    Unit,
    Type,
    Float,
    Native,
}

#[derive(Debug)]
pub(crate) struct ProtobufParser<'a> {
    options: Options,
    rest: Message<'a>,
    family: Family<'a>,
    metric: Metric<'a>,
    /// The metric's series, and how many of them were shown.
    rows: Vec<Row<'a>>,
    rows_shown: usize,
    shown: Shown,
    key: Key,
    value: f64,
    native: Option<NativeHistogram>,
    exemplars: Vec<Exemplar>,
}

impl<'a> ProtobufParser<'a> {
    pub(crate) fn new(body: &'a [u8], options: Options) -> Result<Self> {
        let rest = Message { bytes: body, offset: 0 };
        if u32::try_from(body.len()).is_err() {
            return Err(rest.wrong(format!("a body of {} bytes: at most {} can be read", body.len(), u32::MAX)));
        }
        Ok(Self {
            options,
            rest,
            family: Family::default(),
            metric: Metric::default(),
            rows: Vec::new(),
            rows_shown: 0,
            shown: Shown::None,
            key: Key::default(),
            value: 0.0,
            native: None,
            exemplars: Vec::new(),
        })
    }

    /// Moves to the next entry; false at the end.
    pub(crate) fn advance(&mut self, known: &mut impl Known) -> Result<bool> {
        self.shown = match self.shown {
            Shown::Help if !self.family.unit.is_empty() => Shown::Unit,
            Shown::Help | Shown::Unit => Shown::Type,
            _ => return self.next_row(known),
        };
        Ok(true)
    }

    fn next_row(&mut self, known: &mut impl Known) -> Result<bool> {
        loop {
            if let Some(row) = self.rows.get(self.rows_shown).copied() {
                self.rows_shown += 1;
                self.show(row)?;
                if !known.is_known(&self.key.bytes) {
                    self.key.read_labels(&self.metric.labels)?;
                }
                return Ok(true);
            }
            if let Some(metric) = self.family.next_metric()? {
                self.metric.read(metric)?;
                self.make_rows();
                continue;
            }
            if self.rest.bytes.is_empty() {
                self.shown = Shown::None;
                return Ok(false);
            }
            let message = self.rest.delimited()?;
            self.family = Family::read(message)?;
            self.rows.clear();
            self.rows_shown = 0;
            if self.family.has_metrics {
                self.family.check()?;
                self.shown = Shown::Help;
                return Ok(true);
            }
        }
    }

    fn make_rows(&mut self) {
        self.rows.clear();
        self.rows_shown = 0;
        self.key.start_metric(&self.metric.labels);
        let metric = &self.metric;
        let row = |suffix, bound, value, exemplar| Row::Float { suffix, bound, value, exemplar };
        match self.family.metric_type {
            MetricType::Summary => {
                let summary = &metric.summary;
                self.rows.push(row("_count", None, summary.count as f64, None));
                self.rows.push(row("_sum", None, summary.sum, None));
                let quantiles = summary.quantiles.iter();
                self.rows.extend(quantiles.map(|(q, value)| row("", Some((QUANTILE_LABEL, *q)), *value, None)));
            }
            MetricType::Histogram | MetricType::GaugeHistogram => {
                let histogram = &metric.histogram;
                let is_native = histogram.is_native() && !self.options.ignore_native_histograms;
                if is_native {
                    self.rows.push(Row::Native);
                }
                if is_native && (!self.options.keep_classic_histograms || histogram.buckets.is_empty()) {
                    return;
                }
                self.rows.push(row("_count", None, histogram.count(), None));
                self.rows.push(row("_sum", None, histogram.sum, None));
                let infinite = histogram.buckets.iter().position(|bucket| bucket.bound == f64::INFINITY);
                let buckets = histogram.buckets.iter().take(infinite.map_or(usize::MAX, |at| at + 1));
                self.rows.extend(buckets.map(|b| row("_bucket", Some((BUCKET_LABEL, b.bound)), b.count, b.exemplar)));
                if infinite.is_none() {
                    self.rows.push(row("_bucket", Some((BUCKET_LABEL, f64::INFINITY)), histogram.count(), None));
                }
            }
            _ => self.rows.push(row("", None, metric.value, metric.exemplar)),
        }
    }

    fn show(&mut self, row: Row<'a>) -> Result<()> {
        self.exemplars.clear();
        match row {
            Row::Float { suffix, bound, value, exemplar } => {
                self.shown = Shown::Float;
                self.key.set(self.family.name, suffix, bound);
                self.value = canonical(value);
                if let Some(exemplar) = exemplar.filter(|_| self.options.exemplars) {
                    self.exemplars.push(read_exemplar(exemplar)?);
                }
            }
            Row::Native => {
                self.shown = Shown::Native;
                self.key.set(self.family.name, "", None);
                let is_gauge = self.family.metric_type == MetricType::GaugeHistogram;
                let native = self.metric.histogram.native(is_gauge);
                let name = self.family.name;
                self.native =
                    Some(native.map_err(|why| self.family.wrong(format!("native histogram {name:?}: {why}")))?);
                if self.options.exemplars {
                    self.native_exemplars()?;
                }
            }
        }
        Ok(())
    }

    /// Those of the native part, else those of the classic buckets. Exemplars without a time are of no use here: nothing
    /// says in which order they came.
    fn native_exemplars(&mut self) -> Result<()> {
        let histogram = &self.metric.histogram;
        let of_buckets = histogram.buckets.iter().filter_map(|bucket| bucket.exemplar);
        let messages: Vec<_> = match histogram.exemplars.as_slice() {
            [] => of_buckets.collect(),
            own => own.to_vec(),
        };
        for message in messages {
            let exemplar = read_exemplar(message)?;
            if exemplar.timestamp_ms.is_some() {
                self.exemplars.push(exemplar);
            }
        }
        Ok(())
    }

    /// What [`Self::advance`] has moved to.
    pub(crate) fn entry(&self) -> Entry<'_> {
        let family = Cow::Borrowed(self.family.name);
        let timestamp_ms = (self.metric.timestamp_ms != 0).then_some(self.metric.timestamp_ms);
        let start_ms = if self.options.start_timestamps { self.metric.created_ms } else { 0 };
        match (self.shown, &self.native) {
            (Shown::Help, _) => Entry::Help { family, text: Cow::Borrowed(self.family.help) },
            (Shown::Unit, _) => Entry::Unit { family, unit: Cow::Borrowed(self.family.unit) },
            (Shown::Type, _) => Entry::Type { family, metric_type: self.family.metric_type },
            (Shown::Float, _) => Entry::Sample(Sample {
                series: self.series(),
                value: self.value,
                timestamp_ms,
                start_ms,
                exemplars: &self.exemplars,
            }),
            (Shown::Native, Some(value)) => Entry::Histogram(HistogramEntry {
                series: self.series(),
                value,
                timestamp_ms,
                start_ms,
                exemplars: &self.exemplars,
            }),
            (Shown::Native, None) | (Shown::None, _) => Entry::Comment,
        }
    }

    fn series(&self) -> Series<'_> {
        Series {
            bytes: &self.key.bytes,
            name: self.key.name,
            labels: &self.key.labels,
            has_escapes: false,
            // Bounds are written in OpenMetrics' form already.
            family_type: MetricType::Unknown,
        }
    }
}

fn read_exemplar(mut message: Message<'_>) -> Result<Exemplar> {
    let (mut labels, mut value, mut time) = (Builder::new(), 0.0, None);
    while let Some(field) = message.field()? {
        match field {
            (1, Value::Message(label)) => {
                let (name, value) = label_pair(label)?;
                labels.set(name.text()?, value.text()?);
            }
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (3, Value::Message(timestamp)) => time = Some(timestamp_ms(timestamp)?),
            _ => {}
        }
    }
    Ok(Exemplar { labels: labels.build(), value, timestamp_ms: time })
}
