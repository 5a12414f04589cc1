//! Requests, from HTTP to the commit.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ingest::{Hasher, SeriesCache};
use model::Clock;
use storage::append::{AppendOptions, Appendable, LabelLimits, Visible};
use storage::{Budget, Ctx};
use telemetry::{Metrics, Occasionally};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::answer::{Done, Failure, Form, response};
use crate::batch::{Batch, Room};
use crate::delta::Streams;
use crate::inflate::{Encoding, inflate};
use crate::limits::AHEAD_MAX_MS;
use crate::metric::has_delta;
use crate::metrics::ReceiverMetrics;
use crate::point::Point;
use crate::settings::{DeltaMode, Settings};
use crate::take::{Taken, take};
use crate::translate::Translator;
use crate::{json, metric};

/// The route.
const PATH: &str = "/api/v1/otlp/v1/metrics";
/// How often a request is taken while the store collects series that it has samples of.
const ATTEMPTS: usize = 3;

/// Settings of a [`Receiver`].
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// The largest body as it comes, bytes.
    pub body_bytes_max: usize,
    /// The largest body after decompression, bytes.
    pub decoded_bytes_max: usize,
    /// What the rows of one request may take, with the labels of new series, bytes.
    pub rows_bytes_max: u64,
    /// Series whose references are remembered.
    pub cached_series_max: usize,
    /// What label sets may be.
    pub labels: LabelLimits,
    /// Streams of deltas that are summed up (`--limits.otlp-delta-streams`).
    pub delta_streams_max: usize,
    /// A stream of deltas without a data point for so long is forgotten, ms.
    pub delta_stale_ms: i64,
    /// A random number that senders do not know: the key of the digests that series are found by.
    pub seed: u64,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            rows_bytes_max: 512 << 20,
            cached_series_max: 4 << 20,
            labels: LabelLimits::default(),
            delta_streams_max: 1_000_000,
            delta_stale_ms: 5 * 60 * 1000,
            seed: 0,
        }
    }
}

/// What a [`Receiver`] works with.
pub struct ReceiverDeps {
    /// Where samples go.
    pub appendable: Arc<dyn Appendable>,
    /// How metrics become series; asked for at each request.
    pub settings: Arc<dyn Fn() -> Arc<Settings> + Send + Sync>,
    /// Tells which samples lie too far ahead.
    pub clock: Arc<dyn Clock>,
    /// What requests hold counts here; where it is spent they are asked to come again.
    pub budget: Arc<Budget>,
    /// Where the receiver's own metrics go.
    pub metrics: Metrics,
}

impl fmt::Debug for ReceiverDeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiverDeps").field("appendable", &self.appendable).finish_non_exhaustive()
    }
}

/// Takes OTLP metrics into an [`Appendable`]. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Receiver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    deps: ReceiverDeps,
    options: ReceiverOptions,
    metrics: ReceiverMetrics,
    hasher: Hasher,
    cache: SeriesCache,
    streams: Arc<Mutex<Streams>>,
    rejections: Occasionally,
    warnings: Occasionally,
}

/// Sums of deltas, while a request adds to them.
type Held = Option<OwnedMutexGuard<Streams>>;

impl Receiver {
    /// A receiver.
    pub fn new(options: ReceiverOptions, deps: ReceiverDeps) -> Self {
        Self(Arc::new(Inner {
            metrics: ReceiverMetrics::new(&deps.metrics),
            hasher: Hasher::new(options.seed),
            cache: SeriesCache::new(options.cached_series_max),
            streams: Arc::new(Mutex::new(Streams::new(options.delta_streams_max, options.delta_stale_ms))),
            rejections: Occasionally::minutely(),
            warnings: Occasionally::minutely(),
            deps,
            options,
        }))
    }

    /// The route `POST /api/v1/otlp/v1/metrics`.
    pub fn router(&self) -> Router {
        Router::new().route(PATH, post(export)).with_state(self.clone())
    }

    /// Takes one request in protobuf, decompressed. For benches; [`Receiver::router`] is the way in.
    ///
    /// # Errors
    /// The text that a sender would get, of everything that was rejected.
    pub async fn take(&self, plain: Bytes) -> Result<(), String> {
        match self.0.clone().take(plain).await {
            Ok(Done { told: None, .. }) => Ok(()),
            Ok(Done { told: Some(text), .. }) => Err(text),
            Err(failure) => Err(failure.text().to_owned()),
        }
    }
}

async fn export(State(Receiver(inner)): State<Receiver>, headers: HeaderMap, body: Body) -> Response {
    let content_type = headers.get(header::CONTENT_TYPE).map_or("", |v| v.to_str().unwrap_or("?"));
    let form = Form::parse(content_type);
    let outcome = match form {
        Some(form) => inner.clone().request(form, &headers, body).await,
        None => Err(Failure::Unsupported(format!(
            "unsupported content type: {content_type}, supported: [application/json, application/x-protobuf]"
        ))),
    };
    inner.metrics.answered(&outcome);
    match &outcome {
        Ok(Done { told: Some(text), .. }) => {
            if let Some(requests) = inner.rejections.count() {
                tracing::warn!(rejected = %text, requests, "OTLP: a part of a request was rejected");
            }
        }
        Ok(_) => {}
        Err(failure) => {
            if let Some(requests) = inner.rejections.count() {
                tracing::warn!(error = failure.text(), requests, "OTLP: a request was not taken");
            }
        }
    }
    response(form.unwrap_or(Form::Protobuf), &outcome)
}

impl Inner {
    async fn request(self: Arc<Self>, form: Form, headers: &HeaderMap, body: Body) -> Result<Done, Failure> {
        let encoding = headers.get(header::CONTENT_ENCODING).map_or("", |v| v.to_str().unwrap_or("?"));
        let Some(encoding) = Encoding::parse(encoding) else {
            return Err(Failure::Unsupported(format!(
                "unsupported compression: {encoding}. Only gzip, zstd or no compression supported"
            )));
        };
        let max = self.options.body_bytes_max;
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|len| len > max) {
            return Err(Failure::body_too_large(max));
        }
        let mut held = self.deps.budget.reserve(declared.unwrap_or(max) as u64)?;
        let packed = match Limited::new(body, max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => return Err(Failure::body_too_large(max)),
            Err(e) => return Err(Failure::Bad(format!("reading the body: {e}"))),
        };
        let inner = self.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            let plain = inflate(packed, encoding, inner.options.decoded_bytes_max, &mut held)?;
            if form == Form::Protobuf {
                return Ok((plain, held));
            }
            // Names of fields are longer than their numbers; only bare numbers take more.
            held.grow(9 * plain.len() as u64 / 2)?;
            let plain = json::to_protobuf(&plain).map_err(|why| Failure::Bad(format!("JSON: {why}")))?;
            Ok::<_, Failure>((Bytes::from(plain), held))
        });
        let (plain, _held) = decoded.await.map_err(|e| Failure::Busy(e.to_string()))??;
        self.take(plain).await
    }

    async fn take(self: Arc<Self>, plain: Bytes) -> Result<Done, Failure> {
        let settings = (self.deps.settings)();
        let sums = settings.delta == DeltaMode::ToCumulative
            && has_delta(&plain).map_err(|e| Failure::from(crate::batch::Stop::Malformed(e)))?;
        let mut held = if sums { Some(self.streams.clone().lock_owned().await) } else { None };
        for _ in 0..ATTEMPTS {
            let (done, again) = self.clone().attempt(&settings, &plain, held.take()).await;
            held = again;
            match done? {
                Some(done) => return Ok(done),
                // What was written is written: a sample that is there already is taken again without a word.
                None => continue,
            }
        }
        Err(Failure::Busy("series were collected while their samples came".to_owned()))
    }

    /// Takes a request once; `None` if a series was collected in the meantime, so that samples are missing.
    async fn attempt(
        self: Arc<Self>,
        settings: &Arc<Settings>,
        plain: &Bytes,
        held: Held,
    ) -> (Result<Option<Done>, Failure>, Held) {
        let (inner, settings, plain) = (self.clone(), settings.clone(), plain.clone());
        // Once begun it goes on even when the sender does not wait: it would not know what was written.
        let task = tokio::spawn(async move {
            let mut held = held;
            let outcome = inner.attempt_to_the_end(&settings, plain, &mut held).await;
            if let Some(streams) = &mut held {
                match &outcome {
                    Ok(Some(_)) => streams.keep(),
                    _ => streams.undo(),
                }
                streams.sweep(inner.deps.clock.now_ms());
                inner.metrics.streams.set(streams.len() as f64);
            }
            (outcome, held)
        });
        task.await.unwrap_or_else(|e| (Err(Failure::Busy(format!("the request broke off: {e}"))), None))
    }

    async fn attempt_to_the_end(
        self: &Arc<Self>,
        settings: &Settings,
        plain: Bytes,
        held: &mut Held,
    ) -> Result<Option<Done>, Failure> {
        let ctx = Ctx { budget: self.deps.budget.clone(), ..Ctx::background() };
        let room = Room::new(&self.deps.budget, self.options.rows_bytes_max)?;
        let mut batch = Batch::new(room);
        tokio::task::yield_now().await;
        self.translate(settings, &plain, &mut batch, held.as_deref_mut())?;
        let options = AppendOptions { reject_out_of_order: false, labels: self.options.labels };
        let mut appender = self.deps.appendable.appender(&ctx, options);
        let mut taken = take(&mut batch, &self.cache, &mut *appender)?;
        match appender.commit().await {
            Ok(committed) => taken.committed(&mut batch, &self.cache, committed),
            Err(e) => {
                // In doubt the sums stand: what was written in part must not be summed up again.
                if e.visible == Visible::Unknown
                    && let Some(streams) = held
                {
                    streams.keep();
                }
                return Err(e.error.into());
            }
        }
        if taken.forgotten {
            return Ok(None);
        }
        if let Some(why) = taken.no_room {
            return Err(Failure::Busy(why));
        }
        self.finished(&taken, &batch);
        Ok(Some(Done::of(&taken, &batch)))
    }

    fn translate<'a>(
        &self,
        settings: &Settings,
        plain: &'a [u8],
        batch: &mut Batch<'a>,
        streams: Option<&mut Streams>,
    ) -> Result<(), Failure> {
        let mut of_settings = DefaultHasher::new();
        settings.hash(&mut of_settings);
        let now_ms = self.deps.clock.now_ms();
        let mut translator = Translator {
            batch,
            settings,
            settings_digest: self.hasher.digest(&of_settings.finish().to_le_bytes()),
            hasher: &self.hasher,
            cache: &self.cache,
            latest_ms: now_ms.saturating_add(AHEAD_MAX_MS),
            now_ms,
            streams,
            point: Point::default(),
            scratch: Vec::new(),
            target_family: None,
        };
        Ok(translator.request(plain)?)
    }

    fn finished(&self, taken: &Taken, batch: &Batch<'_>) {
        self.metrics.taken(taken, batch);
        if !batch.warned.is_empty()
            && let Some(requests) = self.warnings.count()
        {
            let warnings: Vec<&str> = batch.warned.values().map(String::as_str).collect();
            tracing::warn!(warnings = %warnings.join("; "), requests, "OTLP: metrics are translated with warnings");
        }
    }
}

/// Reads a decompressed request as a receiver does, and all labels in it. For the fuzz targets.
#[doc(hidden)]
pub fn untrusted(plain: &[u8], is_json: bool) -> usize {
    let from_json = if is_json { json::to_protobuf(plain).unwrap_or_default() } else { Vec::new() };
    let plain = if is_json { from_json.as_slice() } else { plain };
    let Ok(room) = Room::new(&Budget::unlimited(), 16 << 20) else { return 0 };
    let mut batch = Batch::new(room);
    let settings = Settings { promote_scope_metadata: true, type_and_unit_labels: true, ..Settings::default() };
    let mut streams = Streams::new(1000, 1);
    let is_summed = metric::has_delta(plain).unwrap_or(false);
    let mut translator = Translator {
        batch: &mut batch,
        settings: &Settings { delta: DeltaMode::ToCumulative, ..settings },
        settings_digest: 0,
        hasher: &Hasher::new(1),
        cache: &SeriesCache::new(1000),
        latest_ms: i64::MAX,
        now_ms: 0,
        streams: is_summed.then_some(&mut streams),
        point: Point::default(),
        scratch: Vec::new(),
        target_family: None,
    };
    match translator.request(plain) {
        Ok(()) => batch.floats.series.len() + batch.histograms.series.len(),
        Err(_) => 0,
    }
}
