//! The other form of remote read: all samples in one snappy-compressed message, encoded here into chunks.

use bytes::Bytes;
use chunkenc::{Appended, Encoding, FloatHistogramAppender, HistogramAppender, ResetFlag, XorAppender};
use histogram::{FloatHistogram, Histogram, ResetHint, Span};
use labels::Labels;
use prost::Message;
use proto::prometheus::ReadResponse;
use proto::prometheus_copy as wire;
use storage::{Chunk, Error, Result};

/// Samples per chunk, Prometheus' own.
const CHUNK_SAMPLES: usize = 120;

/// Decodes an answer of at most `bytes_max` decompressed bytes into series in the order sent. Series without samples
/// are left out.
pub(crate) fn decode(body: &[u8], bytes_max: usize) -> Result<Vec<(Labels, Vec<Chunk>)>> {
    let corrupt = |e: &dyn std::fmt::Display| Error::Corrupt(format!("sampled answer: {e}"));
    let size = snap::raw::decompress_len(body).map_err(|e| corrupt(&e))?;
    if size > bytes_max {
        return Err(Error::Limit(format!("sampled answer has {size} bytes, over the limit of {bytes_max}")));
    }
    let plain = snap::raw::Decoder::new().decompress_vec(body).map_err(|e| corrupt(&e))?;
    let answer = ReadResponse::decode(Bytes::from(plain)).map_err(|e| corrupt(&e))?;
    let mut results = answer.results.into_iter();
    let (Some(result), None) = (results.next(), results.next()) else {
        return Err(corrupt(&"not one result for one query"));
    };
    let mut out = Vec::with_capacity(result.timeseries.len());
    for series in result.timeseries {
        let labels = labels_of(&series.labels)?;
        let mut chunks = floats(&series.samples).map_err(|e| corrupt(&format!("{labels}: {e}")))?;
        chunks.extend(histograms(&series.histograms).map_err(|e| corrupt(&format!("{labels}: {e}")))?);
        chunks.sort_by_key(|c| (c.min_time, c.max_time));
        if !chunks.is_empty() {
            out.push((labels, chunks));
        }
    }
    Ok(out)
}

/// Labels as both forms of the answer carry them.
pub(crate) fn labels_of(list: &[wire::Label]) -> Result<Labels> {
    Labels::from_sorted(list.iter().map(|l| (l.name.as_str(), l.value.as_str())))
        .map_err(|e| Error::Corrupt(format!("labels of a series: {e}")))
}

fn floats(samples: &[wire::Sample]) -> std::result::Result<Vec<Chunk>, chunkenc::Error> {
    samples
        .chunks(CHUNK_SAMPLES)
        .filter_map(|part| Some((part.first()?.timestamp, part.last()?.timestamp, part)))
        .map(|(min, max, part)| {
            let mut appender = XorAppender::new();
            for sample in part {
                appender.append(sample.timestamp, sample.value)?;
            }
            Ok(Chunk::raw(min, max, Encoding::Xor, appender.to_vec().into()))
        })
        .collect()
}

enum Open {
    Integer(HistogramAppender),
    Float(FloatHistogramAppender),
}

enum Sample {
    Integer(Histogram),
    Float(FloatHistogram),
}

impl Open {
    fn new(sample: &Sample, flag: ResetFlag) -> Self {
        match sample {
            Sample::Integer(_) => Self::Integer(HistogramAppender::new(flag)),
            Sample::Float(_) => Self::Float(FloatHistogramAppender::new(flag)),
        }
    }

    /// `None` when the chunk holds the other kind, or enough.
    fn append(&mut self, time: i64, sample: &Sample) -> std::result::Result<Option<Appended>, chunkenc::Error> {
        match (self, sample) {
            (Self::Integer(a), Sample::Integer(h)) if a.len() < CHUNK_SAMPLES => a.append(time, h).map(Some),
            (Self::Float(a), Sample::Float(h)) if a.len() < CHUNK_SAMPLES => a.append(time, h).map(Some),
            _ => Ok(None),
        }
    }

    fn close(&self, min: i64, max: i64) -> Chunk {
        match self {
            Self::Integer(a) => Chunk::raw(min, max, Encoding::Histogram, a.to_vec().into()),
            Self::Float(a) => Chunk::raw(min, max, Encoding::FloatHistogram, a.to_vec().into()),
        }
    }
}

fn histograms(list: &[wire::Histogram]) -> std::result::Result<Vec<Chunk>, chunkenc::Error> {
    let mut out = Vec::new();
    let mut open: Option<(Open, i64, i64)> = None;
    for h in list {
        let (time, sample) = (h.timestamp, sample_of(h));
        let mut flag = ResetFlag::Unknown;
        if let Some((chunk, _, max)) = &mut open {
            match chunk.append(time, &sample)? {
                Some(Appended::InPlace | Appended::Widened) => {
                    *max = time;
                    continue;
                }
                Some(Appended::Cut(next)) => flag = next,
                None => {}
            }
        }
        if let Some((chunk, min, max)) = open.take() {
            out.push(chunk.close(min, max));
        }
        let mut chunk = Open::new(&sample, flag);
        chunk.append(time, &sample)?;
        open = Some((chunk, time, time));
    }
    out.extend(open.map(|(chunk, min, max)| chunk.close(min, max)));
    Ok(out)
}

fn spans(list: &[wire::BucketSpan]) -> Vec<Span> {
    list.iter().map(|s| Span { offset: s.offset, length: s.length }).collect()
}

fn sample_of(h: &wire::Histogram) -> Sample {
    use wire::histogram::{Count, ResetHint as WireHint, ZeroCount};
    let reset_hint = match WireHint::try_from(h.reset_hint) {
        Ok(WireHint::Yes) => ResetHint::Reset,
        Ok(WireHint::No) => ResetHint::NotReset,
        Ok(WireHint::Gauge) => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    if let Some(Count::CountFloat(count)) = h.count {
        let zero_count = match h.zero_count {
            Some(ZeroCount::ZeroCountFloat(v)) => v,
            Some(ZeroCount::ZeroCountInt(v)) => v as f64,
            None => 0.0,
        };
        return Sample::Float(FloatHistogram {
            reset_hint,
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            zero_count,
            count,
            sum: h.sum,
            positive_spans: spans(&h.positive_spans),
            positive_buckets: h.positive_counts.clone(),
            negative_spans: spans(&h.negative_spans),
            negative_buckets: h.negative_counts.clone(),
            custom_values: h.custom_values.clone(),
        });
    }
    Sample::Integer(Histogram {
        reset_hint,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::ZeroCountInt(v)) => v,
            _ => 0,
        },
        count: match h.count {
            Some(Count::CountInt(v)) => v,
            _ => 0,
        },
        sum: h.sum,
        positive_spans: spans(&h.positive_spans),
        positive_deltas: h.positive_deltas.clone(),
        negative_spans: spans(&h.negative_spans),
        negative_deltas: h.negative_deltas.clone(),
        custom_values: h.custom_values.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkenc::Column;
    use proto::prometheus::QueryResult;

    fn pack(series: Vec<wire::TimeSeries>) -> Vec<u8> {
        let message = ReadResponse { results: vec![QueryResult { timeseries: series }] };
        snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
    }

    fn label(name: &str, value: &str) -> wire::Label {
        wire::Label { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn chunks_of_120() {
        let samples: Vec<_> = (0..250).map(|i| wire::Sample { timestamp: i * 1000, value: i as f64 }).collect();
        let body = pack(vec![
            wire::TimeSeries { labels: vec![label("a", "1")], samples, ..Default::default() },
            wire::TimeSeries { labels: vec![label("a", "2")], ..Default::default() },
        ]);
        let got = decode(&body, 1 << 20).unwrap();
        assert_eq!(got.len(), 1, "a series without samples is left out");
        let bounds: Vec<_> = got[0].1.iter().map(|c| (c.min_time, c.max_time)).collect();
        assert_eq!(bounds, [(0, 119_000), (120_000, 239_000), (240_000, 249_000)]);
        let storage::ChunkData::Raw(raw) = &got[0].1[2].data else { panic!("not raw") };
        let mut column = Column::new();
        chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
        assert_eq!((column.times[9], column.values[9]), (249_000, 249.0));
    }

    #[test]
    fn histograms_of_both_kinds() {
        let span = || vec![wire::BucketSpan { offset: 0, length: 1 }];
        let integer = |t: i64, n: u64| wire::Histogram {
            timestamp: t,
            count: Some(wire::histogram::Count::CountInt(n)),
            positive_spans: span(),
            positive_deltas: vec![n as i64],
            ..Default::default()
        };
        let float = |t: i64| wire::Histogram {
            timestamp: t,
            count: Some(wire::histogram::Count::CountFloat(1.5)),
            positive_spans: span(),
            positive_counts: vec![1.5],
            ..Default::default()
        };
        // 3 to 1 is a counter reset, which begins a chunk
        let chunks = histograms(&[integer(1, 2), integer(2, 3), integer(3, 1), float(4)]).unwrap();
        let got: Vec<_> = chunks
            .iter()
            .map(|c| match &c.data {
                storage::ChunkData::Raw(raw) => (c.min_time, c.max_time, raw.encoding),
                _ => panic!("not raw"),
            })
            .collect();
        assert_eq!(got, [(1, 2, Encoding::Histogram), (3, 3, Encoding::Histogram), (4, 4, Encoding::FloatHistogram)]);
    }

    #[test]
    fn limits_and_damage() {
        let body = pack(vec![]);
        assert!(decode(&body, 1 << 20).unwrap().is_empty());
        // A declared size is checked before anything is allocated.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(decode(&bomb, 1 << 20), Err(Error::Limit(_))));
        assert!(matches!(decode(b"not snappy at all", 1 << 20), Err(Error::Corrupt(_) | Error::Limit(_))));
    }
}
