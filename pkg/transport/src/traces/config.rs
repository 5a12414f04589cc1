//! `--tracing.config`, in Thanos' YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;

use super::sampler::Sampling;
use crate::Error;
use crate::tls::ClientTlsConfig;

/// Where spans go, and which. Printing it shows no headers' values.
#[derive(Clone)]
pub struct TracingConfig {
    /// OTLP over HTTP, else over gRPC.
    pub(super) http: bool,
    /// `host:port`.
    pub(super) endpoint: String,
    pub(super) url_path: String,
    pub(super) tls: Option<ClientTlsConfig>,
    pub(super) gzip: bool,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) retry: Retry,
    pub(super) service_name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) sampler: Sampling,
}

impl std::fmt::Debug for TracingConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TracingConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// How long a batch is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Retry {
    pub(super) first: Duration,
    pub(super) longest: Duration,
    pub(super) elapsed: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    #[serde(rename = "type")]
    kind: Spanned<String>,
    #[serde(default, rename = "config")]
    _config: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(bound = "C: Deserialize<'de> + Default")]
struct File<C> {
    #[serde(rename = "type")]
    _kind: String,
    #[serde(default)]
    config: C,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Otlp {
    client_type: String,
    service_name: String,
    resource_attributes: BTreeMap<String, String>,
    reconnection_period: String,
    compression: String,
    insecure: bool,
    endpoint: String,
    url_path: String,
    timeout: String,
    retry_config: RetryYaml,
    headers: BTreeMap<String, String>,
    tls_config: Tls,
    sampler_type: String,
    sampler_param: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RetryYaml {
    retry_enabled: bool,
    retry_initial_interval: String,
    retry_max_interval: String,
    retry_max_elapsed_time: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    server_name: Option<String>,
    insecure_skip_verify: bool,
}

/// The keys of Jaeger's client that have a meaning over OTLP; the others are about its own protocol.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Jaeger {
    service_name: String,
    tags: String,
    endpoint: String,
    sampler_type: String,
    sampler_param: f64,
}

/// A text that may be written as a number.
#[derive(Deserialize, Default)]
#[serde(from = "serde_json::Value")]
struct Text(String);

impl From<serde_json::Value> for Text {
    fn from(value: serde_json::Value) -> Self {
        match value {
            serde_json::Value::String(text) => Self(text),
            serde_json::Value::Null => Self::default(),
            other => Self(other.to_string()),
        }
    }
}

impl TracingConfig {
    /// Reads the YAML.
    ///
    /// # Errors
    /// What is wrong with it; for a type that is not spoken, its line and what to use in its place.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let bad = |e: serde_saphyr::Error| Error::Config(e.to_string());
        let head: Head = serde_saphyr::from_str(yaml).map_err(bad)?;
        let kind = head.kind.value.to_uppercase();
        let refuse = |why: String| Error::Config(format!("line {}: {why}", head.kind.referenced.line()));
        match kind.as_str() {
            "OTLP" => Self::otlp(serde_saphyr::from_str::<File<Otlp>>(yaml).map_err(bad)?.config),
            "JAEGER" => Self::jaeger(&serde_saphyr::from_str::<File<Jaeger>>(yaml).map_err(bad)?.config)
                .map_err(|why| refuse(format!("type JAEGER: {why}"))),
            "GOOGLE_CLOUD" | "STACKDRIVER" | "ELASTIC_APM" | "LIGHTSTEP" => Err(refuse(format!(
                "type {kind} is not spoken: its service takes OTLP, itself or by an OpenTelemetry collector, so use \
                 type OTLP with that endpoint"
            ))),
            _ => Err(refuse(format!("type {:?} is unknown, use OTLP", head.kind.value))),
        }
    }

    fn otlp(yaml: Otlp) -> Result<Self, Error> {
        let http = match yaml.client_type.as_str() {
            "http" => true,
            "grpc" => false,
            other => return Err(Error::Config(format!("config.client_type: {other:?} is neither grpc nor http"))),
        };
        let gzip = match yaml.compression.as_str() {
            "" | "none" => false,
            "gzip" => true,
            other => return Err(Error::Config(format!("config.compression: {other:?} is neither gzip nor none"))),
        };
        duration("reconnection_period", &yaml.reconnection_period, 0)?;
        let tls = (!yaml.insecure).then(|| ClientTlsConfig {
            ca: yaml.tls_config.ca_file,
            cert: yaml.tls_config.cert_file,
            key: yaml.tls_config.key_file,
            server_name: yaml.tls_config.server_name,
            skip_verify: yaml.tls_config.insecure_skip_verify,
            min_version: String::new(),
        });
        let default_endpoint = if http { "localhost:4318" } else { "localhost:4317" };
        let r = &yaml.retry_config;
        // OpenTelemetry's exporters try again unless told otherwise, and Thanos does not tell them.
        let own = |text: &str| if r.retry_enabled { text.to_owned() } else { String::new() };
        Ok(Self {
            http,
            endpoint: if yaml.endpoint.is_empty() { default_endpoint.to_owned() } else { yaml.endpoint },
            url_path: match yaml.url_path.as_str() {
                "" => "/v1/traces".to_owned(),
                path if path.starts_with('/') => path.to_owned(),
                path => format!("/{path}"),
            },
            tls,
            gzip,
            headers: yaml.headers.into_iter().collect(),
            timeout: duration("timeout", &yaml.timeout, 10)?,
            retry: Retry {
                first: duration("retry_config.retry_initial_interval", &own(&r.retry_initial_interval), 5)?,
                longest: duration("retry_config.retry_max_interval", &own(&r.retry_max_interval), 30)?,
                elapsed: duration("retry_config.retry_max_elapsed_time", &own(&r.retry_max_elapsed_time), 60)?,
            },
            service_name: service(yaml.service_name),
            attributes: yaml.resource_attributes.into_iter().collect(),
            sampler: sampler(&yaml.sampler_type, &yaml.sampler_param.0),
        })
    }

    /// Jaeger takes OTLP since 1.35, on ports of its own: such an endpoint is used as it is.
    fn jaeger(yaml: &Jaeger) -> Result<Self, String> {
        let hint = "Jaeger's own protocol is not spoken; Jaeger takes OTLP on port 4317 (gRPC) and 4318 (HTTP), so use \
                    type OTLP with client_type, endpoint and insecure, or give such an endpoint here";
        let (tls, rest) = match yaml.endpoint.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some((_, rest)) => (false, rest),
            None => (false, yaml.endpoint.as_str()),
        };
        let (address, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
        let http = match address.rsplit_once(':').map(|(_, port)| port) {
            Some("4317") => false,
            Some("4318") => true,
            _ if path == "v1/traces" => true,
            _ => return Err(hint.to_owned()),
        };
        let sampler = match (yaml.sampler_type.as_str(), yaml.sampler_param) {
            ("const", param) if param >= 0.5 => Sampler::AlwaysOn,
            ("const", _) => Sampler::AlwaysOff,
            ("probabilistic", share) => Sampler::TraceIdRatioBased(share),
            (other, _) => {
                return Err(format!(
                    "sampler_type {other:?} is neither const nor probabilistic, the others are Jaeger's own"
                ));
            }
        };
        let tags = yaml.tags.split(',').filter_map(|pair| pair.split_once('='));
        let otlp = Otlp {
            client_type: if http { "http" } else { "grpc" }.to_owned(),
            service_name: yaml.service_name.clone(),
            resource_attributes: tags.map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())).collect(),
            insecure: !tls,
            endpoint: address.to_owned(),
            ..Otlp::default()
        };
        let config = Self::otlp(otlp).map_err(|e| e.to_string())?;
        Ok(Self { sampler: Sampling(Sampler::ParentBased(Box::new(sampler))), ..config })
    }
}

fn service(name: String) -> String {
    if name.is_empty() { "aion".to_owned() } else { name }
}

fn duration(key: &str, text: &str, default_s: u64) -> Result<Duration, Error> {
    match text {
        "" => Ok(Duration::from_secs(default_s)),
        text => match flags::parse_go_duration(text) {
            Ok(ms) if ms >= 0 => Ok(Duration::from_millis(ms as u64)),
            _ => Err(Error::Config(format!("config.{key}: {text:?} is no duration"))),
        },
    }
}

/// By Thanos' names; an unknown one is the default there too.
fn sampler(kind: &str, param: &str) -> Sampling {
    let share = || {
        param.parse().unwrap_or_else(|_| {
            tracing::warn!(sampler_param = param, "share of traces is no number, all are sampled");
            1.0
        })
    };
    let parent = |sampler| Sampler::ParentBased(Box::new(sampler));
    Sampling(match kind.to_lowercase().as_str() {
        "alwayssample" => Sampler::AlwaysOn,
        "neversample" => Sampler::AlwaysOff,
        "traceidratiobased" => Sampler::TraceIdRatioBased(share()),
        "parentbasedalwayssample" => parent(Sampler::AlwaysOn),
        "parentbasedneversample" => parent(Sampler::AlwaysOff),
        "parentbasedtraceidratiobased" => parent(Sampler::TraceIdRatioBased(share())),
        _ => parent(Sampler::TraceIdRatioBased(1.0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_thanos_writes_it() {
        let c = TracingConfig::parse(
            "type: OTLP
config:
  client_type: http
  service_name: store
  resource_attributes: {zone: a}
  endpoint: collector:4318
  url_path: custom/path
  compression: gzip
  insecure: false
  timeout: 3s
  retry_config: {retry_enabled: true, retry_initial_interval: 10ms, retry_max_elapsed_time: 1m}
  headers: {authorization: Bearer x}
  tls_config: {ca_file: /ca, server_name: c}
  sampler_type: traceidratiobased
  sampler_param: 0.25
",
        )
        .unwrap();
        assert_eq!((c.http, c.endpoint.as_str(), c.url_path.as_str()), (true, "collector:4318", "/custom/path"));
        assert_eq!((c.service_name.as_str(), c.gzip, c.timeout), ("store", true, Duration::from_secs(3)));
        assert_eq!((c.retry.first, c.retry.longest), (Duration::from_millis(10), Duration::from_secs(30)));
        assert_eq!(c.tls.unwrap().server_name.as_deref(), Some("c"));
        assert!(matches!(c.sampler.0, Sampler::TraceIdRatioBased(share) if share == 0.25));
        let c = TracingConfig::parse(
            "{type: otlp, config: {client_type: grpc, insecure: true, sampler_type: ALWAYSSAMPLE}}",
        );
        let c = c.unwrap();
        assert_eq!((c.endpoint.as_str(), c.service_name.as_str(), c.tls.is_none()), ("localhost:4317", "aion", true));
        assert!(matches!(c.sampler.0, Sampler::AlwaysOn));
    }

    #[test]
    fn jaeger_endpoints_that_speak_otlp() {
        for (endpoint, http, address, tls) in [
            ("http://jaeger:4318/v1/traces", true, "jaeger:4318", false),
            ("https://jaeger:4317", false, "jaeger:4317", true),
            ("https://jaeger/v1/traces", true, "jaeger", true),
        ] {
            let yaml =
                format!("{{type: JAEGER, config: {{endpoint: '{endpoint}', sampler_type: const, sampler_param: 1}}}}");
            let c = TracingConfig::parse(&yaml).unwrap();
            assert_eq!((c.http, c.endpoint.as_str(), c.tls.is_some()), (http, address, tls), "{endpoint}");
        }
    }

    #[test]
    fn refusals() {
        for (yaml, why) in [
            ("config: {}\ntype: GOOGLE_CLOUD", "line 2: type GOOGLE_CLOUD is not spoken"),
            ("type: ELASTIC_APM", "line 1: type ELASTIC_APM is not spoken"),
            ("type: LIGHTSTEP\nconfig: {access_token: x}", "use type OTLP"),
            ("type: ZIPKIN", "line 1: type \"ZIPKIN\" is unknown"),
            (
                "type: JAEGER\nconfig: {endpoint: 'http://j:14268/api/traces'}",
                "line 1: type JAEGER: Jaeger's own protocol",
            ),
            ("type: JAEGER\nconfig: {agent_host: j, agent_port: 6831}", "use type OTLP"),
            ("type: JAEGER\nconfig: {endpoint: 'j:4317', sampler_type: remote}", "sampler_type \"remote\""),
            ("type: OTLP\nconfig: {}", "client_type"),
            ("type: OTLP\nconfig: {client_type: grpc, endpont: x}", "endpont"),
            ("type: OTLP\nconfig: {client_type: grpc, timeout: soon}", "config.timeout: \"soon\""),
            ("type: OTLP\nconfig: {client_type: grpc, compression: lz4}", "lz4"),
        ] {
            let error = TracingConfig::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(why), "{yaml}: {error}");
        }
    }
}
