//! The trait itself.

use std::fmt;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use labels::Labels;
use model::TimeRange;

use crate::{Ctx, LabelQuery, Result, Select, Series};

/// A value, and what is to be said about its completeness.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer<T> {
    /// What could be had.
    pub value: T,
    /// Which part is missing or doubtful, each a full sentence naming the endpoint or block.
    pub warnings: Vec<String>,
}

impl<T> From<T> for Answer<T> {
    fn from(value: T) -> Self {
        Self { value, warnings: Vec::new() }
    }
}

/// What a source has, so that a fan-out can leave it out unasked.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceInfo {
    /// The external label sets of its data; empty when it has none.
    pub label_sets: Vec<Labels>,
    /// The times of its data.
    pub range: TimeRange,
    /// Whether it honours [`Select::shard`].
    pub supports_sharding: bool,
    /// Whether it honours `without_replica_labels` and re-sorts.
    pub supports_without_replica_labels: bool,
}

/// One item of a [`SeriesStream`].
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesEvent {
    /// Series in label order, within the batch and from batch to batch. One series may go on in the next entry (equal
    /// labels, further chunks), never later than that.
    Batch(Vec<Series>),
    /// Some data is missing or doubtful.
    Warning(String),
}

/// Series as they come. Dropping the stream stops the work behind it. After an `Err` nothing follows.
pub type SeriesStream = BoxStream<'static, Result<SeriesEvent>>;

/// A place that series can be read from. Object-safe; calls are per request and per batch, never per sample.
///
/// With [`crate::PartialResponse::Warn`] a source reports a corrupt or unreachable part as a warning and goes on; with `Abort`
/// it fails.
pub trait SeriesSource: fmt::Debug + Send + Sync {
    /// What is here. Cheap: no I/O.
    fn info(&self) -> SourceInfo;

    /// The series that match, sorted by label set (after `without_replica_labels`).
    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream;

    /// The answer of [`Self::select`] as a stream whose polls do the work themselves: for a thread that may block, to which
    /// handing series over from another thread costs more than reading a few itself. `None` where data comes from elsewhere, so
    /// that several answers are to be waited for at the same time.
    fn select_here(&self, _ctx: &Ctx, _want: &Select) -> Option<SeriesStream> {
        None
    }

    /// The names of labels, sorted and unique.
    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>>;

    /// The values of one label, sorted and unique.
    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>>;
}

/// Reads a stream to its end, joining series that were split over entries. For tests and small answers.
///
/// # Errors
/// The stream's.
pub async fn collect_series(mut stream: SeriesStream) -> Result<Answer<Vec<Series>>> {
    let mut all: Vec<Series> = Vec::new();
    let mut warnings = Vec::new();
    while let Some(event) = stream.next().await {
        match event? {
            SeriesEvent::Batch(batch) => {
                for series in batch {
                    match all.last_mut() {
                        Some(last) if last.labels == series.labels => last.chunks.extend(series.chunks),
                        _ => all.push(series),
                    }
                }
            }
            SeriesEvent::Warning(text) => warnings.push(text),
        }
    }
    Ok(Answer { value: all, warnings })
}
