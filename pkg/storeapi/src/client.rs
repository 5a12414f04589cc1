//! A StoreAPI endpoint as a source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use parking_lot::RwLock;
use proto::thanos as wire;
use proto::thanos::store_client::StoreClient as WireClient;
use storage::{Answer, Ctx, HintSink, LabelQuery, Result, Select, SeriesEvent, SeriesSource, SeriesStream, SourceInfo};
use tonic::client::Grpc;
use tonic::codegen::http;
use tonic::metadata::MetadataValue;
use tonic::{Request, Status, Streaming};
use transport::grpc::{Channel, MESSAGE_BYTES_MAX};

use crate::label_deltas::ACCEPTED;
use crate::names_codec::LABEL_VALUES_PATH;
use crate::patience::Patience;
use crate::series_codec::{ClientCodec, SERIES_PATH};
use crate::series_decode::Incoming;
use crate::status::error_from_status;
use crate::{convert, hints, names_codec};

/// The longest timeout that is sent; gRPC has 8 digits for it.
const TIMEOUT_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Series asked for in one frame.
const BATCH: usize = 64;

/// A remote endpoint. What it holds ([`SourceInfo`]) is set from outside, by whoever polls its Info.
#[derive(Debug, Clone)]
pub struct StoreClient {
    name: Arc<str>,
    channel: Channel,
    info: Arc<RwLock<SourceInfo>>,
}

impl StoreClient {
    /// An endpoint called `name` in warnings (its address).
    pub fn new(name: &str, channel: Channel, info: SourceInfo) -> Self {
        Self { name: name.into(), channel, info: Arc::new(RwLock::new(info)) }
    }

    /// The name in warnings and errors: the address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes what the endpoint now says it holds.
    pub fn set_info(&self, info: SourceInfo) {
        *self.info.write() = info;
    }

    fn client(&self) -> WireClient<Channel> {
        WireClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// A gRPC request with the context's deadline and tenant.
pub fn request<T>(ctx: &Ctx, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = ctx.deadline {
        request.set_timeout(deadline.saturating_duration_since(Instant::now()).min(TIMEOUT_MAX));
    }
    if let Ok(tenant) = ctx.tenant.parse()
        && !ctx.tenant.is_empty()
    {
        request.metadata_mut().insert("thanos-tenant", tenant);
    }
    request
}

impl SeriesSource for StoreClient {
    fn info(&self) -> SourceInfo {
        self.info.read().clone()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        let (channel, name) = (self.channel.clone(), self.name.clone());
        let mut request = request(ctx, convert::select_to_wire(&want, BATCH, ctx.hints.is_some()));
        let (header, value) = ACCEPTED;
        request.metadata_mut().insert(header, MetadataValue::from_static(value));
        let (mut patience, sink) = (Patience::new(ctx), ctx.hints.clone());
        let started = async move {
            let call = async { series(channel, request).await.map_err(|s| error_from_status(&name, &s)) };
            match patience.wait(&name, call).await {
                Ok(messages) => decode(name, messages, patience, sink),
                Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
            }
        };
        stream::once(started).flatten().boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (mut client, name) = (self.client(), self.name.clone());
        let request = request(ctx, convert::label_names_to_wire(&want));
        let mut patience = Patience::new(ctx);
        Box::pin(async move {
            let call = async { client.label_names(request).await.map_err(|s| error_from_status(&name, &s)) };
            let answer = patience.wait(&name, call).await?.into_inner();
            Ok(Answer { value: answer.names, warnings: answer.warnings })
        })
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        label: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (channel, name) = (self.channel.clone(), self.name.clone());
        let request = request(ctx, convert::label_values_to_wire(label, &want));
        let mut patience = Patience::new(ctx);
        Box::pin(async move {
            let call = async { label_values(channel, request).await.map_err(|s| error_from_status(&name, &s)) };
            let answer = patience.wait(&name, call).await?;
            Ok(Answer { value: answer.values, warnings: answer.warnings })
        })
    }
}

/// A channel that is ready for a call.
async fn ready(channel: Channel) -> std::result::Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    grpc.ready().await.map_err(|e| Status::unknown(format!("Service was not ready: {e}")))?;
    Ok(grpc)
}

/// Asks for the values of a label; the answer is read by [`names_codec::ClientCodec`].
async fn label_values(
    channel: Channel,
    request: Request<wire::LabelValuesRequest>,
) -> std::result::Result<wire::LabelValuesResponse, Status> {
    let path = http::uri::PathAndQuery::from_static(LABEL_VALUES_PATH);
    Ok(ready(channel).await?.unary(request, path, names_codec::ClientCodec).await?.into_inner())
}

/// Asks for series; messages are read by [`ClientCodec`].
async fn series(
    channel: Channel,
    request: Request<wire::SeriesRequest>,
) -> std::result::Result<Streaming<Result<Incoming>>, Status> {
    let mut grpc = ready(channel).await?;
    let path = http::uri::PathAndQuery::from_static(SERIES_PATH);
    Ok(grpc.server_streaming(request, path, ClientCodec).await?.into_inner())
}

/// The answer as events; what it says of its cost goes into `sink`.
fn decode(
    name: Arc<str>,
    messages: Streaming<Result<Incoming>>,
    patience: Patience,
    sink: Option<Arc<HintSink>>,
) -> SeriesStream {
    stream::unfold(Some((messages, name, patience, sink)), |state| async move {
        let (mut messages, name, mut patience, sink) = state?;
        loop {
            let next = async { messages.message().await.map_err(|s| error_from_status(&name, &s)) };
            let event = match patience.wait(&name, next).await {
                Ok(None) => return None,
                Ok(Some(Ok(Incoming::Other))) => continue,
                Ok(Some(Ok(Incoming::Hints(frame)))) => {
                    if let Some(sink) = &sink {
                        sink.add(hints::told(&frame));
                    }
                    continue;
                }
                Ok(Some(Ok(Incoming::Series(batch)))) => SeriesEvent::Batch(batch),
                Ok(Some(Ok(Incoming::Warning(text)))) => SeriesEvent::Warning(format!("{name}: {text}")),
                Ok(Some(Err(e))) => return Some((Err(e.within(&name)), None)),
                Err(e) => return Some((Err(e), None)),
            };
            return Some((Ok(event), Some((messages, name, patience, sink))));
        }
    })
    .boxed()
}
