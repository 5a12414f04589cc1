//! A StoreAPI endpoint as a source.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use parking_lot::RwLock;
use proto::thanos::store_client::StoreClient as WireClient;
use proto::thanos::{self as wire, series_response};
use storage::{
    Answer, Ctx, Error, LabelQuery, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};
use tonic::Request;
use transport::grpc::{Channel, MESSAGE_BYTES_MAX};

use crate::convert;
use crate::status::error_from_status;

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

    /// The address.
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

/// A request with the context's deadline and tenant.
pub(crate) fn request<T>(ctx: &Ctx, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = ctx.deadline {
        request.set_timeout(deadline.saturating_duration_since(Instant::now()));
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
        let (mut client, name) = (self.client(), self.name.clone());
        let request = request(ctx, convert::select_to_wire(&want, BATCH));
        let started = async move {
            match client.series(request).await {
                Ok(response) => decode(name, response.into_inner()),
                Err(status) => {
                    let error = error_from_status(&name, &status);
                    stream::once(std::future::ready(Err(error))).boxed()
                }
            }
        };
        stream::once(started).flatten().boxed()
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (mut client, name) = (self.client(), self.name.clone());
        let request = request(ctx, convert::label_names_to_wire(&want));
        Box::pin(async move {
            let answer = client.label_names(request).await.map_err(|s| error_from_status(&name, &s))?.into_inner();
            Ok(Answer { value: answer.names, warnings: answer.warnings })
        })
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        label: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        let (mut client, name) = (self.client(), self.name.clone());
        let request = request(ctx, convert::label_values_to_wire(label, &want));
        Box::pin(async move {
            let answer = client.label_values(request).await.map_err(|s| error_from_status(&name, &s))?.into_inner();
            Ok(Answer { value: answer.values, warnings: answer.warnings })
        })
    }
}

fn decode(name: Arc<str>, frames: tonic::Streaming<wire::SeriesResponse>) -> SeriesStream {
    stream::unfold((frames, name, false), |(mut frames, name, failed)| async move {
        if failed {
            return None;
        }
        loop {
            let event = match frames.message().await {
                Ok(None) => return None,
                Ok(Some(frame)) => event(&name, frame),
                Err(status) => Err(error_from_status(&name, &status)),
            };
            match event {
                Ok(Some(event)) => return Some((Ok(event), (frames, name, false))),
                Ok(None) => {}
                Err(e) => return Some((Err(e), (frames, name, true))),
            }
        }
    })
    .boxed()
}

fn event(name: &str, frame: wire::SeriesResponse) -> Result<Option<SeriesEvent>> {
    let series = match frame.result {
        Some(series_response::Result::Series(series)) => vec![series],
        Some(series_response::Result::Batch(batch)) => batch.series,
        Some(series_response::Result::Warning(text)) => {
            return Ok(Some(SeriesEvent::Warning(format!("{name}: {text}"))));
        }
        Some(series_response::Result::Hints(_)) | None => return Ok(None),
    };
    let batch: Result<Vec<Series>> = series.into_iter().map(convert::series_from_wire).collect();
    batch.map(|b| Some(SeriesEvent::Batch(b))).map_err(|e: Error| e.within(name))
}
