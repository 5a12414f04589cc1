//! The head behind the seams of [`storage`].

use futures::future::{BoxFuture, ready};
use labels::SortedBuilder;
use model::{ExemplarSeries, TimeRange};
use storage::append::{AppendOptions, Appendable, Appender};
use storage::{
    Answer, Ctx, ExemplarsQuery, ExemplarsSource, LabelQuery, MetadataByMetric, MetadataQuery, MetadataSource, Result,
    Select, SeriesSource, SeriesStream, SourceInfo, StatisticsByTenant, StatisticsQuery, StatisticsSource,
};

use super::Head;
use super::appender::Transaction;
use super::read::select;
use super::slab::reference;

impl Appendable for Head {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        Box::new(Transaction::new(self.core.clone(), ctx.clone(), options))
    }
}

impl SeriesSource for Head {
    fn info(&self) -> SourceInfo {
        let (min, max) = self.core.times.range();
        SourceInfo {
            label_sets: Vec::new(),
            range: TimeRange::new(min, max),
            supports_sharding: true,
            supports_without_replica_labels: false,
        }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        select(self.core.clone(), ctx, want)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        Box::pin(ready(self.core.label_names(ctx, &want).map(Into::into)))
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        Box::pin(ready(self.core.label_values(ctx, name, &want).map(Into::into)))
    }
}

impl ExemplarsSource for Head {
    fn exemplars(&self, ctx: &Ctx, want: ExemplarsQuery) -> BoxFuture<'static, Result<Answer<Vec<ExemplarSeries>>>> {
        Box::pin(ready(self.find_exemplars(ctx, &want).map(Into::into)))
    }
}

impl MetadataSource for Head {
    fn metadata(&self, _: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let table = self.core.metadata.read();
        Box::pin(ready(Ok(table.by_metric(&want.metric, want.limit, want.limit_per_metric).into())))
    }
}

impl StatisticsSource for Head {
    fn statistics(&self, _: &Ctx, want: StatisticsQuery) -> BoxFuture<'static, Result<Answer<StatisticsByTenant>>> {
        Box::pin(ready(Ok(self.count_all(&want).into())))
    }
}

impl Head {
    fn find_exemplars(&self, ctx: &Ctx, want: &ExemplarsQuery) -> Result<Vec<ExemplarSeries>> {
        let mut slots = Vec::new();
        for selector in &want.selectors {
            slots.extend(self.core.matching(selector, &|| ctx.check())?.to_vec());
        }
        slots.sort_unstable();
        slots.dedup();
        let ring = self.core.exemplars.read();
        let mut with = Vec::new();
        for slot in slots {
            let Some(generation) = self.core.slab.lock(slot).map(|series| series.generation) else { continue };
            let exemplars = ring.of(reference(slot, generation), want.range);
            if !exemplars.is_empty() {
                with.push((slot, exemplars));
            }
        }
        drop(ring);
        let (mut builder, mut found) = (SortedBuilder::new(), Vec::with_capacity(with.len()));
        let symbols = self.core.symbols.read();
        for (slot, exemplars) in with {
            let Some(series) = self.core.slab.lock(slot) else { continue };
            found.push(ExemplarSeries { labels: symbols.labels(&series.labels, &mut builder), exemplars });
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(found)
    }
}
