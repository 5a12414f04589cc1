//! Reading from the head and the blocks at once.

use std::sync::Arc;

use futures::future::{BoxFuture, try_join_all};
use futures::stream::{self, StreamExt};
use model::{TimeRange, format_rfc3339_ms};
use storage::{
    Answer, Ctx, Error, LabelQuery, PartialResponse, Result, Select, SeriesEvent, SeriesSource, SeriesStream,
    merge_sorted_names, merge_streams,
};

use super::view::{OpenBlock, View};

/// Samples that a corrupt log does not give back.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    /// When they may be from.
    pub(crate) range: TimeRange,
    text: String,
}

impl Lost {
    /// Of `places` that could not be read, in a log that ends at `newest_ms`.
    pub(crate) fn of(places: u64, newest_ms: i64) -> Option<Self> {
        let range = TimeRange::new(i64::MIN, newest_ms);
        let until = format_rfc3339_ms(newest_ms);
        let text = format!(
            "{places} corrupt places of the write-ahead log were left out at the start: samples of the last hours before \
             {until} may be missing"
        );
        (places > 0).then_some(Self { range, text })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// What one request reads. The view is held until the answer's end: meanwhile nothing leaves the head that is only in
/// later views.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) view: Arc<View>,
    pub(crate) head: Arc<dyn SeriesSource>,
    /// What is missing now and will not be later.
    pub(crate) unfinished: Option<String>,
    pub(crate) lost: Option<Lost>,
}

impl Reading {
    fn blocks(&self, range: TimeRange) -> impl Iterator<Item = &Arc<OpenBlock>> {
        self.view.blocks.iter().filter(move |b| b.range().overlaps(range))
    }

    /// What may be missing from an answer over `range`; an error where it must not be.
    fn missing(&self, range: TimeRange, partial: PartialResponse) -> Result<Vec<String>> {
        let blocks = self.view.set_aside.iter().filter(|b| b.may_have(range));
        let lost = self.lost.iter().filter(|lost| lost.range.overlaps(range)).map(|lost| lost.text.clone());
        let doubts: Vec<(String, bool)> = self.view.blocks.iter().filter_map(|block| block.doubt(range)).collect();
        let is_missing = |(text, is_whole): &(String, bool)| (!is_whole).then(|| text.clone());
        let mut warnings: Vec<String> = blocks.map(super::view::SetAside::warning).chain(lost).collect();
        if partial == PartialResponse::Abort {
            warnings.extend(doubts.iter().filter_map(is_missing));
            if let Some(warning) = warnings.into_iter().next() {
                return Err(Error::Corrupt(warning));
            }
            return match &self.unfinished {
                Some(text) => Err(Error::Unavailable(text.clone())),
                None => Ok(Vec::new()),
            };
        }
        warnings.extend(doubts.into_iter().map(|(text, _)| text));
        Ok(warnings.into_iter().chain(self.unfinished.clone()).collect())
    }

    pub(crate) fn select(self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        // The head does not do that, so that blocks must not either: who asks is told so by the source's `info`.
        want.without_replica_labels = Arc::from([]);
        let warnings = match self.missing(want.range, want.partial_response) {
            Ok(warnings) => warnings,
            Err(e) => return stream::iter([Err(e)]).boxed(),
        };
        let may_miss = want.partial_response == PartialResponse::Warn;
        let mut inputs: Vec<(String, SeriesStream)> = self
            .blocks(want.range)
            .map(|b| (format!("block {}", b.meta.ulid), tolerant(b.block.select(ctx, want.clone()), may_miss)))
            .collect();
        let limit = want.limit;
        let head = self.head.select(ctx, want);
        let merged = if inputs.is_empty() {
            // Each series comes once, and its chunks are in order.
            head
        } else {
            inputs.push(("head".to_owned(), head));
            merge_streams(inputs)
        };
        let warnings = stream::iter(warnings.into_iter().map(|text| Ok(SeriesEvent::Warning(text))));
        let all = warnings.chain(merged);
        // The view goes with the stream.
        let all = all.map(move |event| {
            let _held = &self.view;
            event
        });
        if limit == 0 { all.boxed() } else { first(all.boxed(), limit) }
    }

    pub(crate) fn label_names(self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.labels(ctx, want, |source, ctx, want| source.label_names(ctx, want))
    }

    pub(crate) fn label_values(
        self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.labels(ctx, want, |source, ctx, want| source.label_values(ctx, name, want))
    }

    fn labels(
        self,
        ctx: &Ctx,
        mut want: LabelQuery,
        ask: impl Fn(&dyn SeriesSource, &Ctx, LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>>,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        want.without_replica_labels = Arc::from([]);
        let mut warnings = match self.missing(want.range, want.partial_response) {
            Ok(warnings) => warnings,
            Err(e) => return Box::pin(std::future::ready(Err(e))),
        };
        let mut answers: Vec<_> =
            self.blocks(want.range).map(|b| (Some(b.meta.ulid), &b.block as &dyn SeriesSource)).collect();
        answers.push((None, &*self.head));
        let asked: Vec<_> = answers.into_iter().map(|(id, source)| (id, ask(source, ctx, want.clone()))).collect();
        Box::pin(async move {
            let may_miss = want.partial_response == PartialResponse::Warn;
            let all = asked.into_iter().map(|(id, answer)| async move {
                match (answer.await, id) {
                    (Err(Error::Corrupt(e)), Some(id)) if may_miss => {
                        Ok(Answer { value: Vec::new(), warnings: vec![format!("block {id}: {e}")] })
                    }
                    (other, _) => other,
                }
            });
            let mut lists = Vec::new();
            for answer in try_join_all(all).await? {
                warnings.extend(answer.warnings);
                lists.push(answer.value);
            }
            drop(self);
            Ok(Answer { value: merge_sorted_names(lists, want.limit), warnings })
        })
    }
}

/// Where answers may lack something, a corrupt block costs only its own data.
fn tolerant(stream: SeriesStream, may_miss: bool) -> SeriesStream {
    let tolerate = move |event| match event {
        Err(Error::Corrupt(text)) if may_miss => Ok(SeriesEvent::Warning(text)),
        other => other,
    };
    stream.map(tolerate).boxed()
}

/// The first `limit` series.
fn first(stream: SeriesStream, limit: usize) -> SeriesStream {
    stream::unfold((stream, limit), |(mut stream, left)| async move {
        if left == 0 {
            return None;
        }
        match stream.next().await? {
            Ok(SeriesEvent::Batch(mut batch)) => {
                batch.truncate(left);
                let left = left - batch.len();
                Some((Ok(SeriesEvent::Batch(batch)), (stream, left)))
            }
            other => Some((other, (stream, left))),
        }
    })
    .boxed()
}
