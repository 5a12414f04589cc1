//! One source over many endpoints: asks those that may have the data, at the same time, and merges their streams.
//!
//! An endpoint that fails, stalls or lies about its order is named in a warning and left out of the answer (or fails it,
//! under `Abort`); the others are not disturbed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, Stream, StreamExt};
use labels::{Labels, METRIC_NAME, MatchType, Matcher};
use model::{Resolution, TimeRange};
use relabel::Rule;
use storage::{
    Answer, Ctx, Error, LabelQuery, PartialResponse, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream,
    SourceInfo, merge_sorted_names, merge_streams, noted,
};
use storeapi::ComponentType;

use crate::chosen_sets::{Choices, Chosen, kept};
use crate::endpoints::{Endpoint, EndpointSet, Members};
use crate::strays::without_strays;

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
    chosen: Arc<[Vec<Matcher>]>,
    choices: Arc<Choices>,
}

impl FanOut {
    pub fn new(set: Arc<EndpointSet>, options: FanOutOptions) -> Self {
        Self { set, options: Arc::new(options), chosen: Arc::from([]), choices: Arc::default() }
    }

    /// Only over endpoints that one of `selectors` chooses; empty = all.
    #[must_use]
    pub fn choosing(&self, selectors: Vec<Vec<Matcher>>) -> Self {
        Self { chosen: selectors.into(), ..self.clone() }
    }

    /// Whether series are those of the endpoints as they are: no labels added, no endpoints left out.
    pub(crate) fn is_plain(&self) -> bool {
        self.options.selector_labels.is_empty() && self.options.relabel.is_empty()
    }

    /// Endpoints that hold series, before it is known which of them matter.
    async fn members(&self) -> Members {
        let members = self.set.members(|served| served.store, &self.chosen).await;
        match self.chosen.is_empty() {
            true => members.or_none("no endpoint serves series"),
            false => members,
        }
    }

    /// All endpoints that hold series, if each of them has told what it has.
    pub(crate) async fn complete(&self) -> Option<Vec<Arc<Endpoint>>> {
        let mut members = self.members().await;
        let warnings = members.warnings(PartialResponse::Warn).ok()?;
        let known = warnings.is_empty() && members.asked.iter().all(|e| e.known().is_some());
        known.then_some(members.asked)
    }

    /// How long an endpoint may send nothing; zero = for ever.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.options.response_timeout
    }

    /// Endpoints that may have matching series, each with the matchers to ask it with. One of whose label sets only some
    /// are kept may come several times, for a part each.
    fn candidates(
        &self,
        members: Members,
        range: TimeRange,
        matchers: &Arc<[Matcher]>,
    ) -> Vec<(Arc<Endpoint>, Arc<[Matcher]>)> {
        let asked = |endpoint: Arc<Endpoint>| {
            let sets = endpoint.label_sets();
            let parts = match &*self.choices.of(&self.options.relabel, &endpoint.name, &sets) {
                Chosen::All => vec![Vec::new()],
                Chosen::Parts(parts) => parts.clone(),
            };
            parts.into_iter().map(move |part| match part.is_empty() {
                true => (endpoint.clone(), matchers.clone()),
                false => (endpoint.clone(), matchers.iter().cloned().chain(part).collect()),
            })
        };
        members.asked.into_iter().flat_map(asked).filter(|(e, matchers)| e.may_have(range, matchers)).collect()
    }

    /// The label sets of what is behind this querier, as far as they are known and kept, and whether all are known.
    pub(crate) fn label_sets(&self) -> (Vec<Labels>, bool) {
        let mut label_sets: Vec<Labels> = Vec::new();
        let mut complete = true;
        for endpoint in self.set.all().into_iter().filter(|e| self.serves_kept(e)) {
            complete &= endpoint.known().is_some_and(|i| !i.source.label_sets.is_empty());
            let sets = endpoint.label_sets();
            label_sets
                .extend(kept(&self.options.relabel, &sets).iter().map(|l| l.overlay(&self.options.selector_labels)));
        }
        label_sets.sort();
        label_sets.dedup();
        (label_sets, complete)
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
        let mut members = self.members().await;
        let mut warnings = members.warnings(want.partial_response)?;
        let endpoints = self.candidates(members, want.range, &want.matchers);
        let timeout = self.options.response_timeout;
        let calls = endpoints.into_iter().filter_map(|(e, matchers)| {
            let call = ask(e.clone(), LabelQuery { matchers, ..want.clone() })?;
            Some(async move { within(timeout, &e.name, call).await })
        });
        let mut lists = Vec::new();
        for answer in futures::future::join_all(calls).await {
            match answer {
                Ok(answer) => {
                    warnings.extend(answer.warnings);
                    lists.push(answer.value);
                }
                Err(e) => warnings.push(excused(e, want.partial_response)?),
            }
        }
        Ok(Answer { value: merge_sorted_names(lists, want.limit), warnings })
    }
}

/// The longest windows of downsampled data, ms.
const COARSEST_MS: i64 = Resolution::COARSEST.ms();

/// An endpoint's failure as a warning. What it calls a bad request is its own failure too: what is wrong with a request
/// is found before it is sent.
///
/// # Errors
/// Where partial answers are not allowed, or nobody waits for the answer any more.
pub(crate) fn excused(error: Error, partial: PartialResponse) -> Result<String> {
    match (error, partial) {
        (Error::Cancelled, _) => Err(Error::Cancelled),
        (error, PartialResponse::Warn) => Ok(error.to_string()),
        (Error::Invalid(text), PartialResponse::Abort) => Err(Error::other(text)),
        // not to be taken for the end of the query's own time
        (Error::Timeout(text), PartialResponse::Abort) => Err(Error::Unavailable(text)),
        (error, PartialResponse::Abort) => Err(error),
    }
}

/// What an endpoint answers within `timeout`; zero = as long as it takes.
///
/// # Errors
/// Those of `call`, or the timeout's.
pub(crate) async fn within<T>(timeout: Duration, name: &str, call: impl Future<Output = Result<T>>) -> Result<T> {
    if timeout.is_zero() {
        return call.await;
    }
    let late = |_| Err(Error::Timeout(format!("{name}: no answer within {timeout:?} (--store.response-timeout)")));
    tokio::time::timeout(timeout, call).await.unwrap_or_else(late)
}

/// The time whose data can show in the answer. A downsampled window does up to two windows after it ended, and a third
/// because a chunk may end in the middle of one.
fn reach(want: &Select) -> TimeRange {
    let back = if want.coarser { 3 * COARSEST_MS } else { 0 };
    TimeRange::new(want.range.min.saturating_sub(back), want.range.max)
}

impl SeriesSource for FanOut {
    fn info(&self) -> SourceInfo {
        let (label_sets, complete) = self.label_sets();
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        let all = self.set.all();
        for endpoint in all.iter().filter(|e| self.serves_kept(e)) {
            let range = endpoint.info().range;
            (min, max) = (min.min(range.min), max.max(range.max));
        }
        let range = match (all.is_empty(), min > max) {
            // Whoever asks gets a warning that names the missing endpoints.
            (true, _) => TimeRange::ALL,
            (false, true) => TimeRange::new(0, 0),
            (false, false) => TimeRange::new(min, max),
        };
        let selector = &self.options.selector_labels;
        let label_sets = match (complete, selector.is_empty()) {
            (true, _) => label_sets,
            (false, true) => Vec::new(),
            (false, false) => vec![selector.clone()],
        };
        SourceInfo { label_sets, range, supports_sharding: true, supports_without_replica_labels: true }
    }

    fn select(&self, ctx: &Ctx, mut want: Select) -> SeriesStream {
        let Some(own) = self.own_matchers(&want.matchers) else { return stream::empty().boxed() };
        want.matchers = match own.is_empty() && !want.matchers.is_empty() {
            true => any_name().into_iter().collect(),
            false => own,
        };
        let (this, ctx) = (self.clone(), ctx.clone());
        let started = async move {
            let mut members = this.members().await;
            match members.warnings(want.partial_response) {
                Err(e) => stream::once(std::future::ready(Err(e))).boxed(),
                Ok(warnings) => {
                    let warnings = stream::iter(warnings.into_iter().map(|text| Ok(SeriesEvent::Warning(text))));
                    warnings.chain(this.merged(&ctx, members, want)).boxed()
                }
            }
        };
        stream::once(started).flatten().boxed()
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

impl FanOut {
    /// The series of all candidates, as one stream.
    fn merged(&self, ctx: &Ctx, members: Members, want: Select) -> SeriesStream {
        let candidates = self.candidates(members, reach(&want), &want.matchers);
        let requests = candidates.into_iter().flat_map(|(endpoint, matchers)| {
            let asked = requests(&endpoint, Select { matchers, ..want.clone() });
            asked.into_iter().map(move |asked| (endpoint.clone(), asked))
        });
        let requests: Vec<_> = requests.collect();
        let is_alone = requests.len() == 1;
        let streams = requests.into_iter().filter_map(|(endpoint, mut asked)| {
            let info = endpoint.info();
            let stripped = asked.without_replica_labels.clone();
            let mut local = Local { bare: want.skip_chunks && !asked.skip_chunks, ..Local::default() };
            if !info.supports_sharding {
                local.shard = asked.shard.take();
            }
            if !info.supports_without_replica_labels && !stripped.is_empty() {
                asked.without_replica_labels = Arc::from([]);
                local.strip = stripped.clone();
            }
            if local.shard.is_some() || !local.strip.is_empty() {
                // What is taken away here must not count.
                asked.limit = 0;
            }
            if !is_alone || local.shard.is_some() || !local.strip.is_empty() {
                // Labels are looked at here.
                asked.labels = None;
            }
            let matchers = asked.matchers.clone();
            let kind = endpoint.known().map_or(ComponentType::Unknown, |known| known.component).as_str();
            let store = endpoint.store()?;
            let stream = noted(ctx, &endpoint.name, move |_| kind, |ctx| store.select(ctx, asked));
            let stream = local.apply(ctx, stream);
            let stream = without_strays(&endpoint, stream, &matchers, &stripped);
            let guarded = Guarded::new(&endpoint.name, stream, want.partial_response, self.options.response_timeout);
            Some((endpoint.name.clone(), guarded.boxed()))
        });
        limited(merge_streams(streams.collect()), want.limit)
    }

    /// Whether it has series that relabelling lets through.
    fn serves_kept(&self, endpoint: &Endpoint) -> bool {
        let sets = endpoint.label_sets();
        endpoint.serves(|s| s.store) && (sets.is_empty() || !kept(&self.options.relabel, &sets).is_empty())
    }
}

/// What to ask an endpoint for `want`: peers may refuse a selector of nothing but external labels, so it gets a matcher
/// that all series match. For label sets alone Prometheus wants one that the empty text does not match: then series
/// without a name are asked for apart.
fn requests(endpoint: &Endpoint, want: Select) -> Vec<Select> {
    if !endpoint.only_external(&want.matchers) {
        return vec![want];
    }
    let with = |want: &Select, more: Option<Matcher>| Select {
        matchers: want.matchers.iter().cloned().chain(more).collect(),
        ..want.clone()
    };
    match want.skip_chunks {
        false => vec![with(&want, any_name())],
        true => {
            let named = Matcher::new(MatchType::NotEqual, METRIC_NAME, "").ok();
            let nameless = with(&want, Some(Matcher::equal(METRIC_NAME, "")));
            vec![with(&want, named), Select { skip_chunks: false, ..nameless }]
        }
    }
}

/// A matcher that every series matches.
fn any_name() -> Option<Matcher> {
    Matcher::new(MatchType::Regex, METRIC_NAME, ".*").ok()
}

/// What has to be done here because an endpoint does not do it.
#[derive(Debug, Default)]
struct Local {
    bare: bool,
    shard: Option<storage::Shard>,
    strip: Arc<[String]>,
}

impl Local {
    fn apply(self, ctx: &Ctx, stream: SeriesStream) -> SeriesStream {
        let stream = match self.strip.is_empty() {
            true => stream,
            false => resorted(ctx, stream, self.strip),
        };
        if self.shard.is_none() && !self.bare {
            return stream;
        }
        let keep = move |event| match event {
            Ok(SeriesEvent::Batch(mut batch)) => {
                batch.retain(|s| self.shard.as_ref().is_none_or(|shard| shard.matches(&s.labels)));
                if self.bare {
                    batch.iter_mut().for_each(|s| s.chunks = Vec::new());
                }
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
        excused(error, self.partial).map(SeriesEvent::Warning)
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
