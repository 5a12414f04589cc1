//! Batches of rows. All columns of a batch have the same length, but for start times, which may be absent as a whole.

use std::sync::Arc;

use histogram::{FloatHistogram, Histogram};
use model::{Exemplar, MetricMetadata, is_stale};

use super::SeriesRef;
use crate::{Error, Result};

/// A batch of float samples, a row each.
#[derive(Debug, Clone, Copy)]
pub struct Floats<'a> {
    /// The series of each row.
    pub series: &'a [SeriesRef],
    /// Time of each sample, ms since the epoch.
    pub times_ms: &'a [i64],
    /// One value per row. The stale NaN marks the end of a series.
    pub values: &'a [f64],
    /// Since when the value accumulates ("created"), ms; 0 = unknown. Empty = unknown for all.
    pub starts_ms: &'a [i64],
}

/// A batch of native histograms, a row each.
#[derive(Debug, Clone, Copy)]
pub struct Histograms<'a> {
    /// The series of each row.
    pub series: &'a [SeriesRef],
    /// Time of each sample, ms since the epoch.
    pub times_ms: &'a [i64],
    /// One histogram per row. One whose sum is the stale NaN marks the end of a series.
    pub values: &'a [HistogramValue],
    /// As in [`Floats::starts_ms`].
    pub starts_ms: &'a [i64],
}

/// A native histogram of either kind.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramValue {
    /// With integer counts.
    Int(Arc<Histogram>),
    /// With float counts.
    Float(Arc<FloatHistogram>),
}

impl HistogramValue {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        is_stale(match self {
            Self::Int(h) => h.sum,
            Self::Float(h) => h.sum,
        })
    }

    /// Bytes in memory, about.
    pub fn size_bytes(&self) -> usize {
        let (spans, buckets) = match self {
            Self::Int(h) => (
                h.positive_spans.len() + h.negative_spans.len(),
                h.positive_deltas.len() + h.negative_deltas.len() + h.custom_values.len(),
            ),
            Self::Float(h) => (
                h.positive_spans.len() + h.negative_spans.len(),
                h.positive_buckets.len() + h.negative_buckets.len() + h.custom_values.len(),
            ),
        };
        size_of::<FloatHistogram>() + 8 * (spans + buckets)
    }
}

/// A batch of exemplars, a row each.
#[derive(Debug, Clone, Copy)]
pub struct Exemplars<'a> {
    /// The series of each row.
    pub series: &'a [SeriesRef],
    /// One exemplar per row.
    pub exemplars: &'a [Exemplar],
}

/// What metrics say of themselves.
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    /// The series of each row.
    pub series: &'a [SeriesRef],
    /// The metric family's name, which a histogram's or summary's series extend by a suffix.
    pub families: &'a [&'a str],
    /// Type, help and unit of the family, per row.
    pub metadata: &'a [MetricMetadata],
}

fn same(what: &str, series: usize, others: &[usize]) -> Result<()> {
    if others.iter().all(|len| *len == series) {
        return Ok(());
    }
    Err(Error::Invalid(format!("{what}: {series} series references, but columns of {others:?} rows")))
}

impl Floats<'_> {
    /// Holds the columns' lengths against one another.
    ///
    /// # Errors
    /// [`Error::Invalid`] if two columns have different lengths.
    pub fn check(&self) -> Result<()> {
        let starts = if self.starts_ms.is_empty() { self.series.len() } else { self.starts_ms.len() };
        same("float samples", self.series.len(), &[self.times_ms.len(), self.values.len(), starts])
    }
}

impl Histograms<'_> {
    /// Compares the columns' lengths, as [`Floats::check`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if two columns have different lengths.
    pub fn check(&self) -> Result<()> {
        let starts = if self.starts_ms.is_empty() { self.series.len() } else { self.starts_ms.len() };
        same("histograms", self.series.len(), &[self.times_ms.len(), self.values.len(), starts])
    }
}

impl Exemplars<'_> {
    /// Compares the columns' lengths, as [`Floats::check`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if two columns have different lengths.
    pub fn check(&self) -> Result<()> {
        same("exemplars", self.series.len(), &[self.exemplars.len()])
    }
}

impl Metadata<'_> {
    /// Compares the columns' lengths, as [`Floats::check`] does.
    ///
    /// # Errors
    /// [`Error::Invalid`] if two columns have different lengths.
    pub fn check(&self) -> Result<()> {
        same("metadata", self.series.len(), &[self.families.len(), self.metadata.len()])
    }
}
