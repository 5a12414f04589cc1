//! The database behind the seams of [`storage`].

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use model::TimeRange;
use storage::append::{AppendOptions, Appendable, Appender};
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, LabelQuery, MetadataByMetric, MetadataQuery, MetadataSource,
    ReplayProgress, Result as StorageResult, Select, SeriesSource, SeriesStream, SourceInfo, StatisticsByTenant,
    StatisticsQuery, StatisticsSource, TsdbView,
};

use super::error::Error;
use super::tsdb::Tsdb;
use super::work::{answer_aside, stream_aside};

impl SeriesSource for Tsdb {
    fn info(&self) -> SourceInfo {
        let view = self.blocks.views.current();
        let blocks = view.blocks.iter().map(|b| b.range()).map(|r| (r.min, r.max));
        let times = blocks.chain(self.head.range());
        let (min, max) = times.fold((i64::MAX, i64::MIN), |(min, max), (from, to)| (min.min(from), max.max(to)));
        SourceInfo {
            label_sets: Vec::new(),
            range: TimeRange::new(min, max),
            supports_sharding: true,
            supports_without_replica_labels: false,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        if self.closed.is_cancelled() {
            return stream::iter([Err(Error::Closed.into())]).boxed();
        }
        let (reading, ctx) = (self.reading(), ctx.clone());
        stream_aside(move || reading.select(&ctx, want))
    }

    fn select_here(&self, ctx: &Ctx, want: &Select) -> Option<SeriesStream> {
        (!self.closed.is_cancelled()).then(|| self.reading().select(ctx, want.clone()))
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, StorageResult<Answer<Vec<String>>>> {
        let (reading, ctx) = (self.reading(), ctx.clone());
        answer_aside(move || reading.label_names(&ctx, want))
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, StorageResult<Answer<Vec<String>>>> {
        let (reading, ctx, name) = (self.reading(), ctx.clone(), name.to_owned());
        answer_aside(move || reading.label_values(&ctx, &name, want))
    }
}

impl Appendable for Tsdb {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        self.head.appender(ctx, options)
    }
}

impl ExemplarsSource for Tsdb {
    fn exemplars(
        &self,
        ctx: &Ctx,
        want: ExemplarsQuery,
    ) -> BoxFuture<'static, StorageResult<Answer<Vec<model::ExemplarSeries>>>> {
        self.head.exemplars(ctx, want)
    }
}

impl MetadataSource for Tsdb {
    fn metadata(&self, ctx: &Ctx, want: MetadataQuery) -> BoxFuture<'static, StorageResult<Answer<MetadataByMetric>>> {
        self.head.metadata(ctx, want)
    }
}

impl StatisticsSource for Tsdb {
    fn statistics(
        &self,
        ctx: &Ctx,
        want: StatisticsQuery,
    ) -> BoxFuture<'static, StorageResult<Answer<StatisticsByTenant>>> {
        self.head.statistics(ctx, want)
    }
}

impl TsdbView for Tsdb {
    fn blocks(&self) -> Vec<String> {
        let view = self.blocks.views.current();
        view.blocks.iter().map(|b| String::from_utf8_lossy(&b.meta.to_json()).into_owned()).collect()
    }

    fn replay(&self) -> ReplayProgress {
        self.replay.borrow().progress
    }

    fn corruptions(&self) -> u64 {
        self.log.corruptions()
    }
}
