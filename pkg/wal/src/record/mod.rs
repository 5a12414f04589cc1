//! The records of the log, thirteen kinds, in columns.
//!
//! Decoders append to columns that are used again for the next record. A record whose bytes are not what the format says
//! leaves the columns as they were. A histogram that makes no sense, but whose end is known, costs only itself
//! (prometheus#17214).

mod columns;
mod exemplars;
mod histogram_bytes;
mod histograms;
mod metadata;
mod pairs;
mod rows;
mod samples;
mod series;
mod tombstones;

pub use exemplars::{ExemplarReader, ExemplarRow, encode_exemplars, put_exemplars};
pub use histogram_bytes::{BucketHistogram, put_histogram, read_histogram};
pub(crate) use histograms::encode_histograms_as;
pub use histograms::{Histograms, encode_histograms, encode_histograms_with_starts};
pub use metadata::{MetadataReader, MetadataRow, encode_metadata};
pub use pairs::{put_labels, read_labels};
pub use samples::{Samples, encode_samples, encode_samples_with_starts};
pub(crate) use series::put_series;
pub use series::{SeriesReader, encode_series};
pub use tombstones::{Markers, Tombstones, encode_markers, encode_tombstones};

use encoding::{Corrupt, Cursor};

/// What a record holds; the number is its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The labels of new series: [`SeriesReader`].
    Series = 1,
    /// Float samples: [`Samples`].
    Samples = 2,
    /// Deleted intervals of series: [`Tombstones`].
    Tombstones = 3,
    /// Exemplars: [`ExemplarReader`].
    Exemplars = 4,
    /// In the log of out-of-order samples only: the samples so far of these series are in chunks on disk: [`Markers`].
    MmapMarkers = 5,
    /// Type, unit and help of series: [`MetadataReader`].
    Metadata = 6,
    /// Histograms with integer counts and exponential buckets: [`Histograms`].
    Histograms = 7,
    /// The same with float counts.
    FloatHistograms = 8,
    /// Histograms with integer counts and custom bucket bounds.
    CustomHistograms = 9,
    /// The same with float counts.
    CustomFloatHistograms = 10,
    /// Float samples with start timestamps; Prometheus 3.11 and later with `st-storage`.
    SamplesWithStarts = 11,
    /// Histograms with integer counts, of both kinds of buckets, with start timestamps; 3.12 and later.
    HistogramsWithStarts = 12,
    /// The same with float counts.
    FloatHistogramsWithStarts = 13,
}

impl Kind {
    /// What `record` holds; `None` for kinds that are not known (skip the record) and for an empty record.
    pub fn of(record: &[u8]) -> Option<Self> {
        Some(match record.first()? {
            1 => Self::Series,
            2 => Self::Samples,
            3 => Self::Tombstones,
            4 => Self::Exemplars,
            5 => Self::MmapMarkers,
            6 => Self::Metadata,
            7 => Self::Histograms,
            8 => Self::FloatHistograms,
            9 => Self::CustomHistograms,
            10 => Self::CustomFloatHistograms,
            11 => Self::SamplesWithStarts,
            12 => Self::HistogramsWithStarts,
            13 => Self::FloatHistogramsWithStarts,
            _ => return None,
        })
    }
}

/// A cursor behind the first byte of `record`, which must be one of `kinds`.
fn body<'a>(record: &'a [u8], kinds: &[Kind]) -> Result<(Kind, Cursor<'a>), Corrupt> {
    let cursor = Cursor::new("record", 0, record);
    match Kind::of(record) {
        Some(kind) if kinds.contains(&kind) => Ok((kind, cursor.seek(1))),
        _ => Err(cursor.corrupt(format!("record of type {:?}, one of {kinds:?} was expected", record.first()))),
    }
}
