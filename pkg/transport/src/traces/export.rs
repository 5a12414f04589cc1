//! Batches of spans to an OTLP endpoint, over gRPC or HTTP.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use telemetry::Metrics;
use tls::ClientTlsConfig;
use tokio::runtime::Handle;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::{Code, Request};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::config::{ExporterConfig, Retry};
use crate::Error;
use crate::grpc::{Channel, ClientMetrics, ClientOptions, Compression, connect};

/// Sends batches. The SDK calls it from a thread of its own; the work is done by tasks on the runtime, outside of any
/// subscriber, so that sending spans makes none.
pub(super) struct Exporter {
    runtime: Handle,
    sender: Sender,
    timeout: Duration,
    retry: Retry,
    resource: ResourceAttributesWithSchema,
}

#[derive(Clone)]
enum Sender {
    Grpc(Box<TraceServiceClient<Channel>>, Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>),
    Http { client: reqwest::Client, url: String, headers: Vec<(String, String)>, gzip: bool },
}

/// Why a batch was not taken, and whether trying again may help.
struct Refused {
    why: String,
    again: bool,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Exporter {
    pub(super) fn new(config: &ExporterConfig, runtime: Handle) -> Result<Self, Error> {
        let _entered = runtime.enter();
        let sender = match config.http {
            false => grpc(config)?,
            true => http(config)?,
        };
        let resource = ResourceAttributesWithSchema::default();
        Ok(Self { runtime, sender, timeout: config.timeout, retry: config.retry, resource })
    }
}

fn grpc(config: &ExporterConfig) -> Result<Sender, Error> {
    let options = ClientOptions {
        tls: config.tls.clone(),
        compression: Compression::None,
        // not those of the component: they would count the exporter's calls among its own
        metrics: ClientMetrics::new(&Metrics::new()),
        connect_timeout: config.timeout,
    };
    let mut client = TraceServiceClient::new(connect(&config.endpoint, &options)?);
    if config.gzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    let header = |(name, value): &(String, String)| {
        let bad = || Error::Config(format!("headers: {name:?} is no valid header"));
        let key = name.to_ascii_lowercase().parse::<MetadataKey<Ascii>>().map_err(|_| bad())?;
        Ok((key, value.parse().map_err(|_| bad())?))
    };
    Ok(Sender::Grpc(Box::new(client), config.headers.iter().map(header).collect::<Result<_, Error>>()?))
}

fn http(config: &ExporterConfig) -> Result<Sender, Error> {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    // Without TLS its settings do not matter, but the client wants some, and a machine may have no CA bundle.
    let none = || ClientTlsConfig { skip_verify: true, ..ClientTlsConfig::default() };
    let tls = config.tls.clone().unwrap_or_else(none).build(&[b"h2", b"http/1.1"])?;
    let builder = reqwest::Client::builder().connect_timeout(config.timeout).tls_backend_preconfigured(tls);
    let client = builder.redirect(reqwest::redirect::Policy::none()).build();
    let client = client.map_err(|e| Error::Config(format!("HTTP client: {e}")))?;
    let url = format!("{scheme}://{}{}", config.endpoint, config.url_path);
    reqwest::Url::parse(&url).map_err(|e| Error::Config(format!("endpoint {url:?}: {e}")))?;
    Ok(Sender::Http { client, url, headers: config.headers.clone(), gzip: config.gzip })
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        let (sender, retry, timeout) = (self.sender.clone(), self.retry, self.timeout);
        let task = send(sender, request, retry, timeout).with_subscriber(NoSubscriber::new());
        let outcome = self.runtime.spawn(task).await;
        let failed = match outcome {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => why,
            Err(e) => e.to_string(),
        };
        tracing::warn!(err = failed, "spans were not sent");
        Err(OTelSdkError::InternalFailure(failed))
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

async fn send(
    sender: Sender,
    request: ExportTraceServiceRequest,
    retry: Retry,
    timeout: Duration,
) -> Result<(), String> {
    let started = Instant::now();
    let mut pause = retry.first;
    loop {
        let refused = match tokio::time::timeout(timeout, once(&sender, &request)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(refused)) => refused,
            Err(_) => Refused { why: format!("no answer within {timeout:?}"), again: true },
        };
        if !refused.again || started.elapsed() + pause > retry.elapsed {
            return Err(refused.why);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(retry.longest);
    }
}

async fn once(sender: &Sender, request: &ExportTraceServiceRequest) -> Result<(), Refused> {
    match sender {
        Sender::Grpc(client, headers) => {
            let mut request = Request::new(request.clone());
            for (name, value) in headers {
                request.metadata_mut().insert(name.clone(), value.clone());
            }
            let answer = client.clone().export(request).await;
            answer.map(|_| ()).map_err(|status| Refused {
                why: format!("{}: {}", crate::grpc::follow::code_name(status.code()), status.message()),
                again: matches!(
                    status.code(),
                    Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded | Code::Aborted
                ),
            })
        }
        Sender::Http { client, url, headers, gzip } => {
            let mut body = request.encode_to_vec();
            let mut post = client.post(url).header("content-type", "application/x-protobuf");
            if *gzip {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                let packed = packer.write_all(&body).and_then(|()| packer.finish());
                body = packed.map_err(|e| Refused { why: e.to_string(), again: false })?;
                post = post.header("content-encoding", "gzip");
            }
            for (name, value) in headers {
                post = post.header(name, value);
            }
            match post.body(body).send().await {
                Ok(answer) if answer.status().is_success() => Ok(()),
                Ok(answer) => Err(Refused {
                    why: format!("{url} answered {}", answer.status()),
                    again: matches!(answer.status().as_u16(), 429 | 502 | 503 | 504),
                }),
                Err(e) => Err(Refused { why: e.to_string(), again: true }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::Arc;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use bytes::Bytes;
    use parking_lot::Mutex;
    use tokio_util::sync::CancellationToken;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::TracingConfig;
    use super::*;
    use crate::ServeOptions;
    use crate::traces::Tracing;

    /// Over HTTP, packed, and tried again where the other side is busy.
    #[test]
    fn http() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
        let seen = got.clone();
        let take = move |headers: HeaderMap, body: Bytes| {
            let mut seen = seen.lock();
            seen.push((headers, body));
            std::future::ready(if seen.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK })
        };
        let stop = CancellationToken::new();
        let address = runtime.block_on(async {
            let listener = crate::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new().route("/otlp/spans", post(take));
            tokio::spawn(crate::serve(listener, router, ServeOptions::http(Duration::ZERO), stop.clone()));
            address
        });
        let yaml = format!(
            "type: OTLP\nconfig: {{client_type: http, endpoint: '{address}', url_path: otlp/spans, insecure: true, \
             compression: gzip, headers: {{x-scope: t}}, service_name: s, retry_config: {{retry_enabled: true, \
             retry_initial_interval: 10ms}}}}"
        );
        let tracing =
            Tracing::new(&TracingConfig::parse(&yaml).unwrap().exporter.unwrap(), runtime.handle().clone()).unwrap();
        let subscriber = tracing_subscriber::registry().with(tracing.layer());
        tracing::subscriber::with_default(subscriber, || {
            drop(tracing::info_span!(target: telemetry::TRACE, "s", otel.name = "shown").entered());
        });
        tracing.shutdown(Duration::from_secs(10));
        stop.cancel();

        let got = got.lock();
        assert_eq!(got.len(), 2, "once refused, once taken");
        let (headers, body) = &got[1];
        assert_eq!(
            (&headers["x-scope"], &headers["content-type"]),
            (&"t".parse().unwrap(), &"application/x-protobuf".parse().unwrap())
        );
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
        let request = ExportTraceServiceRequest::decode(&plain[..]).unwrap();
        assert_eq!(request.resource_spans[0].scope_spans[0].spans[0].name, "shown");
    }
}
