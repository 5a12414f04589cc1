//! What `load` put in.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use chunkenc::{
    Appended, Encoding, FloatHistogramAppender, ResetFlag, encode_float_histograms_with_starts, encode_xor, encode_xor2,
};
use histogram::FloatHistogram;
use labels::{Builder, Labels};
use promql_syntax::testlang::{Load, StoreScope};
use promql_syntax::{SequenceValue, SeriesDescription};
use storage::{Chunk, MemorySource, Series, SeriesSource};

use super::custom_buckets;

/// Samples of a chunk, as a head cuts them.
const SAMPLES_PER_CHUNK: usize = 120;

/// A loaded sample.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// 0 = not known.
    pub start_ms: i64,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Float(f64),
    Histogram(Box<FloatHistogram>),
}

/// The samples of a series by time, ms.
pub(super) type Samples = BTreeMap<i64, Sample>;

/// The samples loaded so far.
#[derive(Debug, Default)]
pub(super) struct Store {
    series: BTreeMap<Labels, Samples>,
    /// Of the store that is loaded.
    scope: Option<StoreScope>,
    source: OnceLock<Arc<dyn SeriesSource>>,
}

/// The points of a description.
///
/// # Errors
/// Where histograms cannot be put together.
pub(super) fn points(description: &SeriesDescription) -> Result<Vec<SequenceValue>, String> {
    description.expand(|a, b, negative| {
        let combined = if negative { promql::difference(a, b) } else { promql::total(a, b) };
        combined.map(|(h, _)| h).map_err(|e| e.to_string())
    })
}

impl Store {
    /// What is loaded from here on belongs to a store.
    pub fn enter(&mut self, scope: StoreScope) {
        self.scope = Some(scope);
    }

    /// Adds the series of a `load`.
    ///
    /// # Errors
    /// When a series has other samples at the same times.
    pub fn load(&mut self, load: &Load) -> Result<(), String> {
        // Within one load the later of two equal series counts.
        let mut fresh: BTreeMap<Labels, Samples> = BTreeMap::new();
        for series in &load.series {
            let mut samples = Samples::new();
            let mut starts = series.start_offsets.iter().flat_map(|s| s.iter());
            for (i, value) in points(&series.description)?.into_iter().enumerate() {
                let time_ms = i as i64 * load.step_ms;
                let start_ms = starts.next().flatten().map_or(0, |offset| time_ms + offset);
                let value = match value {
                    SequenceValue::Missing => continue,
                    SequenceValue::Float(v) => Value::Float(v),
                    SequenceValue::Histogram { histogram, .. } => Value::Histogram(Box::new(histogram)),
                };
                samples.insert(time_ms, Sample { start_ms, value });
            }
            fresh.insert(series.description.labels.clone(), samples);
        }
        if load.with_nhcb {
            fresh.extend(custom_buckets::convert(&fresh)?);
        }
        self.source = OnceLock::new();
        for (mut labels, mut samples) in fresh {
            if let Some(StoreScope { labels: external, min_ms, max_ms }) = &self.scope {
                samples.retain(|t, _| t >= min_ms && t <= max_ms);
                let mut builder = Builder::from_labels(&labels);
                external.iter().for_each(|(name, value)| _ = builder.set(name, value));
                labels = builder.build();
            }
            self.series.entry(labels).or_default().extend(samples);
        }
        Ok(())
    }

    /// To query.
    pub fn source(&self) -> Arc<dyn SeriesSource> {
        let make = || {
            let series = self.series.iter().filter(|(_, samples)| !samples.is_empty());
            let encoded = series.map(|(labels, samples)| Series { labels: labels.clone(), chunks: chunks(samples) });
            Arc::new(MemorySource::new(encoded.collect())) as Arc<dyn SeriesSource>
        };
        self.source.get_or_init(make).clone()
    }
}

fn encoding(sample: &Sample) -> Encoding {
    match &sample.value {
        Value::Float(_) if sample.start_ms != 0 => Encoding::Xor2,
        Value::Float(_) => Encoding::Xor,
        Value::Histogram(_) if sample.start_ms != 0 => Encoding::FloatHistogramSt,
        Value::Histogram(_) => Encoding::FloatHistogram,
    }
}

fn chunks(samples: &Samples) -> Vec<Chunk> {
    let all: Vec<(i64, &Sample)> = samples.iter().map(|(t, s)| (*t, s)).collect();
    let mut out = Vec::new();
    for run in all.chunk_by(|a, b| encoding(a.1) == encoding(b.1)) {
        for part in run.chunks(SAMPLES_PER_CHUNK) {
            encode(part, &mut out);
        }
    }
    out
}

/// Appends the chunks of samples of one encoding.
fn encode(samples: &[(i64, &Sample)], out: &mut Vec<Chunk>) {
    let encoding = encoding(samples[0].1);
    let float = |s: &Sample| if let Value::Float(v) = s.value { v } else { f64::NAN };
    let data = match encoding {
        Encoding::Xor => encode_xor(samples.iter().map(|(t, s)| (*t, float(s)))),
        Encoding::Xor2 => encode_xor2(samples.iter().map(|(t, s)| (s.start_ms, *t, float(s)))),
        Encoding::FloatHistogramSt => return encode_with_starts(samples, out),
        _ => return encode_histograms(samples, out),
    };
    // The samples of a part are fewer than a chunk can count, which is all that may go wrong.
    let data = data.unwrap_or_default();
    out.push(Chunk::raw(samples[0].0, samples[samples.len() - 1].0, encoding, data.into()));
}

/// A chunk for each histogram with a start timestamp, which is all that scripts need.
fn encode_with_starts(samples: &[(i64, &Sample)], out: &mut Vec<Chunk>) {
    for (time, sample) in samples {
        let Value::Histogram(h) = &sample.value else { continue };
        let rows = [(sample.start_ms, *time, &**h)];
        if let Ok(data) = encode_float_histograms_with_starts(ResetFlag::Unknown, &rows) {
            out.push(Chunk::raw(*time, *time, Encoding::FloatHistogramSt, data.into()));
        }
    }
}

/// The same of histograms, of which a change of buckets or a reset begins a new chunk.
fn encode_histograms(samples: &[(i64, &Sample)], out: &mut Vec<Chunk>) {
    let mut flag = ResetFlag::Unknown;
    let mut rest = samples;
    while !rest.is_empty() {
        let mut appender = FloatHistogramAppender::new(flag);
        let mut taken = 0;
        for (time_ms, sample) in rest {
            let Value::Histogram(h) = &sample.value else { continue };
            match appender.append(*time_ms, h) {
                Ok(Appended::Cut(next)) => {
                    flag = next;
                    break;
                }
                Ok(_) => taken += 1,
                Err(_) => break,
            }
        }
        // A histogram that no chunk holds is passed over: scripts have none.
        let taken = taken.max(1);
        if !appender.is_empty() {
            let (first, last) = (rest[0].0, rest[taken - 1].0);
            out.push(Chunk::raw(first, last, Encoding::FloatHistogram, appender.to_vec().into()));
        }
        rest = &rest[taken..];
    }
}
