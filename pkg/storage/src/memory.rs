//! Series held in memory: for tests, small examples and the PromQL test runner.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::Labels;
use model::TimeRange;

use crate::{
    Answer, Ctx, LabelQuery, Projection, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};

/// Series per batch.
const BATCH: usize = 64;

/// An immutable set of series.
#[derive(Debug, Clone, Default)]
pub struct MemorySource {
    series: Arc<Vec<Series>>,
    external: Labels,
}

impl MemorySource {
    /// Takes series in any order; equal label sets are joined, chunks sorted by time.
    pub fn new(series: Vec<Series>) -> Self {
        Self::with_external_labels(series, Labels::empty())
    }

    /// The same with external labels put over each series' own.
    pub fn with_external_labels(series: Vec<Series>, external: Labels) -> Self {
        let series = series.into_iter().map(|s| Series { labels: s.labels.overlay(&external), ..s }).collect();
        Self { series: Arc::new(sort_and_join(series)), external }
    }

    fn matching(&self, range: TimeRange, matchers: &[labels::Matcher]) -> Vec<Series> {
        self.series
            .iter()
            .filter(|s| matchers.iter().all(|m| m.matches(s.labels.value(m.name()))))
            .filter_map(|s| {
                let inside = |c: &&crate::Chunk| range.overlaps(TimeRange::new(c.min_time, c.max_time));
                let chunks: Vec<_> = s.chunks.iter().filter(inside).cloned().collect();
                (!chunks.is_empty()).then(|| Series { labels: s.labels.clone(), chunks })
            })
            .collect()
    }
}

fn sort_and_join(mut series: Vec<Series>) -> Vec<Series> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut joined: Vec<Series> = Vec::with_capacity(series.len());
    for s in series {
        match joined.last_mut() {
            Some(last) if last.labels == s.labels => last.chunks.extend(s.chunks),
            _ => joined.push(s),
        }
    }
    for s in &mut joined {
        s.chunks.sort_by_key(|c| (c.min_time, c.max_time));
    }
    joined
}

impl SeriesSource for MemorySource {
    fn info(&self) -> SourceInfo {
        let chunks = || self.series.iter().flat_map(|s| &s.chunks);
        SourceInfo {
            label_sets: if self.external.is_empty() { vec![] } else { vec![self.external.clone()] },
            range: TimeRange::new(
                chunks().map(|c| c.min_time).min().unwrap_or(i64::MAX),
                chunks().map(|c| c.max_time).max().unwrap_or(i64::MIN),
            ),
            supports_sharding: true,
            supports_without_replica_labels: true,
        }
    }

    fn select(&self, _ctx: &Ctx, want: Select) -> SeriesStream {
        let mut found = self.matching(want.range, &want.matchers);
        if !want.without_replica_labels.is_empty() {
            for s in &mut found {
                s.strip_replica_labels(&want.without_replica_labels);
            }
            found = sort_and_join(found);
        }
        if let Some(shard) = &want.shard {
            found.retain(|s| shard.matches(&s.labels));
        }
        if want.limit > 0 {
            found.truncate(want.limit);
        }
        if want.skip_chunks {
            found.iter_mut().for_each(|s| s.chunks.clear());
        }
        let batches: Vec<_> = found.chunks(BATCH).map(|b| Ok(SeriesEvent::Batch(b.to_vec()))).collect();
        Projection::of(&want, stream::iter(batches).boxed())
    }

    fn label_names(&self, _ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let found = self.matching(want.range, &want.matchers);
        let names = found.iter().flat_map(|s| s.labels.iter().map(|(n, _)| n.to_owned()));
        let names = unique(names.filter(|n| !want.without_replica_labels.contains(n)), want.limit);
        Box::pin(std::future::ready(Ok(names.into())))
    }

    fn label_values(
        &self,
        _ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let hidden = want.without_replica_labels.iter().any(|n| n == name);
        let found = if hidden { Vec::new() } else { self.matching(want.range, &want.matchers) };
        let values = unique(found.iter().filter_map(|s| s.labels.get(name).map(str::to_owned)), want.limit);
        Box::pin(std::future::ready(Ok(values.into())))
    }
}

fn unique(texts: impl Iterator<Item = String>, limit: usize) -> Vec<String> {
    let set: std::collections::BTreeSet<_> = texts.collect();
    set.into_iter().take(if limit == 0 { usize::MAX } else { limit }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{self, EXTERNAL, Traits};

    #[tokio::test]
    async fn it_is_a_source() {
        let source = MemorySource::with_external_labels(conformance::series(), Labels::from_pairs(EXTERNAL));
        conformance::run(&source, Traits { budgeted: false, exact_label_times: true }).await;
    }
}
