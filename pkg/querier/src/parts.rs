//! Results of remote evaluations as series that the engine reads.

use std::sync::Arc;

use bytes::Bytes;
use chunkenc::{Encoding, encode_xor};
use futures::future::BoxFuture;
use histogram::FloatHistogram;
use labels::Labels;
use memory_store::{MemoryStore, MemoryStoreOptions};
use model::{Grid, stale_nan};
use promql::{QueryError, Times, Value};
use queryapi::PART_LABEL;
use storage::append::{AppendOptions, Appendable, Floats, HistogramValue, Histograms};
use storage::{
    Answer, Chunk, Ctx, LabelQuery, MemorySource, Reservation, Result, Select, Series, SeriesSource, SeriesStream,
    SourceInfo, collect_series,
};

/// One value of a result.
enum Sample {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// The results of one part, from all queriers.
pub(crate) struct PartsBuilder {
    grid: Grid,
    series: Vec<Series>,
    held: Vec<Reservation>,
}

/// The results of one part.
#[derive(Debug)]
pub(crate) struct Part {
    series: MemorySource,
    /// What its chunks take.
    _held: Vec<Reservation>,
}

impl PartsBuilder {
    pub fn new(times: Times) -> Self {
        let grid = match times {
            Times::Instant(at) => Grid::instant(at),
            Times::Range(grid) => grid,
        };
        Self { grid, series: Vec::new(), held: Vec::new() }
    }

    /// Adds the answer of one querier.
    pub async fn add(&mut self, ctx: &Ctx, value: Value) -> std::result::Result<(), QueryError> {
        match value {
            Value::Vector { time_ms, samples } => {
                for s in samples {
                    let sample = s.histogram.map_or(Sample::Float(s.value), Sample::Histogram);
                    self.one(ctx, &s.labels, vec![(time_ms, sample)]).await?;
                }
            }
            Value::Matrix(matrix) => {
                for s in &matrix.series {
                    let floats = s.floats(matrix.grid).map(|(t, v)| (t, Sample::Float(v)));
                    let native = s.histograms(matrix.grid).map(|(t, h)| (t, Sample::Histogram(Arc::new(h.clone()))));
                    let mut samples: Vec<(i64, Sample)> = floats.chain(native).collect();
                    samples.sort_by_key(|(t, _)| *t);
                    self.one(ctx, &s.labels, samples).await?;
                }
            }
            Value::Scalar { .. } | Value::String { .. } => {}
        }
        Ok(())
    }

    /// Adds one series. At a step at which it has nothing it is marked stale, or the step before would show.
    async fn one(
        &mut self,
        ctx: &Ctx,
        labels: &Labels,
        samples: Vec<(i64, Sample)>,
    ) -> std::result::Result<(), QueryError> {
        let native = samples.iter().any(|(_, s)| matches!(s, Sample::Histogram(_)));
        let mut all: Vec<(i64, Sample)> = Vec::with_capacity(samples.len() + 1);
        for (time, sample) in samples {
            if let Some((before, _)) = all.last()
                && self.grid.is_range()
                && time - before > self.grid.step_ms
            {
                all.push((before + self.grid.step_ms, Sample::Float(stale_nan())));
            }
            all.push((time, sample));
        }
        if let Some((last, _)) = all.last()
            && self.grid.is_range()
            && last + self.grid.step_ms <= self.grid.end_ms
        {
            all.push((last + self.grid.step_ms, Sample::Float(stale_nan())));
        }
        let Some((min, max)) = all.first().map(|f| f.0).zip(all.last().map(|l| l.0)) else { return Ok(()) };
        let chunks = if native {
            native_chunks(ctx, labels, all).await?
        } else {
            let floats = all.iter().map(|(t, s)| (*t, if let Sample::Float(v) = s { *v } else { stale_nan() }));
            let data = encode_xor(floats).map_err(|e| QueryError::Execution(format!("{labels}: {e}")))?;
            vec![Chunk::raw(min, max, Encoding::Xor, Bytes::from(data))]
        };
        let bytes = chunks.iter().map(Chunk::size_bytes).sum::<usize>() + labels.size_bytes();
        self.held.push(ctx.budget.reserve(bytes as u64)?);
        self.series.push(Series { labels: labels.clone(), chunks });
        Ok(())
    }

    pub fn finish(self) -> Part {
        Part { series: MemorySource::new(self.series), _held: self.held }
    }
}

/// Chunks of a series that has native histograms.
async fn native_chunks(
    ctx: &Ctx,
    labels: &Labels,
    samples: Vec<(i64, Sample)>,
) -> std::result::Result<Vec<Chunk>, QueryError> {
    let store = MemoryStore::new(MemoryStoreOptions::default());
    let mut appender = store.appender(ctx, AppendOptions::default());
    // Where the series comes from, its labels matter: here only its samples do.
    let resolved = appender.resolve(&[&[("__name__", "part")]])?.pop();
    let Some(Ok(reference)) = resolved else { return Err(QueryError::Execution(format!("{labels}: not taken"))) };
    let mut refused = Vec::new();
    for (time, sample) in samples {
        let (series, times_ms, starts_ms) = (&[reference][..], &[time][..], &[][..]);
        refused.extend(match sample {
            Sample::Float(v) => appender.floats(Floats { series, times_ms, values: &[v], starts_ms })?,
            Sample::Histogram(h) => {
                let values = &[HistogramValue::Float(h)];
                appender.histograms(Histograms { series, times_ms, values, starts_ms })?
            }
        });
    }
    if let Some(one) = refused.first() {
        return Err(QueryError::Execution(format!("{labels}: a remote querier sent what cannot be: {:?}", one.why)));
    }
    appender.commit().await.map_err(|e| e.error)?;
    let all = Select::new(model::TimeRange::ALL, vec![]);
    let found = collect_series(store.snapshot()?.select(ctx, all)).await?;
    Ok(found.value.into_iter().flat_map(|s| s.chunks).collect())
}

/// The results of parts, and the series behind the querier for what is left.
#[derive(Debug)]
pub(crate) struct Parts {
    pub parts: Vec<Part>,
    pub rest: Arc<dyn SeriesSource>,
}

impl SeriesSource for Parts {
    fn info(&self) -> SourceInfo {
        self.rest.info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let part = want.matchers.iter().find(|m| m.name() == PART_LABEL).and_then(|m| m.value().parse::<usize>().ok());
        match part.and_then(|at| self.parts.get(at)) {
            Some(part) => part.series.select(ctx, Select { matchers: Vec::new().into(), ..want }),
            None => self.rest.select(ctx, want),
        }
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.rest.label_names(ctx, want)
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.rest.label_values(ctx, name, want)
    }
}
