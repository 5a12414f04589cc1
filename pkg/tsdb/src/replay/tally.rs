//! What a replay found.

use crate::head::Restored;

/// What a replay restored, and what it could not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replayed {
    /// What the head tells.
    pub restored: Restored,
    /// Records that were read.
    pub records: u64,
    /// Full chunks found on disk.
    pub chunks: u64,
    /// A snapshot was read in place of the log before it.
    pub from_snapshot: bool,
    /// Series that came with a snapshot.
    pub snapshot_series: u64,
    /// Open chunks that were saved.
    pub saved_chunks: u64,
    /// Corrupt places of the write-ahead log and its checkpoint; `prometheus_tsdb_wal_corruptions_total`.
    pub corruptions: u64,
    /// Corrupt places of the log of late samples.
    pub late_corruptions: u64,
    /// Corrupt places of the files of full chunks; `prometheus_tsdb_mmap_chunk_corruptions_total`.
    pub chunk_corruptions: u64,
    /// Histograms that make no sense, left out.
    pub invalid_histograms: u64,
    /// Records of kinds that are not known, left out.
    pub unknown_records: u64,
    /// Series that the head refused.
    pub refused_series: u64,
}

/// Corrupt places that are logged one by one; more are counted only.
const TOLD: u64 = 20;

impl Replayed {
    /// A place of a log that cannot be read.
    pub(super) fn corrupt(&mut self, late: bool, what: &dyn std::fmt::Display) {
        let count = if late { &mut self.late_corruptions } else { &mut self.corruptions };
        *count += 1;
        if *count <= TOLD {
            let log = if late { "wbl" } else { "wal" };
            tracing::warn!(log, place = %what, "a corrupt place of the log is left out; what follows it is read");
        }
    }

    /// A corrupt place of the files of full chunks.
    pub(super) fn corrupt_chunk(&mut self, what: &dyn std::fmt::Display) {
        self.chunk_corruptions += 1;
        if self.chunk_corruptions <= TOLD {
            tracing::warn!(place = %what, "a corrupt chunk of the head is left out; the log refills what it has of it");
        }
    }

    pub(super) fn refused(&mut self, why: &dyn std::fmt::Display) {
        self.refused_series += 1;
        if self.refused_series <= TOLD {
            tracing::error!(%why, "a series of the log cannot be restored, its samples are missing from answers");
        }
    }

    pub(super) fn log(&self) {
        let Self { records, chunks, corruptions, late_corruptions, chunk_corruptions, .. } = *self;
        let (series, unknown) = (self.restored.series, self.restored.unknown);
        tracing::info!(
            records,
            chunks,
            series,
            snapshot_series = self.snapshot_series,
            saved_chunks = self.saved_chunks,
            "the write-ahead log is replayed"
        );
        if corruptions + late_corruptions + chunk_corruptions > 0 {
            tracing::warn!(
                corruptions,
                late_corruptions,
                chunk_corruptions,
                "corrupt places were left out of the replay: their samples are missing from answers; check the disk"
            );
        }
        if unknown > 0 {
            tracing::warn!(unknown, "samples of the log belong to no series of it and were left out");
        }
        if self.invalid_histograms + self.unknown_records > 0 {
            let (invalid_histograms, unknown_records) = (self.invalid_histograms, self.unknown_records);
            tracing::warn!(
                invalid_histograms,
                unknown_records,
                "histograms that make no sense and records of unknown kinds were left out of the replay"
            );
        }
    }
}
