//! A store in memory that can be written to and read: for tests, PromQL test scripts and small examples.

mod appender;
mod encode;
mod inner;
mod state;

use std::sync::Arc;

use futures::StreamExt;
use futures::future::{BoxFuture, ready};
use futures::stream;
use model::ExemplarSeries;

use storage::append::{AppendOptions, Appendable, Appender};
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, LabelQuery, MemorySource, MetadataByMetric, MetadataQuery,
    MetadataSource, Result, Select, SeriesSource, SeriesStream, SourceInfo,
};

use crate::inner::Inner;
pub use crate::inner::MemoryStoreOptions;

/// Series in memory. Clones share them. Start timestamps of floats are kept (in XOR2 chunks), those of histograms are not.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore(Arc<Inner>);

impl MemoryStore {
    /// An empty store.
    pub fn new(options: MemoryStoreOptions) -> Self {
        Self(Arc::new(Inner { options, ..Inner::default() }))
    }

    /// Everything committed by now, as an immutable source.
    ///
    /// # Errors
    /// [`storage::Error::Other`] when a series cannot be encoded, which validated samples always can.
    pub fn snapshot(&self) -> Result<MemorySource> {
        let mut encoded = self.0.encoded.lock();
        if let Some(source) = &*encoded {
            return Ok(source.clone());
        }
        // The lock on the cache is held, so that a commit cannot empty it before what was read is in it.
        let source = MemorySource::new(encode::series(&self.0.state.read())?);
        *encoded = Some(source.clone());
        Ok(source)
    }
}

impl Appendable for MemoryStore {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        Box::new(appender::MemoryAppender::new(self.0.clone(), ctx.clone(), options))
    }
}

impl SeriesSource for MemoryStore {
    fn info(&self) -> SourceInfo {
        self.snapshot().unwrap_or_default().info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        match self.snapshot() {
            Ok(source) => source.select(ctx, want),
            Err(e) => stream::once(ready(Err(e))).boxed(),
        }
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        Some(self.select(ctx, want.clone()))
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        match self.snapshot() {
            Ok(source) => source.label_names(ctx, want),
            Err(e) => Box::pin(ready(Err(e))),
        }
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        match self.snapshot() {
            Ok(source) => source.label_values(ctx, name, want),
            Err(e) => Box::pin(ready(Err(e))),
        }
    }
}

impl ExemplarsSource for MemoryStore {
    fn exemplars(&self, _: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        let state = self.0.state.read();
        let mut found = Vec::new();
        for series in state.in_label_order() {
            let matches = |m: &labels::Matcher| m.matches(series.labels.value(m.name()));
            if !want.selectors.iter().any(|selector| selector.iter().all(matches)) {
                continue;
            }
            let inside = series.exemplars.iter().filter(|e| want.range.contains(e.timestamp_ms));
            let exemplars: Vec<_> = inside.cloned().collect();
            if !exemplars.is_empty() {
                found.push(ExemplarSeries { labels: series.labels.clone(), exemplars });
            }
        }
        Box::pin(ready(Ok(found.into())))
    }
}

impl MetadataSource for MemoryStore {
    fn metadata(&self, _: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let or_all = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let state = self.0.state.read();
        let mut found = MetadataByMetric::new();
        for (family, metadata) in state.in_label_order().filter_map(|s| s.metadata.as_ref()) {
            if want.metric.is_empty() || want.metric == *family {
                let entries = found.entry(family.clone()).or_default();
                if !entries.contains(metadata) && entries.len() < or_all(want.limit_per_metric) {
                    entries.push(metadata.clone());
                }
            }
        }
        let found: MetadataByMetric = found.into_iter().take(or_all(want.limit)).collect();
        Box::pin(ready(Ok(found.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::append::{self as conformance, Rules};

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_appendable() {
        conformance::run(&|| MemoryStore::default(), Rules { out_of_order: false, exemplars: true, metadata: true })
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_appendable_out_of_order() {
        let options = MemoryStoreOptions { out_of_order_window_ms: conformance::WINDOW_MS, ..Default::default() };
        let rules = Rules { out_of_order: true, exemplars: true, metadata: true };
        conformance::run(&|| MemoryStore::new(options.clone()), rules).await;
    }

    /// What is written through an appender reads as any other source does.
    #[tokio::test]
    async fn it_is_a_source() {
        let store = MemoryStore::default();
        let external = labels::Labels::from_pairs(storage::conformance::EXTERNAL);
        let mut appender = store.appender(&Ctx::background(), AppendOptions::default());
        for series in storage::conformance::series() {
            let labels = series.labels.overlay(&external);
            let pairs: Vec<_> = labels.iter().collect();
            let series_ref = appender.resolve(&[&pairs]).unwrap()[0].clone().unwrap();
            for chunk in &series.chunks {
                let storage::ChunkData::Raw(raw) = &chunk.data else { panic!("raw chunks only") };
                let mut column = chunkenc::Column::new();
                chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
                let floats = storage::append::Floats {
                    series: &vec![series_ref; column.len()],
                    times_ms: &column.times,
                    values: &column.values,
                    starts_ms: &[],
                };
                assert_eq!(appender.floats(floats).unwrap(), []);
            }
        }
        appender.commit().await.unwrap();
        let traits = storage::conformance::Traits { budgeted: false, exact_label_times: true };
        storage::conformance::run(&store, traits).await;
    }
}
