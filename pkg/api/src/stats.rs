//! `data.stats`: Prometheus' figures, and ours beside them.

use std::cmp::Reverse;

use model::Resolution;
use promql::QueryStats;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use storage::{Origin, SourceRead};

#[derive(Debug, Serialize)]
struct Stats<'a> {
    timings: Timings,
    samples: Samples<'a>,
    storage: Storage,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<OriginJson<'a>>,
}

/// All in seconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Timings {
    eval_total_time: f64,
    result_sort_time: f64,
    query_preparation_time: f64,
    inner_eval_time: f64,
    exec_queue_time: f64,
    exec_total_time: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Samples<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_queryable_samples_per_step: Option<Steps<'a>>,
    total_queryable_samples: u64,
    samples_read: u64,
    peak_samples: u64,
}

/// What reading took; no part of Prometheus' answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Storage {
    series: u64,
    samples_decoded: u64,
    chunk_bytes: u64,
    peak_bytes: u64,
}

/// What one source sent at one resolution; no part of Prometheus' answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OriginJson<'a> {
    kind: &'a str,
    name: &'a str,
    /// `raw`, `5m`, `1h`.
    resolution: &'static str,
    /// Seconds; absent without samples.
    start: Option<f64>,
    end: Option<f64>,
    requests: u64,
    series: u64,
    chunks: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<ReadJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// What a source read to answer: of its blocks, from its caches and from the bucket.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadJson {
    blocks: u64,
    bytes: u64,
    bucket_bytes: u64,
    bucket_requests: u64,
}

impl From<SourceRead> for ReadJson {
    fn from(read: SourceRead) -> Self {
        let SourceRead { blocks, bytes, bucket_bytes, bucket_requests } = read;
        Self { blocks, bytes, bucket_bytes, bucket_requests }
    }
}

impl<'a> OriginJson<'a> {
    fn of(origin: &'a Origin) -> Self {
        let Origin { requests, series, chunks, bytes, .. } = *origin;
        let seconds = |ms: i64| ms as f64 / 1000.0;
        Self {
            kind: &origin.kind,
            name: &origin.name,
            resolution: match origin.resolution_ms {
                0 => "raw",
                ms if ms == Resolution::FiveMinutes.ms() => "5m",
                _ => "1h",
            },
            start: origin.range.map(|range| seconds(range.min)),
            end: origin.range.map(|range| seconds(range.max)),
            requests,
            series,
            chunks,
            bytes,
            read: origin.read.map(ReadJson::from),
            error: origin.error.as_deref(),
        }
    }
}

/// `[[seconds,samples],…]`.
#[derive(Debug)]
struct Steps<'a>(&'a [(i64, u64)]);

impl Serialize for Steps<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (t_ms, samples) in self.0 {
            if t_ms % 1000 == 0 {
                list.serialize_element(&(t_ms / 1000, samples))?;
            } else {
                list.serialize_element(&(*t_ms as f64 / 1000.0, samples))?;
            }
        }
        list.end()
    }
}

/// Origins in one answer; of more, those that sent most.
const ORIGINS_MAX: usize = 200;

pub(crate) fn write(out: &mut Vec<u8>, stats: &QueryStats, origins: &[Origin]) {
    let mut largest: Vec<_> = origins.iter().collect();
    largest.sort_by_key(|origin| Reverse((origin.error.is_some(), origin.bytes)));
    largest.truncate(ORIGINS_MAX);
    let busy = stats.prepare_seconds + stats.eval_seconds;
    let stats = Stats {
        timings: Timings {
            eval_total_time: busy,
            // Results come out sorted; there is no step of its own.
            result_sort_time: 0.0,
            query_preparation_time: stats.prepare_seconds,
            inner_eval_time: stats.eval_seconds,
            exec_queue_time: stats.queue_seconds,
            exec_total_time: stats.queue_seconds + busy,
        },
        samples: Samples {
            total_queryable_samples_per_step: stats.samples_per_step.as_deref().map(Steps),
            total_queryable_samples: stats.total_samples,
            samples_read: stats.decoded_samples,
            peak_samples: stats.peak_samples,
        },
        storage: Storage {
            series: stats.series,
            samples_decoded: stats.decoded_samples,
            chunk_bytes: stats.chunk_bytes,
            peak_bytes: stats.peak_bytes,
        },
        origins: largest.into_iter().map(OriginJson::of).collect(),
    };
    // Durations are finite and no keys are maps: this does not fail.
    let _ = serde_json::to_writer(out, &stats);
}

#[cfg(test)]
mod tests {
    use model::TimeRange;

    use super::*;

    #[test]
    fn expected_text() {
        let stats = QueryStats {
            queue_seconds: 0.5,
            prepare_seconds: 0.25,
            eval_seconds: 1.25,
            total_samples: 10,
            decoded_samples: 7,
            series: 2,
            chunk_bytes: 99,
            peak_samples: 4,
            peak_bytes: 1000,
            samples_per_step: Some(vec![(1000, 6), (1500, 4)]),
            ..QueryStats::default()
        };
        let mut out = Vec::new();
        write(&mut out, &stats, &[]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"timings":{"evalTotalTime":1.5,"resultSortTime":0.0,"queryPreparationTime":0.25,"#,
                r#""innerEvalTime":1.25,"execQueueTime":0.5,"execTotalTime":2.0},"#,
                r#""samples":{"totalQueryableSamplesPerStep":[[1,6],[1.5,4]],"totalQueryableSamples":10,"#,
                r#""samplesRead":7,"peakSamples":4},"#,
                r#""storage":{"series":2,"samplesDecoded":7,"chunkBytes":99,"peakBytes":1000}}"#
            )
        );
    }

    #[test]
    fn what_sent_most_comes_first_but_failures_before_all() {
        let (range, error) = (Some(TimeRange::new(1000, 2500)), None);
        let store = Origin {
            kind: "store".into(),
            name: "a:1".into(),
            resolution_ms: 300_000,
            range,
            requests: 1,
            series: 2,
            chunks: 3,
            bytes: 40,
            read: Some(SourceRead { blocks: 7, bytes: 100, bucket_bytes: 30, bucket_requests: 2 }),
            error,
        };
        let down = Origin { error: Some("gone".to_owned()), range: None, bytes: 0, ..store.clone() };
        let many: Vec<_> = (0..300).map(|bytes| Origin { bytes, ..store.clone() }).chain([down]).collect();
        let mut out = Vec::new();
        write(&mut out, &QueryStats::default(), &many);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let origins = json["origins"].as_array().unwrap();
        assert_eq!((origins.len(), &origins[0]["error"], &origins[0]["start"]), (200, &"gone".into(), &().into()));
        let expected = serde_json::json!({
            "kind": "store", "name": "a:1", "resolution": "5m", "start": 1.0, "end": 2.5, "requests": 1, "series": 2,
            "chunks": 3, "bytes": 299, "read": {"blocks": 7, "bytes": 100, "bucketBytes": 30, "bucketRequests": 2},
        });
        assert_eq!(origins[1], expected);
    }
}
