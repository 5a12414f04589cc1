//! Requests, from HTTP to the commit.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use model::{ByteSize, Clock};
use parking_lot::Mutex;
use storage::append::{AppendOptions, Appendable, Appender, LabelLimits, SeriesRef};
use storage::{Budget, Ctx};
use telemetry::{Metrics, Occasionally};

use super::answer::{Done, Failure, response};
use super::batch::Batch;
use super::content::{self, MessageType};
use super::limits::{AHEAD_MAX_MS, COLUMNS_BYTES, COLUMNS_FACTOR, SPARE_BYTES_MAX, SPARE_MAX};
use super::metrics::ReceiverMetrics;
use super::take::{ExemplarFaults, Taken, Taking};
use super::wire::Malformed;
use super::{v1, v2};
use ingest::{Hasher, SeriesCache};

/// A decompressed request above this is read on a thread of its own, so that it stalls no other.
const INLINE_BYTES_MAX: usize = 256 << 10;
/// How often a request is taken while the store collects series that it has samples of.
const ATTEMPTS: usize = 3;

/// Settings of a [`Receiver`].
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// Messages that are taken (`--web.remote-write-receiver.accepted-protobuf-messages`).
    pub accepted: Vec<MessageType>,
    /// The largest body as it comes, bytes.
    pub body_bytes_max: usize,
    /// The largest request after decompression, bytes; a larger one is refused by what it declares.
    pub decoded_bytes_max: usize,
    /// Series whose references are remembered.
    pub cached_series_max: usize,
    /// What label sets may be.
    pub labels: LabelLimits,
    /// Labels of all new series of one request together, bytes.
    pub new_labels_bytes_max: usize,
    /// Series of version 2 get labels of the type and unit of their metric (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// A random number that senders do not know: the key of the digests that series are found by.
    pub seed: u64,
}

impl Default for ReceiverOptions {
    fn default() -> Self {
        Self {
            accepted: MessageType::ALL.to_vec(),
            body_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            cached_series_max: 4 << 20,
            labels: LabelLimits::default(),
            new_labels_bytes_max: 256 << 20,
            type_and_unit_labels: false,
            seed: 0,
        }
    }
}

/// Takes remote write requests into an [`Appendable`]. Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct Receiver(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    appendable: Arc<dyn Appendable>,
    options: ReceiverOptions,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    metrics: ReceiverMetrics,
    hasher: Hasher,
    cache: SeriesCache,
    spare: Mutex<Vec<Buffers>>,
    refusals: Occasionally,
}

/// What a request is read into.
#[derive(Debug, Default)]
struct Buffers {
    plain: Vec<u8>,
    batch: Batch,
    refs: Vec<SeriesRef>,
}

impl Receiver {
    /// A receiver. What requests hold in memory counts in `budget`; where that is spent they are asked to come again.
    pub fn new(
        appendable: Arc<dyn Appendable>,
        options: ReceiverOptions,
        clock: Arc<dyn Clock>,
        budget: Arc<Budget>,
        metrics: &Metrics,
    ) -> Self {
        Self(Arc::new(Inner {
            appendable,
            clock,
            budget,
            metrics: ReceiverMetrics::new(metrics),
            hasher: Hasher::new(options.seed),
            cache: SeriesCache::new(options.cached_series_max),
            spare: Mutex::default(),
            refusals: Occasionally::minutely(),
            options,
        }))
    }

    /// The route `POST /api/v1/write`.
    pub fn router(&self) -> Router {
        Router::new().route("/api/v1/write", post(write)).with_state(self.clone())
    }

    /// Takes one request: a decompressed message. For benches and tests; [`Receiver::router`] is the way in.
    ///
    /// # Errors
    /// The text that a sender would get, of everything that was refused.
    pub async fn take(&self, message: MessageType, packed: Bytes) -> Result<(), String> {
        match self.0.clone().take(message, packed).await {
            Ok(Done { refused: None, .. }) => Ok(()),
            Ok(Done { refused: Some(text), .. }) => Err(text),
            Err(failure) => Err(failure.text().to_owned()),
        }
    }
}

async fn write(State(Receiver(inner)): State<Receiver>, headers: HeaderMap, body: Body) -> Response {
    let message = match content::message(&headers, &inner.options.accepted) {
        Ok(message) => message,
        Err(why) => return response(None, &Err(Failure::Unsupported(why))),
    };
    let outcome = inner.clone().request(message, &headers, body).await;
    match &outcome {
        Ok(Done { refused: Some(text), .. }) => {
            if let Some(requests) = inner.refusals.count() {
                tracing::warn!(refused = %text, requests, "remote write: a part of a request was refused");
            }
        }
        Ok(_) => {}
        Err(failure) => {
            inner.metrics.failed(failure);
            if let Failure::Internal(error) = failure {
                tracing::error!(error, "remote write: a request could not be written, its sender repeats it");
            }
        }
    }
    response(Some(message), &outcome)
}

impl Inner {
    async fn request(self: Arc<Self>, message: MessageType, headers: &HeaderMap, body: Body) -> Result<Done, Failure> {
        let max = self.options.body_bytes_max;
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|len| len > max) {
            return Err(body_too_large(max));
        }
        let _held = self.budget.reserve(declared.unwrap_or(max) as u64)?;
        let packed = match Limited::new(body, max).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => return Err(body_too_large(max)),
            Err(e) => return Err(Failure::Bad(format!("reading the body: {e}"))),
        };
        self.take(message, packed).await
    }

    async fn take(self: Arc<Self>, message: MessageType, packed: Bytes) -> Result<Done, Failure> {
        let len = snap::raw::decompress_len(&packed).map_err(|e| Failure::Bad(e.to_string()))?;
        let max = self.options.decoded_bytes_max;
        if len > max {
            return Err(Failure::Bad(format!("snappy: decoded length {len} exceeds limit {max}")));
        }
        let held = self.budget.reserve((len + columns_bytes(len)) as u64)?;
        let ctx = Ctx { budget: self.budget.clone(), ..Ctx::background() };
        for _ in 0..ATTEMPTS {
            let (done, forgotten) = self.attempt(message, &packed, len, &ctx).await?;
            if !forgotten {
                return Ok(done);
            }
            // What was written is written: a sample that is there already is taken again without a word.
        }
        drop(held);
        Err(Failure::Internal("series were collected while their samples came".to_owned()))
    }

    /// Takes a request once. Also whether a series was collected in the meantime, so that samples are missing.
    async fn attempt(
        self: &Arc<Self>,
        message: MessageType,
        packed: &Bytes,
        len: usize,
        ctx: &Ctx,
    ) -> Result<(Done, bool), Failure> {
        let (mut buffers, begun) = if len <= INLINE_BYTES_MAX {
            self.begin(message, packed, len, ctx)
        } else {
            let (inner, packed, ctx) = (self.clone(), packed.clone(), ctx.clone());
            tokio::task::spawn_blocking(move || inner.begin(message, &packed, len, &ctx))
                .await
                .map_err(|e| Failure::Internal(e.to_string()))?
        };
        let outcome = match begun {
            Err(failure) => Err(failure),
            // Once begun a commit goes on even when the sender does not wait: it would not know what was written.
            Ok((appender, mut taken)) => match tokio::spawn(appender.commit()).await {
                Ok(Ok(committed)) => {
                    taken.committed(committed, &buffers.batch, &self.cache, faults(message));
                    if !taken.forgotten {
                        self.metrics.taken(&taken, buffers.batch.without_metadata);
                    }
                    Ok((Done::of(&taken, &buffers.batch, &buffers.plain), taken.forgotten))
                }
                Ok(Err(e)) => Err(e.error.into()),
                Err(e) => Err(Failure::Internal(format!("the commit broke off: {e}"))),
            },
        };
        buffers.batch.clear();
        self.give_back(buffers);
        outcome
    }

    /// Everything but the commit.
    fn begin(
        &self,
        message: MessageType,
        packed: &[u8],
        len: usize,
        ctx: &Ctx,
    ) -> (Buffers, Result<(Box<dyn Appender>, Taken), Failure>) {
        let mut buffers = self.spare.lock().pop().unwrap_or_default();
        let appended = self.append(message, packed, len, ctx, &mut buffers);
        (buffers, appended)
    }

    fn append(
        &self,
        message: MessageType,
        packed: &[u8],
        len: usize,
        ctx: &Ctx,
        buffers: &mut Buffers,
    ) -> Result<(Box<dyn Appender>, Taken), Failure> {
        let Buffers { plain, batch, refs } = buffers;
        plain.resize(len, 0);
        let unpacked = snap::raw::Decoder::new().decompress(packed, plain);
        unpacked.map_err(|e| Failure::Bad(format!("snappy: {e}")))?;
        batch.room = columns_bytes(len);
        batch.labels_types = self.options.type_and_unit_labels;
        let latest_ms = self.clock.now_ms().saturating_add(AHEAD_MAX_MS);
        decode(message, plain, batch, &self.hasher, latest_ms)
            .map_err(|e| Failure::Bad(format!("{}: {e}", message.as_str())))?;
        let options = AppendOptions { reject_out_of_order: false, labels: self.options.labels };
        let mut appender = self.appendable.appender(ctx, options);
        let taken = Taking {
            plain,
            batch,
            cache: &self.cache,
            appender: &mut *appender,
            refs,
            faults: faults(message),
            new_labels_room: self.options.new_labels_bytes_max,
            taken: Taken::default(),
        }
        .run()?;
        Ok((appender, taken))
    }

    /// Keeps buffers of usual size for the next request.
    fn give_back(&self, buffers: Buffers) {
        let bytes = buffers.plain.capacity() + buffers.batch.capacity_bytes() + 8 * buffers.refs.capacity();
        let mut spare = self.spare.lock();
        if bytes <= SPARE_BYTES_MAX && spare.len() < SPARE_MAX {
            spare.push(buffers);
        }
    }
}

/// What the columns of a request of `len` bytes may take.
fn columns_bytes(len: usize) -> usize {
    len.saturating_mul(COLUMNS_FACTOR).saturating_add(COLUMNS_BYTES)
}

fn faults(message: MessageType) -> ExemplarFaults {
    match message {
        MessageType::V1 => ExemplarFaults::Counted,
        MessageType::V2 => ExemplarFaults::Told,
    }
}

fn body_too_large(max: usize) -> Failure {
    Failure::TooLarge(format!(
        "the body is larger than {}: send fewer samples in one request (max_samples_per_send of the sender)",
        ByteSize(max as u64)
    ))
}

fn decode(
    message: MessageType,
    plain: &[u8],
    batch: &mut Batch,
    hasher: &Hasher,
    latest_ms: i64,
) -> Result<(), Malformed> {
    match message {
        MessageType::V1 => v1::decode(plain, batch, hasher, latest_ms),
        MessageType::V2 => v2::decode(plain, batch, hasher, latest_ms),
    }
}

/// Reads a decompressed message as a receiver does, and all labels in it. For the fuzz targets.
#[doc(hidden)]
pub fn untrusted(message: MessageType, plain: &[u8]) -> usize {
    let mut batch = Batch { room: columns_bytes(plain.len()), labels_types: true, ..Batch::default() };
    if decode(message, plain, &mut batch, &Hasher::new(1), i64::MAX).is_err() {
        return 0;
    }
    let mut pairs = Vec::new();
    for series in 0..batch.series.len() {
        pairs.clear();
        // Whether they can be read is not the question here.
        let _ = super::take::labels_of(&batch, series, plain, &mut pairs);
    }
    batch.floats.series.len() + batch.histograms.series.len()
}
