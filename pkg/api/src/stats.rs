//! `data.stats`: Prometheus' figures, and ours beside them.

use promql::QueryStats;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

#[derive(Debug, Serialize)]
struct Stats<'a> {
    timings: Timings,
    samples: Samples<'a>,
    storage: Storage,
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

pub(crate) fn write(out: &mut Vec<u8>, stats: &QueryStats) {
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
    };
    // Durations are finite and no keys are maps: this does not fail.
    let _ = serde_json::to_writer(out, &stats);
}

#[cfg(test)]
mod tests {
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
        };
        let mut out = Vec::new();
        write(&mut out, &stats);
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
}
