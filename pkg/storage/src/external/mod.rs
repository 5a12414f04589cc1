//! External labels over a source that does not have them: what a server shows to those who read it beside others.

mod narrow;
mod sorter;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};

pub use narrow::{Narrowed, narrow};
pub use sorter::Sorter;

use crate::{
    Answer, Ctx, LabelQuery, Reservation, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
    merge_sorted_names,
};

/// Series per batch that goes out.
const BATCH: usize = 64;

/// The series of a source with external labels put over their own. Matchers see them, and answers are in their order.
/// The labels are asked for at each call, so that a reload changes them.
#[derive(Clone)]
pub struct WithExternalLabels {
    source: Arc<dyn SeriesSource>,
    external: Arc<dyn Fn() -> Labels + Send + Sync>,
}

impl fmt::Debug for WithExternalLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithExternalLabels").field("source", &self.source).finish_non_exhaustive()
    }
}

impl WithExternalLabels {
    /// `external` over the series of `source`.
    pub fn new(source: Arc<dyn SeriesSource>, external: impl Fn() -> Labels + Send + Sync + 'static) -> Self {
        Self { source, external: Arc::new(external) }
    }
}

/// What a select works with until its stream ends.
struct Running {
    stream: SeriesStream,
    sorter: Sorter,
    held: Reservation,
    held_bytes: u64,
    /// Series that go out at most, from now on.
    left: usize,
    out: Vec<Series>,
    done: bool,
}

impl Running {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Result<Option<SeriesEvent>> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if self.out.len() >= BATCH || (self.done && !self.out.is_empty()) {
                let take = self.out.len().min(BATCH).min(self.left);
                let batch: Vec<Series> = self.out.drain(..take).collect();
                self.left -= batch.len();
                return Ok(Some(SeriesEvent::Batch(batch)));
            }
            if self.done {
                return Ok(None);
            }
            match self.stream.next().await {
                Some(Ok(SeriesEvent::Batch(batch))) => {
                    for series in batch {
                        self.sorter.push(series.labels, series.chunks, &mut self.out)?;
                    }
                    self.hold()?;
                }
                Some(Ok(warning)) => return Ok(Some(warning)),
                Some(Err(e)) => return Err(e),
                None => {
                    self.sorter.finish(&mut self.out)?;
                    self.done = true;
                }
            }
        }
    }

    /// Counts what waits for its turn.
    fn hold(&mut self) -> Result<()> {
        let bytes = self.sorter.held_bytes() as u64;
        if bytes > self.held_bytes {
            self.held.grow(bytes - self.held_bytes)?;
            self.held_bytes = bytes;
        }
        Ok(())
    }
}

async fn start(source: Arc<dyn SeriesSource>, ctx: Ctx, want: Select, external: Labels) -> Result<Option<Running>> {
    let Narrowed::Left(matchers) = narrow(&external, &want.matchers) else { return Ok(None) };
    let changed: BTreeSet<&str> =
        external.iter().map(|(n, _)| n).chain(want.without_replica_labels.iter().map(String::as_str)).collect();
    // Series with labels of these names of their own may come in any order once the external ones lie over them.
    let names = source.label_names(&ctx, LabelQuery::new(want.range, Arc::from([]))).await?;
    let clash = names.value.iter().any(|name| changed.contains(name.as_str()));
    let exact = want.shard.is_none() && want.without_replica_labels.is_empty() && !clash && external.is_empty();
    let sorter = Sorter::new(external, want.without_replica_labels.clone(), want.shard.clone(), !clash);
    let left = if want.limit == 0 { usize::MAX } else { want.limit };
    let inner = Select {
        matchers: matchers.into(),
        without_replica_labels: Arc::from([]),
        shard: None,
        limit: if exact { want.limit } else { 0 },
        labels: None,
        ..want
    };
    let held = ctx.budget.reserve(0)?;
    let stream = source.select(&ctx, inner);
    Ok(Some(Running { stream, sorter, held, held_bytes: 0, left, out: Vec::new(), done: false }))
}

impl SeriesSource for WithExternalLabels {
    fn info(&self) -> SourceInfo {
        let external = (self.external)();
        let label_sets = if external.is_empty() { Vec::new() } else { vec![external] };
        let range = self.source.info().range;
        SourceInfo { label_sets, range, supports_sharding: true, supports_without_replica_labels: true }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let started = start(self.source.clone(), ctx.clone(), want, (self.external)());
        let events = async move {
            match started.await {
                Ok(None) => stream::empty().boxed(),
                Err(e) => stream::iter([Err(e)]).boxed(),
                Ok(Some(running)) => stream::unfold(Some(running), |running| async move {
                    let mut running = running?;
                    match running.next().await {
                        Ok(Some(event)) => Some((Ok(event), Some(running))),
                        Ok(None) => None,
                        Err(e) => Some((Err(e), None)),
                    }
                })
                .boxed(),
            }
        };
        stream::once(events).flatten().boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let external = (self.external)();
        let Narrowed::Left(matchers) = narrow(&external, &want.matchers) else {
            return Box::pin(async { Ok(Answer::default()) });
        };
        let (limit, without) = (want.limit, want.without_replica_labels.clone());
        let asked = LabelQuery { matchers: matchers.into(), limit: 0, ..want };
        let names = self.source.label_names(ctx, asked);
        Box::pin(async move {
            let found = names.await?;
            let own: Vec<String> = external.iter().map(|(name, _)| name.to_owned()).collect();
            let lists = if found.value.is_empty() { vec![] } else { vec![found.value, own] };
            let mut value = merge_sorted_names(lists, 0);
            value.retain(|name| !without.contains(name));
            if limit > 0 {
                value.truncate(limit);
            }
            Ok(Answer { value, warnings: found.warnings })
        })
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let external = (self.external)();
        let Narrowed::Left(matchers) = narrow(&external, &want.matchers) else {
            return Box::pin(async { Ok(Answer::default()) });
        };
        if want.without_replica_labels.iter().any(|n| n == name) {
            return Box::pin(async { Ok(Answer::default()) });
        }
        let Some(value) = external.get(name).map(str::to_owned) else {
            return self.source.label_values(ctx, name, LabelQuery { matchers: matchers.into(), ..want });
        };
        // The label has its value if any series is there at all.
        let any = self.any_series(ctx, LabelQuery { matchers: matchers.into(), limit: 1, ..want });
        Box::pin(async move {
            let Answer { value: any, warnings } = any.await?;
            Ok(Answer { value: if any { vec![value] } else { Vec::new() }, warnings })
        })
    }
}

impl WithExternalLabels {
    fn any_series(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<bool>>> {
        let all = |matchers: &[Matcher]| matchers.iter().all(Matcher::matches_empty);
        if all(&want.matchers) {
            let names = self.source.label_names(ctx, want);
            return Box::pin(async move {
                let found = names.await?;
                Ok(Answer { value: !found.value.is_empty(), warnings: found.warnings })
            });
        }
        let select = Select {
            skip_chunks: true,
            limit: 1,
            partial_response: want.partial_response,
            ..Select::new(want.range, want.matchers)
        };
        let mut stream = self.source.select(ctx, select);
        Box::pin(async move {
            let mut warnings = Vec::new();
            while let Some(event) = stream.next().await {
                match event? {
                    SeriesEvent::Batch(batch) if batch.is_empty() => {}
                    SeriesEvent::Batch(_) => return Ok(Answer { value: true, warnings }),
                    SeriesEvent::Warning(text) => warnings.push(text),
                }
            }
            Ok(Answer { value: false, warnings })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use chunkenc::Encoding;
    use model::TimeRange;

    use super::*;
    use crate::{Chunk, MemorySource, collect_series};

    fn series(text: &str) -> Series {
        let chunk = Chunk::raw(0, 10, Encoding::Xor, Bytes::from_static(&[0, 0]));
        Series { labels: Labels::from_pairs(text.split(',').filter_map(|p| p.split_once('='))), chunks: vec![chunk] }
    }

    fn source(own: &[&str], external: &str) -> WithExternalLabels {
        let external = series(external).labels;
        let own = own.iter().map(|text| series(text)).collect();
        WithExternalLabels::new(Arc::new(MemorySource::new(own)), move || external.clone())
    }

    async fn shown(source: &WithExternalLabels, change: impl FnOnce(&mut Select)) -> Vec<String> {
        let mut want = Select::new(TimeRange::ALL, []);
        change(&mut want);
        let answer = collect_series(source.select(&Ctx::background(), want)).await.unwrap();
        answer.value.iter().map(|s| s.labels.to_string()).collect()
    }

    #[tokio::test]
    async fn labels_lie_over_the_series_and_are_matched() {
        let source = source(&["a=1", "a=1,c=2", "m=own,a=1"], "m=e");
        let all = [r#"{a="1", c="2", m="e"}"#, r#"{a="1", m="e"}"#];
        assert_eq!(shown(&source, |_| {}).await, all);
        let of = |m: Matcher| move |want: &mut Select| want.matchers = Arc::from([m]);
        assert_eq!(shown(&source, of(Matcher::equal("m", "e"))).await, all);
        assert!(shown(&source, of(Matcher::equal("m", "own"))).await.is_empty());
        assert_eq!(shown(&source, |want| want.limit = 1).await, all[..1]);
        let without = shown(&source, |want| want.without_replica_labels = Arc::from(["m".to_owned()])).await;
        assert_eq!(without, [r#"{a="1"}"#, r#"{a="1", c="2"}"#]);
    }

    #[tokio::test]
    async fn names_and_values() {
        let source = source(&["a=1,b=2", "a=2"], "m=e");
        let (ctx, all) = (Ctx::background(), LabelQuery::new(TimeRange::ALL, []));
        assert_eq!(source.label_names(&ctx, all.clone()).await.unwrap().value, ["a", "b", "m"]);
        assert_eq!(source.label_values(&ctx, "m", all.clone()).await.unwrap().value, ["e"]);
        assert_eq!(source.label_values(&ctx, "a", all.clone()).await.unwrap().value, ["1", "2"]);
        let other = LabelQuery::new(TimeRange::ALL, [Matcher::equal("m", "x")]);
        assert!(source.label_values(&ctx, "a", other.clone()).await.unwrap().value.is_empty());
        assert!(source.label_names(&ctx, other).await.unwrap().value.is_empty());
        let nowhere = LabelQuery::new(TimeRange::ALL, [Matcher::equal("b", "x")]);
        assert!(source.label_values(&ctx, "m", nowhere).await.unwrap().value.is_empty());
        assert_eq!(source.info().label_sets.len(), 1);
    }
}
