//! How much one Series call may give.

use futures::StreamExt;
use labels::Labels;
use storage::{Error, Result, Series, SeriesEvent, SeriesStream};

/// Thanos' measure of samples not yet decoded.
const SAMPLES_PER_CHUNK: u64 = 120;

/// Limits of one Series call; 0 = none. From `--store.limits.request-series` and `-samples`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreLimits {
    /// Series in the answer to one Series call.
    pub series: u64,
    /// Samples sent, counted as 120 a chunk.
    pub samples: u64,
}

/// What a call has given.
#[derive(Debug)]
pub(crate) struct Given {
    limits: StoreLimits,
    series: u64,
    chunks: u64,
    last: Option<Labels>,
}

impl Given {
    pub(crate) fn new(limits: StoreLimits) -> Self {
        Self { limits, series: 0, chunks: 0, last: None }
    }

    /// Counts `series`, which may be a further part of the one before.
    pub(crate) fn add(&mut self, series: &Series) -> Result<()> {
        if self.last.as_ref() != Some(&series.labels) {
            self.series += 1;
            self.last = Some(series.labels.clone());
        }
        self.chunks += series.chunks.iter().filter(|c| c.min_time <= c.max_time).count() as u64;
        let StoreLimits { series: series_max, samples: samples_max } = self.limits;
        if series_max > 0 && self.series > series_max {
            return Err(Error::Limit(format!(
                "exceeded series limit: limit {series_max} violated (got {}), see --store.limits.request-series",
                self.series
            )));
        }
        let samples = self.chunks * SAMPLES_PER_CHUNK;
        if samples_max > 0 && samples > samples_max {
            return Err(Error::Limit(format!(
                "exceeded samples limit: limit {samples_max} violated (got {samples}), see --store.limits.request-samples",
            )));
        }
        Ok(())
    }
}

/// `stream`, which fails where it gives more than `limits` allow.
pub fn limited(stream: SeriesStream, limits: StoreLimits) -> SeriesStream {
    if limits.series == 0 && limits.samples == 0 {
        return stream;
    }
    let mut given = Given::new(limits);
    Box::pin(stream.map(move |event| {
        if let Ok(SeriesEvent::Batch(batch)) = &event {
            batch.iter().try_for_each(|series| given.add(series))?;
        }
        event
    }))
}
