//! Remote read as a source of series.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, METRIC_NAME, Matcher};
use model::TimeRange;
use promclient::PromClient;
use prost::Message;
use proto::prometheus as wire;
use reqwest::Response;
use reqwest::header::HeaderMap;
use storage::{
    Answer, Ctx, Error, LabelQuery, Narrowed, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream,
    SourceInfo, ahead, merge_sorted_names, narrow,
};
use tokio_util::task::AbortOnDropHandle;

use crate::frames::FrameDecoder;
use crate::messages::{read_request, series_from_wire};
use crate::out::{BATCH_SERIES, Batch, Holding, Sink};
use crate::plan::{Identity, Plan};
use crate::samples;
use crate::slots::Slots;

const READ: &str = "/api/v1/read";
const STREAMED: &str = "application/x-streamed-protobuf";
const SAMPLED: &str = "application/x-protobuf";

/// Limits of remote reads, of one and of all together.
#[derive(Debug, Clone)]
pub struct RemoteReadOptions {
    /// A larger frame is an error.
    pub frame_bytes_max: usize,
    /// A larger answer in the form of samples is an error.
    pub sampled_bytes_max: usize,
    /// The longest silence of Prometheus, before the head of its answer and between parts of it.
    pub idle_timeout: Duration,
    /// Remote reads at a time; 0 = no limit. More than the server answers at a time wait there.
    pub concurrency: usize,
}

impl Default for RemoteReadOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: 50_000_000,
            sampled_bytes_max: 512 << 20,
            idle_timeout: Duration::from_secs(120),
            concurrency: 10,
        }
    }
}

/// A Prometheus' series by remote read. Cheap to clone.
#[derive(Clone)]
pub struct RemoteRead {
    client: PromClient,
    identity: Arc<dyn Fn() -> Option<Identity> + Send + Sync>,
    options: RemoteReadOptions,
    slots: Slots,
    path: &'static str,
    headers: HeaderMap,
    /// Label sets can be asked for by Prometheus' HTTP API.
    has_api: bool,
}

impl fmt::Debug for RemoteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteRead").field("client", &self.client.shown_url()).finish_non_exhaustive()
    }
}

impl RemoteRead {
    /// Series of the server behind `client`; `identity` is asked at each call, `None` = nothing is known of it yet.
    pub fn new(
        client: PromClient,
        identity: impl Fn() -> Option<Identity> + Send + Sync + 'static,
        options: RemoteReadOptions,
    ) -> Self {
        let (slots, headers) = (Slots::new(options.concurrency), HeaderMap::new());
        Self { client, identity: Arc::new(identity), options, slots, path: READ, headers, has_api: true }
    }

    /// Series of a storage that speaks remote read at the URL of `client`, and perhaps nothing else.
    pub(crate) fn at_url(client: PromClient, headers: HeaderMap, options: RemoteReadOptions) -> Self {
        let anything =
            Identity { external: Labels::empty(), range: TimeRange::ALL, limit_min_time: i64::MIN, label_names: None };
        let this = Self::new(client, move || Some(anything.clone()), options);
        Self { path: "", headers, has_api: false, ..this }
    }

    fn who(&self) -> Result<Identity> {
        (self.identity)().ok_or_else(|| {
            Error::Unavailable(format!("prometheus {} has not been reached yet", self.client.shown_url()))
        })
    }

    /// The request's part that Prometheus is asked for; `None` when it cannot have any of it.
    fn plan(&self, range: TimeRange, matchers: &[Matcher]) -> Result<Option<Plan>> {
        let identity = self.who()?;
        let range = TimeRange::new(range.min.max(identity.limit_min_time), range.max);
        match narrow(&identity.external, matchers) {
            Narrowed::Left(matchers) if !range.is_empty() => Ok(Some(Plan { identity, range, matchers })),
            _ => Ok(None),
        }
    }

    async fn run(&self, ctx: &Ctx, want: &Select, out: &mut Sink) -> Result<()> {
        let Some(plan) = self.plan(want.range, &want.matchers)? else { return Ok(()) };
        if want.matchers.is_empty() {
            return Err(Error::Invalid("no matchers specified".to_owned()));
        }
        if want.skip_chunks && self.has_api {
            return self.labels_only(ctx, want, &plan, out).await;
        }
        let _slot = self.slots.take().await?;
        let response = self.ask(want, &plan).await?;
        let content = response.headers().get(reqwest::header::CONTENT_TYPE);
        let content = content.and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        if content.starts_with(STREAMED) {
            self.streamed(ctx, want, &plan, response, out).await
        } else if content.starts_with(SAMPLED) {
            self.sampled(ctx, want, &plan, response, out).await
        } else {
            Err(Error::other(format!("answer of type {content:?}, which is no remote read's")))
        }
    }

    async fn labels_only(&self, ctx: &Ctx, want: &Select, plan: &Plan, out: &mut Sink) -> Result<()> {
        // A limit may be passed on only if every series found is one of the answer.
        let exact = want.shard.is_none() && want.without_replica_labels.is_empty() && !plan.may_clash(want);
        let limit = if exact { want.limit } else { 0 };
        let answer = self.series(ctx, plan, limit).await?;
        let external = &plan.identity.external;
        let mut found: Vec<Labels> =
            answer.value.iter().map(|l| l.overlay(external).without(&want.without_replica_labels)).collect();
        found.retain(|l| want.shard.as_ref().is_none_or(|s| s.matches(l)));
        found.sort_unstable();
        found.dedup();
        if want.limit > 0 {
            found.truncate(want.limit);
        }
        for text in answer.warnings {
            out.send(SeriesEvent::Warning(text)).await?;
        }
        for part in found.chunks(BATCH_SERIES) {
            let series = part.iter().map(|l| Series { labels: l.clone(), chunks: Vec::new() }).collect();
            out.send(SeriesEvent::Batch(series)).await?;
        }
        Ok(())
    }

    /// Label sets; of some more than `limit` perhaps.
    async fn series(&self, ctx: &Ctx, plan: &Plan, limit: usize) -> Result<Answer<Vec<Labels>>> {
        let mut answer = self.client.series(plan.range, &plan.named(), limit).await?;
        if plan.matches_empty() {
            answer.value.extend(self.nameless(ctx, plan).await?);
        }
        Ok(answer)
    }

    /// Label sets of series without a name. Prometheus' API has no selector for all of them; remote read has.
    async fn nameless(&self, ctx: &Ctx, plan: &Plan) -> Result<Vec<Labels>> {
        let nameless = Matcher::equal(METRIC_NAME, "");
        let matchers: Vec<Matcher> = plan.matchers.iter().cloned().chain([nameless]).collect();
        let mut events = self.select(ctx, Select::new(plan.range, matchers));
        let mut found = Vec::new();
        while let Some(event) = events.next().await {
            if let SeriesEvent::Batch(batch) = event? {
                found.extend(batch.into_iter().map(|series| series.labels));
            }
        }
        Ok(found)
    }

    async fn ask(&self, want: &Select, plan: &Plan) -> Result<Response> {
        let body = read_request(want, plan)?;
        let request = self
            .client
            .post(self.path)?
            .headers(self.headers.clone())
            .header("Content-Type", SAMPLED)
            .header("Content-Encoding", "snappy")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0")
            .body(body);
        self.within(self.client.send(self.path, request)).await
    }

    /// Waits for Prometheus as long as is allowed.
    async fn within<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let silent = || Error::Timeout(format!("no answer within {:?}", self.options.idle_timeout));
        tokio::time::timeout(self.options.idle_timeout, work).await.map_err(|_| silent())?
    }

    async fn streamed(
        &self,
        ctx: &Ctx,
        want: &Select,
        plan: &Plan,
        mut response: Response,
        out: &mut Sink,
    ) -> Result<()> {
        let mut decoder = FrameDecoder::new(self.options.frame_bytes_max);
        let mut sorter = plan.sorter(want, !plan.may_clash(want));
        let mut held = Holding::new(ctx)?;
        let mut batch = Batch::new(want.limit);
        loop {
            let next = async { response.chunk().await.map_err(|e| self.client.broken(self.path, &e)) };
            let Some(part) = self.within(next).await? else { break };
            decoder.push(&part);
            while let Some(frame) = decoder.next_frame()? {
                let message = wire::ChunkedReadResponse::decode(frame)
                    .map_err(|e| Error::Corrupt(format!("message in a frame: {e}")))?;
                for series in message.chunked_series {
                    let (sent, chunks) = series_from_wire(series)?;
                    // thanos-io/thanos#381: Prometheus may send a series without any
                    if !chunks.is_empty() {
                        sorter.push(sent, chunks, &mut batch.series)?;
                    }
                }
            }
            held.set(decoder.len() + sorter.held_bytes())?;
            if batch.flush(out).await? {
                return Ok(());
            }
        }
        decoder.finish()?;
        sorter.finish(&mut batch.series)?;
        batch.flush(out).await.map(drop)
    }

    async fn sampled(&self, ctx: &Ctx, want: &Select, plan: &Plan, response: Response, out: &mut Sink) -> Result<()> {
        let max = self.options.sampled_bytes_max;
        let body = self.within(self.client.body(self.path, response, max)).await?;
        let mut held = Holding::new(ctx)?;
        held.set(body.len() + snap::raw::decompress_len(&body).unwrap_or(0).min(max))?;
        let mut sorter = plan.sorter(want, false);
        let mut batch = Batch::new(want.limit);
        for (sent, chunks) in samples::decode(&body, max)? {
            sorter.push(sent, chunks, &mut batch.series)?;
        }
        sorter.finish(&mut batch.series)?;
        batch.flush(out).await.map(drop)
    }
}

impl SeriesSource for RemoteRead {
    fn info(&self) -> SourceInfo {
        let (label_sets, range) = match (self.identity)() {
            Some(i) if i.external.is_empty() => (Vec::new(), i.range),
            Some(i) => (vec![i.external], i.range),
            None => (Vec::new(), TimeRange::ALL),
        };
        SourceInfo { label_sets, range, supports_sharding: true, supports_without_replica_labels: true }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let (queue, events) = ahead(ctx);
        let (this, ctx) = (self.clone(), ctx.clone());
        let read = async move {
            let mut out = Sink { queue, slots: this.slots.clone() };
            let deadline = async {
                match ctx.deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            let result = tokio::select! {
                result = this.run(&ctx, &want, &mut out) => result,
                () = ctx.cancel.cancelled() => Err(Error::Cancelled),
                () = deadline => Err(Error::Timeout("query timed out".to_owned())),
            };
            if let Err(e) = result {
                out.queue.fail(match e {
                    Error::Cancelled | Error::Invalid(_) => e,
                    e if e.to_string().starts_with("prometheus ") => e,
                    e => e.within(format!("prometheus {}{}", this.client.shown_url(), this.path)),
                });
            }
        };
        let task = AbortOnDropHandle::new(tokio::spawn(read));
        let events = events.into_stream();
        stream::unfold((events, task), |(mut events, task)| async move { Some((events.next().await?, (events, task))) })
            .boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (this, ctx) = (self.clone(), ctx.clone());
        Box::pin(async move {
            let Some(plan) = this.plan(want.range, &want.matchers)? else { return Ok(Answer::default()) };
            let mut answer = this.client.label_names(plan.range, &plan.for_labels(), 0).await?;
            if plan.apart() {
                let nameless = this.nameless(&ctx, &plan).await?;
                answer.value.extend(nameless.iter().flat_map(|l| l.iter().map(|(n, _)| n.to_owned())));
            }
            if answer.value.is_empty() {
                return Ok(answer);
            }
            let external = plan.identity.external.iter().map(|(n, _)| n.to_owned()).collect();
            let mut names = merge_sorted_names(vec![answer.value, external], 0);
            names.retain(|n| !want.without_replica_labels.contains(n));
            if want.limit > 0 {
                names.truncate(want.limit);
            }
            Ok(Answer { value: names, warnings: answer.warnings })
        })
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (this, ctx, name) = (self.clone(), ctx.clone(), name.to_owned());
        Box::pin(async move {
            if want.without_replica_labels.contains(&name) {
                return Ok(Answer::default());
            }
            let Some(plan) = this.plan(want.range, &want.matchers)? else { return Ok(Answer::default()) };
            if let Some(value) = plan.identity.external.get(&name) {
                if plan.matchers.is_empty() {
                    return Ok(vec![value.to_owned()].into());
                }
                let found = this.series(&ctx, &plan, 1).await?;
                let value = if found.value.is_empty() { vec![] } else { vec![value.to_owned()] };
                return Ok(Answer { value, warnings: found.warnings });
            }
            let matchers = plan.for_labels();
            let mut answer = this.client.label_values(&name, plan.range, &matchers, want.limit).await?;
            if plan.apart() {
                let nameless = this.nameless(&ctx, &plan).await?;
                answer.value.extend(nameless.iter().filter_map(|l| l.get(&name).map(str::to_owned)));
            }
            Ok(Answer { value: merge_sorted_names(vec![answer.value], want.limit), warnings: answer.warnings })
        })
    }
}
