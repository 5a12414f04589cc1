//! The storages of the section `remote_read`: other places that queries read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, MatchType, Matcher};
use model::TimeRange;
use promclient::{ClientOptions, PromClient};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use storage::{Answer, LabelQuery, Result, Select, SeriesEvent, SeriesSource, SeriesStream, SourceInfo};
use telemetry::{CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Metrics};
use tokio::time::Instant;
use transport::http::ClientConfig;

use crate::read::{RemoteRead, RemoteReadOptions};

/// A storage, and what it is asked for.
#[derive(Debug, Clone)]
pub struct RemoteStoreConfig {
    /// Name in metrics and warnings; empty = made of the URL.
    pub name: String,
    /// URL that requests are posted to.
    pub url: String,
    /// The longest silence of the storage.
    pub timeout: Duration,
    /// A larger frame of an answer is an error, bytes.
    pub frame_bytes_max: usize,
    /// More headers of each request.
    pub headers: BTreeMap<String, String>,
    /// Whether it is asked, too, for times that the local database has all of.
    pub read_recent: bool,
    /// Equality matchers that a selector must have, else it is not asked.
    pub required_matchers: BTreeMap<String, String>,
    /// Whether it is asked for series with the external labels, which are then taken off.
    pub filter_external_labels: bool,
    /// How it is spoken to.
    pub http: ClientConfig,
}

/// What requests to all storages are counted in.
#[derive(Debug, Clone)]
pub struct RemoteStoreMetrics {
    running: GaugeVec,
    total: CounterVec,
    duration: HistogramVec,
}

const OF: &[&str] = &["remote_name", "url"];

impl RemoteStoreMetrics {
    /// Registers the metrics.
    pub fn new(m: &Metrics) -> Self {
        Self {
            running: m.gauges("prometheus_remote_storage_remote_read_queries", "Remote reads that run now.", OF),
            total: m.counters(
                "prometheus_remote_storage_read_queries_total",
                "Remote reads, by how they ended: 200 or error.",
                &["remote_name", "url", "code"],
            ),
            duration: m.histograms(
                "prometheus_remote_storage_read_request_duration_seconds",
                "Time of remote reads.",
                OF,
                &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0],
            ),
        }
    }
}

/// A storage as a source. A failure is a warning: the answer has what others have.
#[derive(Clone)]
pub struct RemoteStore {
    read: RemoteRead,
    config: Arc<RemoteStoreConfig>,
    external: Labels,
    local_begin_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
    metrics: RemoteStoreMetrics,
    names: [String; 2],
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteStore").field("names", &self.names).finish_non_exhaustive()
    }
}

impl RemoteStore {
    /// A storage. `local_begin_ms` is since when the local database has all samples; `None` = it has none.
    ///
    /// # Errors
    /// What is wrong with URL, headers or client.
    pub fn new(
        config: RemoteStoreConfig,
        external: Labels,
        local_begin_ms: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
        metrics: RemoteStoreMetrics,
    ) -> std::result::Result<Self, String> {
        let shown_url = model::redact_urls(&config.url).into_owned();
        reqwest::Url::parse(&config.url).map_err(|e| format!("{shown_url:?} is no URL: {e}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            let pair = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
            let (name, value) = pair.ok_or_else(|| format!("headers: {name:?} or its value cannot be a header"))?;
            headers.insert(name, value);
        }
        let http = config.http.clone().build().map_err(|e| e.to_string())?;
        let client = PromClient::new(&config.url, http, ClientOptions::default());
        let options = RemoteReadOptions {
            frame_bytes_max: config.frame_bytes_max,
            idle_timeout: config.timeout,
            concurrency: 0,
            ..RemoteReadOptions::default()
        };
        let name = match config.name.as_str() {
            "" => format!("{:06x}", xxhash_rust::xxh3::xxh3_64(config.url.as_bytes()) & 0xff_ffff),
            name => name.to_owned(),
        };
        let read = RemoteRead::at_url(client, headers, options);
        Ok(Self { read, config: Arc::new(config), external, local_begin_ms, metrics, names: [name, shown_url] })
    }

    /// What of a range it is asked for, if anything.
    fn range(&self, range: TimeRange, matchers: &[Matcher]) -> Option<TimeRange> {
        let has = |name: &str, value: &str| {
            matchers.iter().any(|m| m.kind() == MatchType::Equal && m.name() == name && m.value() == value)
        };
        if !self.config.required_matchers.iter().all(|(name, value)| has(name, value)) {
            return None;
        }
        let mut range = range;
        if !self.config.read_recent
            && let Some(begin_ms) = (self.local_begin_ms)()
        {
            range.max = range.max.min(begin_ms.saturating_sub(1));
        }
        (!range.is_empty()).then_some(range)
    }

    /// The selector with the external labels that it does not speak of; those go off the series that come.
    fn with_external(&self, mut want: Select) -> Select {
        if !self.config.filter_external_labels {
            return want;
        }
        let spoken = |name: &str| want.matchers.iter().any(|m| m.name() == name);
        let added: Vec<(String, String)> =
            self.external.iter().filter(|(n, _)| !spoken(n)).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        if added.is_empty() {
            return want;
        }
        let matchers = added.iter().map(|(name, value)| Matcher::equal(name.as_str(), value.as_str()));
        want.matchers = want.matchers.iter().cloned().chain(matchers).collect();
        let names = want.without_replica_labels.iter().cloned().chain(added.into_iter().map(|(name, _)| name));
        want.without_replica_labels = names.collect();
        want
    }

    fn begin(&self) -> Running {
        let names = [self.names[0].as_str(), self.names[1].as_str()];
        let gauge = self.metrics.running.with(&names);
        gauge.inc();
        Running {
            gauge,
            duration: self.metrics.duration.with(&names),
            total: self.metrics.total.clone(),
            names: self.names.clone(),
            code: "200",
            begin: Instant::now(),
        }
    }
}

/// Counts one remote read when it is dropped.
struct Running {
    gauge: Gauge,
    duration: Histogram,
    total: CounterVec,
    names: [String; 2],
    code: &'static str,
    begin: Instant,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.dec();
        self.duration.observe(self.begin.elapsed().as_secs_f64());
        self.total.with(&[&self.names[0], &self.names[1], self.code]).inc();
    }
}

impl SeriesSource for RemoteStore {
    fn info(&self) -> SourceInfo {
        SourceInfo { supports_sharding: true, supports_without_replica_labels: true, ..self.read.info() }
    }

    fn select(&self, ctx: &storage::Ctx, want: Select) -> SeriesStream {
        let Some(range) = self.range(want.range, &want.matchers) else { return stream::empty().boxed() };
        let skip_chunks = want.skip_chunks;
        let want = self.with_external(Select { range, ..want });
        let mut running = self.begin();
        let name = self.names[0].clone();
        let events = self.read.select(ctx, want);
        events
            .map(move |event| {
                // As a whole: it counts when it is dropped.
                let running = &mut running;
                match event {
                    Ok(SeriesEvent::Batch(mut batch)) => {
                        if skip_chunks {
                            batch.iter_mut().for_each(|series| series.chunks.clear());
                        }
                        Ok(SeriesEvent::Batch(batch))
                    }
                    Err(e @ (storage::Error::Cancelled | storage::Error::Limit(_))) => Err(e),
                    Err(e) => {
                        running.code = "error";
                        Ok(SeriesEvent::Warning(format!("remote_read {name}: {e}")))
                    }
                    other => other,
                }
            })
            .boxed()
    }

    fn label_names(&self, _: &storage::Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.no_labels("names", &want)
    }

    fn label_values(
        &self,
        _: &storage::Ctx,
        _: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        self.no_labels("values", &want)
    }
}

impl RemoteStore {
    fn no_labels(&self, what: &str, want: &LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let asked = self.range(want.range, &want.matchers).is_some();
        let text = format!("remote_read {}: label {what} are missing, its protocol cannot ask for them", self.names[0]);
        let warnings = if asked { vec![text] } else { Vec::new() };
        Box::pin(std::future::ready(Ok(Answer { value: Vec::new(), warnings })))
    }
}
