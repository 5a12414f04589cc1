//! The shipper's metrics, under Thanos' names.

use telemetry::{Counter, Gauge, Metrics};

#[derive(Debug)]
pub(super) struct ShipperMetrics {
    pub(super) dir_syncs: Counter,
    pub(super) dir_sync_failures: Counter,
    pub(super) uploads: Counter,
    pub(super) upload_failures: Counter,
    pub(super) corrupted_blocks: Counter,
    pub(super) list_failures: Counter,
    pub(super) upload_compacted_done: Gauge,
}

impl ShipperMetrics {
    pub(super) fn new(m: &Metrics) -> Self {
        Self {
            dir_syncs: m.counter("thanos_shipper_dir_syncs_total", "Total number of dir syncs."),
            dir_sync_failures: m.counter("thanos_shipper_dir_sync_failures_total", "Total number of failed dir syncs."),
            uploads: m.counter("thanos_shipper_uploads_total", "Total number of uploaded blocks."),
            upload_failures: m
                .counter("thanos_shipper_upload_failures_total", "Total number of block upload failures."),
            corrupted_blocks: m.counter("thanos_shipper_corrupted_blocks_total", "Total number of corrupted blocks."),
            list_failures: m.counter(
                "aion_shipper_list_failures_total",
                "Total number of dir syncs after which the list of shipped blocks could not be written.",
            ),
            upload_compacted_done: m.gauge(
                "thanos_shipper_upload_compacted_done",
                "If 1 it means shipper uploaded all compacted blocks from the filesystem.",
            ),
        }
    }
}
