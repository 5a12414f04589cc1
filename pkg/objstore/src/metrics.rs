//! `thanos_objstore_bucket_*`: what is done to the bucket, how often it fails, how long it takes, how much it moves.

use std::sync::Arc;
use std::time::Instant;

use futures::future::{BoxFuture, FutureExt};
use model::Clock;
use object_store::Result;
use telemetry::{Counter, Gauge, Histogram, Metrics};

use crate::decorate::{Hook, Op};
use crate::error::{ErrorKind, classify};

/// Thanos' buckets, in seconds.
const DURATION_BUCKETS: [f64; 14] = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// Counts operations on one bucket.
#[derive(Debug)]
pub struct MetricsHook {
    clock: Arc<dyn Clock>,
    ops: Vec<(Op, OpMetrics)>,
    last_upload: Gauge,
}

#[derive(Debug)]
struct OpMetrics {
    tried: Counter,
    failed: Counter,
    seconds: Histogram,
    fetched: Option<Counter>,
    transferred: Option<Histogram>,
}

/// The operations Thanos knows: the steps of a multipart upload are one `upload`.
const SHOWN: [Op; 7] = [Op::Iter, Op::Get, Op::GetRange, Op::Exists, Op::Upload, Op::Delete, Op::Attributes];

impl MetricsHook {
    /// Registers the metrics for the bucket called `bucket`, all operations at zero.
    pub fn new(metrics: &Metrics, bucket: &str, clock: Arc<dyn Clock>) -> Self {
        let labels = &["bucket", "operation"];
        let tried = metrics.counters(
            "thanos_objstore_bucket_operations_total",
            "Operations on the bucket, whether they succeeded or not.",
            labels,
        );
        let failed = metrics.counters(
            "thanos_objstore_bucket_operation_failures_total",
            "Operations on the bucket that failed; an object that is not there is an answer, not a failure.",
            labels,
        );
        let seconds = metrics.histograms(
            "thanos_objstore_bucket_operation_duration_seconds",
            "How long successful operations on the bucket took, the reading of the body included.",
            labels,
            &DURATION_BUCKETS,
        );
        let fetched = metrics.counters(
            "thanos_objstore_bucket_operation_fetched_bytes_total",
            "Bytes fetched from the bucket.",
            labels,
        );
        let transferred = metrics.histograms(
            "thanos_objstore_bucket_operation_transferred_bytes",
            "Bytes moved by one operation, in either direction.",
            labels,
            &telemetry::exponential_buckets(32768.0, 2.0, 16),
        );
        let last_upload = metrics
            .gauges(
                "thanos_objstore_bucket_last_successful_upload_time",
                "Unix seconds of the last upload.",
                &["bucket"],
            )
            .with(&[bucket]);
        let ops = SHOWN
            .into_iter()
            .map(|op| {
                let values = &[bucket, op.name()];
                let reads = matches!(op, Op::Get | Op::GetRange);
                let moves = reads || op == Op::Upload;
                let metrics = OpMetrics {
                    tried: tried.with(values),
                    failed: failed.with(values),
                    seconds: seconds.with(values),
                    fetched: reads.then(|| fetched.with(values)),
                    transferred: moves.then(|| transferred.with(values)),
                };
                (op, metrics)
            })
            .collect();
        Self { clock, ops, last_upload }
    }

    fn of(&self, op: Op) -> Option<&OpMetrics> {
        self.ops.iter().find(|(o, _)| *o == op).map(|(_, m)| m)
    }
}

impl Hook for MetricsHook {
    type Guard = Instant;

    fn before<'a>(&'a self, op: Op, _: &'a str) -> BoxFuture<'a, Result<Instant>> {
        if let Some(metrics) = self.of(op) {
            metrics.tried.inc();
        }
        futures::future::ok(Instant::now()).boxed()
    }

    fn after(
        &self,
        began: Instant,
        op: Op,
        _: &str,
        bytes: u64,
        failed: Option<&object_store::Error>,
    ) -> Option<object_store::Error> {
        // A part or a begin that fails is a failed upload.
        let failed_upload = matches!(op, Op::UploadBegin | Op::UploadPart) && failed.is_some();
        let metrics = self.of(if failed_upload { Op::Upload } else { op })?;
        if let Some(counter) = &metrics.fetched {
            counter.inc_by(bytes);
        }
        if let Some(error) = failed {
            let answered = [ErrorKind::NotFound, ErrorKind::AlreadyExists, ErrorKind::Precondition];
            if !answered.contains(&classify(error)) {
                metrics.failed.inc();
            }
            return None;
        }
        metrics.seconds.observe(began.elapsed().as_secs_f64());
        if let Some(histogram) = &metrics.transferred {
            histogram.observe(bytes as f64);
        }
        if op == Op::Upload {
            self.last_upload.set(self.clock.now_ms() as f64 / 1000.0);
        }
        None
    }
}
