//! One source over many endpoints: asks those that may have the data, at the same time, and merges their streams.
//!
//! An endpoint that fails, stalls or lies about its order is told in a warning and left out of the answer (or fails it,
//! under `Abort`); the others are not disturbed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt};
use labels::{Labels, Matcher};
use model::TimeRange;
use relabel::Rule;
use storage::{
    Answer, Ctx, Error, LabelQuery, PartialResponse, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream,
    SourceInfo, merge_sorted_names, merge_streams,
};

use crate::chosen_sets::{Choices, Chosen, kept};
use crate::endpoints::{Endpoint, EndpointSet};

/// How the fan-out behaves, whatever the request.
#[derive(Debug, Clone, Default)]
pub struct FanOutOptions {
    /// An endpoint that sends nothing for this long is given up; zero = never.
    pub response_timeout: Duration,
    /// `--selector-label`: labels that all data behind this querier has.
    pub selector_labels: Labels,
    /// `--selector.relabel-config`, on the external label sets of endpoints.
    pub relabel: Arc<[Rule]>,
}

/// The fan-out over an [`EndpointSet`].
#[derive(Debug, Clone)]
pub struct FanOut {
    set: Arc<EndpointSet>,
    options: Arc<FanOutOptions>,
    /// `storeMatch[]` of the request.
    chosen: Arc<[Vec<Matcher>]>,
    choices: Arc<Choices>,
}

impl FanOut {
    /// Over all of `set`.
    pub fn new(set: Arc<EndpointSet>, options: FanOutOptions) -> Self {
        Self { set, options: Arc::new(options), chosen: Arc::from([]), choices: Arc::default() }
    }

    /// Only over endpoints that one of `selectors` chooses; empty = all.
    #[must_use]
    pub fn choosing(&self, selectors: Vec<Vec<Matcher>>) -> Self {
        Self { chosen: selectors.into(), ..self.clone() }
    }

    /// Endpoints that may have matching series, each with the matchers to ask it with. One of whose label sets only some
    /// are kept may come several times, for a part each.
    fn candidates(&self, range: TimeRange, matchers: &Arc<[Matcher]>) -> Vec<(Arc<Endpoint>, Arc<[Matcher]>)> {
        let asked = |endpoint: Arc<Endpoint>| {
            let sets = endpoint.info().label_sets;
            let parts = match &*self.choices.of(&self.options.relabel, &endpoint.name, &sets) {
                Chosen::All => vec![Vec::new()],
                Chosen::Parts(parts) => parts.clone(),
            };
            parts.into_iter().map(move |part| match part.is_empty() {
                true => (endpoint.clone(), matchers.clone()),
                false => (endpoint.clone(), matchers.iter().cloned().chain(part).collect()),
            })
        };
        let endpoints = self.set.active().into_iter().filter(|e| e.chosen_by(&self.chosen));
        endpoints.flat_map(asked).filter(|(e, matchers)| e.may_have(range, matchers)).collect()
    }

    /// Matchers without those on selector labels; `None` when those exclude everything behind this querier.
    fn own_matchers(&self, matchers: &Arc<[Matcher]>) -> Option<Arc<[Matcher]>> {
        let selector = &self.options.selector_labels;
        if selector.is_empty() {
            return Some(matchers.clone());
        }
        let on_selector = |m: &&Matcher| selector.get(m.name()).is_some();
        if matchers.iter().filter(on_selector).any(|m| !m.matches(selector.value(m.name()))) {
            return None;
        }
        Some(matchers.iter().filter(|m| !on_selector(m)).cloned().collect())
    }

    async fn ask_all<F>(
        &self,
        want: &LabelQuery,
        ask: impl Fn(Arc<Endpoint>, LabelQuery) -> Option<F>,
    ) -> Result<Answer<Vec<String>>>
    where
        F: Future<Output = Result<Answer<Vec<String>>>>,
    {
        let Some(matchers) = self.own_matchers(&want.matchers) else { return Ok(Answer::default()) };
        let want = LabelQuery { matchers, ..want.clone() };
        let endpoints = self.candidates(want.range, &want.matchers);
        let timeout = self.options.response_timeout;
        let calls = endpoints.into_iter().filter_map(|(e, matchers)| {
            let call = ask(e.clone(), LabelQuery { matchers, ..want.clone() })?;
            Some(async move {
                let answer = match timeout.is_zero() {
                    true => call.await,
                    false => match tokio::time::timeout(timeout, call).await {
                        Ok(answer) => answer,
                        Err(_) => Err(Error::Timeout(format!("{}: no answer within {timeout:?}", e.name))),
                    },
                };
                (e.name.clone(), answer)
            })
        });
        let mut warnings = Vec::new();
        let mut lists = Vec::new();
        for (_, answer) in futures::future::join_all(calls).await {
            match answer {
                Ok(answer) => {
                    warnings.extend(answer.warnings);
                    lists.push(answer.value);
                }
                Err(e) if want.partial_response == PartialResponse::Abort || fatal(&e) => return Err(e),
                Err(e) => warnings.push(e.to_string()),
            }
        }
        Ok(Answer { value: merge_sorted_names(lists, want.limit), warnings })
    }
}

/// The longest windows of downsampled data, ms.
const COARSEST_MS: i64 = 3_600_000;

/// Errors that are the asker's, not the endpoint's.
fn fatal(error: &Error) -> bool {
    matches!(error, Error::Invalid(_) | Error::Cancelled)
}

/// The time whose data can show in the answer. A coarse window does up to two windows after it ended, and a third because
/// a chunk may end in the middle of one.
fn reach(want: &Select) -> TimeRange {
    let back = if want.coarser { 3 * COARSEST_MS } else { 0 };
    TimeRange::new(want.range.min.saturating_sub(back), want.range.max)
}

impl SeriesSource for FanOut {
    fn info(&self) -> SourceInfo {
        let mut label_sets: Vec<Labels> = Vec::new();
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        for endpoint in self.set.active() {
            let info = endpoint.info();
            let sets = kept(&self.options.relabel, &info.label_sets);
            let none_kept = sets.is_empty() && !info.label_sets.is_empty();
            if none_kept || !endpoint.health().info.is_some_and(|i| i.served.store) {
                continue;
            }
            label_sets.extend(sets.into_iter().map(|l| l.overlay(&self.options.selector_labels)));
            (min, max) = (min.min(info.range.min), max.max(info.range.max));
        }
        label_sets.sort();
        label_sets.dedup();
        let range = if min > max { TimeRange::new(0, 0) } else { TimeRange::new(min, max) };
        SourceInfo { label_sets, range, supports_sharding: true, supports_without_replica_labels: true }
    }

    fn select(&self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        match self.own_matchers(&want.matchers) {
            None => return stream::empty().boxed(),
            Some(own) if own.is_empty() && !want.matchers.is_empty() => {
                let error = Error::Invalid("no matchers specified (excluding selector labels)".to_owned());
                return stream::once(std::future::ready(Err(error))).boxed();
            }
            Some(own) => want.matchers = own,
        }
        let streams = self
            .candidates(reach(&want), &want.matchers)
            .into_iter()
            .filter_map(|(endpoint, matchers)| {
                let info = endpoint.info();
                let mut asked = Select { matchers, ..want.clone() };
                let mut local = Local::default();
                if !info.supports_sharding {
                    local.shard = asked.shard.take();
                }
                if !info.supports_without_replica_labels && !want.without_replica_labels.is_empty() {
                    asked.without_replica_labels = Arc::from([]);
                    local.strip = want.without_replica_labels.clone();
                }
                if local.shard.is_some() || !local.strip.is_empty() {
                    // What is taken away here must not count.
                    asked.limit = 0;
                }
                let stream = endpoint.store()?.select(ctx, asked);
                let stream = local.apply(ctx, stream);
                let guarded =
                    Guarded::new(&endpoint.name, stream, want.partial_response, self.options.response_timeout);
                Some((endpoint.name.clone(), guarded.boxed()))
            })
            .collect();
        limited(merge_streams(streams), want.limit)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let mut answer = this.ask_all(&want, |e, want| Some(e.store()?.label_names(&ctx, want))).await?;
            let selector = this.options.selector_labels.iter().map(|(n, _)| n.to_owned()).collect();
            answer.value = merge_sorted_names(vec![answer.value, selector], want.limit);
            Ok(answer)
        })
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (this, ctx, name) = (self.clone(), ctx.clone(), name.to_owned());
        Box::pin(async move {
            if let Some(value) = this.options.selector_labels.get(&name) {
                return Ok(vec![value.to_owned()].into());
            }
            this.ask_all(&want, |e, want| Some(e.store()?.label_values(&ctx, &name, want))).await
        })
    }
}

/// What has to be done here because an endpoint does not do it.
#[derive(Debug, Default)]
struct Local {
    shard: Option<storage::Shard>,
    strip: Arc<[String]>,
}

impl Local {
    fn apply(self, ctx: &Ctx, stream: SeriesStream) -> SeriesStream {
        let stream = match self.strip.is_empty() {
            true => stream,
            false => resorted(ctx, stream, self.strip),
        };
        let Some(shard) = self.shard else { return stream };
        let keep = move |event| match event {
            Ok(SeriesEvent::Batch(mut batch)) => {
                batch.retain(|s| shard.matches(&s.labels));
                Ok(SeriesEvent::Batch(batch))
            }
            other => other,
        };
        stream.map(keep).boxed()
    }
}

/// Takes replica labels away. The order may change by that, so the whole stream is read first, within the budget.
fn resorted(ctx: &Ctx, stream: SeriesStream, names: Arc<[String]>) -> SeriesStream {
    let ctx = ctx.clone();
    let sorted = async move {
        let mut held = ctx.budget.reserve(0)?;
        let mut stream = stream;
        let (mut all, mut events): (Vec<Series>, Vec<Result<SeriesEvent>>) = (Vec::new(), Vec::new());
        while let Some(event) = stream.next().await {
            match event? {
                SeriesEvent::Batch(batch) => {
                    for mut series in batch {
                        held.grow(series.size_bytes() as u64)?;
                        series.strip_replica_labels(&names);
                        all.push(series);
                    }
                }
                warning => events.push(Ok(warning)),
            }
        }
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        let mut all = all.into_iter().peekable();
        while all.peek().is_some() {
            events.push(Ok(SeriesEvent::Batch(all.by_ref().take(64).collect())));
        }
        Ok((events, held))
    };
    stream::once(sorted)
        .flat_map(|result: Result<_>| match result {
            // The reservation lives as long as the stream of what it covers.
            Ok((events, held)) => stream::iter(events)
                .map(move |event| {
                    let _held = &held;
                    event
                })
                .boxed(),
            Err(e) => stream::once(std::future::ready(Err(e))).boxed(),
        })
        .boxed()
}

/// An endpoint's stream, whose failures become warnings when partial answers are allowed.
struct Guarded {
    name: String,
    stream: SeriesStream,
    partial: PartialResponse,
    timeout: Duration,
    timer: Option<Pin<Box<tokio::time::Sleep>>>,
    last: Option<Labels>,
    done: bool,
}

impl Guarded {
    fn new(name: &str, stream: SeriesStream, partial: PartialResponse, timeout: Duration) -> Self {
        Self { name: name.to_owned(), stream, partial, timeout, timer: None, last: None, done: false }
    }

    /// The end of this endpoint's part.
    fn failed(&mut self, error: Error) -> Result<SeriesEvent> {
        self.done = true;
        match self.partial {
            PartialResponse::Warn if !fatal(&error) => Ok(SeriesEvent::Warning(error.to_string())),
            _ => Err(error),
        }
    }

    fn disorder(&mut self, batch: &[Series]) -> Option<Error> {
        let mut before = self.last.as_ref();
        for series in batch {
            if let Some(last) = before.filter(|last| **last > series.labels) {
                let text = format!("{} sent series out of order: {} after {last}", self.name, series.labels);
                return Some(Error::Corrupt(text));
            }
            before = Some(&series.labels);
        }
        self.last = before.cloned();
        None
    }
}

impl Stream for Guarded {
    type Item = Result<SeriesEvent>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        match this.stream.as_mut().poll_next(cx) {
            Poll::Ready(event) => {
                this.timer = None;
                Poll::Ready(match event {
                    None => None,
                    Some(Ok(SeriesEvent::Batch(batch))) => match this.disorder(&batch) {
                        Some(e) => Some(this.failed(e)),
                        None => Some(Ok(SeriesEvent::Batch(batch))),
                    },
                    Some(Ok(warning)) if this.partial == PartialResponse::Warn => Some(Ok(warning)),
                    Some(Ok(SeriesEvent::Warning(text))) => {
                        this.done = true;
                        Some(Err(Error::Unavailable(format!("partial response is not allowed: {text}"))))
                    }
                    Some(Err(e)) => Some(this.failed(e)),
                })
            }
            Poll::Pending if this.timeout.is_zero() => Poll::Pending,
            Poll::Pending => {
                let timeout = this.timeout;
                let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                match timer.as_mut().poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        let text = format!("{}: sent no data for {timeout:?} (--store.response-timeout)", this.name);
                        Poll::Ready(Some(this.failed(Error::Timeout(text))))
                    }
                }
            }
        }
    }
}

/// At most `limit` series (0 = all).
fn limited(stream: SeriesStream, limit: usize) -> SeriesStream {
    if limit == 0 {
        return stream;
    }
    let mut left = limit;
    stream
        .map(move |event| {
            event.map(|event| match event {
                SeriesEvent::Batch(mut batch) => {
                    batch.truncate(left);
                    left -= batch.len();
                    SeriesEvent::Batch(batch)
                }
                warning => warning,
            })
        })
        .boxed()
}
