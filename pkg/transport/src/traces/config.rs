//! `--tracing.config`, in Thanos' YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use tls::ClientTlsConfig;

use super::sampler::Sampling;
use crate::Error;

/// What a configuration comes to.
#[derive(Debug, Clone)]
pub struct TracingConfig {
    /// Where spans go; `None` where they cannot be exported as the configuration wants.
    pub exporter: Option<ExporterConfig>,
    /// What happens otherwise than the configuration says, to be logged once at start.
    pub warnings: Vec<String>,
}

/// Where spans go, and which. Printing it shows no headers' values.
#[derive(Clone)]
pub struct ExporterConfig {
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

impl std::fmt::Debug for ExporterConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExporterConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
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
    /// `OTLP`, or a type that Thanos knows too; see the sections below. Required.
    #[serde(rename = "type")]
    _kind: String,
    /// The keys of this type.
    #[serde(default)]
    config: C,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Otlp {
    /// `grpc` or `http`. Required.
    client_type: String,
    /// Name of the service in traces. Default: `aion`.
    service_name: String,
    /// Attributes of all spans.
    resource_attributes: BTreeMap<String, String>,
    /// Without effect: connections are made when a batch is to be sent.
    reconnection_period: Text,
    /// `gzip` or `none`. Default: `none`.
    compression: String,
    /// No TLS.
    insecure: bool,
    /// `host:port` of the collector. Default: `localhost:4317` (gRPC), `localhost:4318` (HTTP).
    endpoint: String,
    /// Path of HTTP requests. Default: `/v1/traces`.
    url_path: String,
    /// Time for one batch; 0 means the default. Default: `10s`.
    timeout: Text,
    /// How a batch that was refused is sent again.
    retry_config: RetryYaml,
    /// Headers of each request, for instance for authentication.
    headers: BTreeMap<String, String>,
    /// TLS, unless `insecure` is set.
    tls_config: Tls,
    /// Which traces are taken, in any case: `alwayssample`, `neversample`, `traceidratiobased`, or one of them with
    /// `parentbased` before it, which follows the caller's decision. Default: `parentbasedtraceidratiobased` with a
    /// share of 1.
    sampler_type: String,
    /// Share of traces for the types by ratio, 0 to 1.
    sampler_param: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RetryYaml {
    /// The three times below count only where this is `true`; batches are sent again in any case.
    retry_enabled: bool,
    /// Delay before the first retry. Default: `5s`.
    retry_initial_interval: Text,
    /// Longest delay between two retries. Default: `30s`.
    retry_max_interval: Text,
    /// Time after which a batch is given up. Default: `1m`.
    retry_max_elapsed_time: Text,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    /// File of certificates that sign the server's. Default: those of the system.
    ca_file: String,
    /// Client certificate, PEM; goes together with `key_file`.
    cert_file: String,
    /// Key of the client certificate, PEM.
    key_file: String,
    /// Name that the server's certificate must have. Default: the endpoint's host.
    server_name: String,
    /// The server's certificate is not verified.
    insecure_skip_verify: bool,
}

/// The keys of Jaeger's client that have a meaning over OTLP; the others are about its own protocol.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Jaeger {
    /// Name of the service in traces. Default: `aion`.
    service_name: String,
    /// No traces are exported.
    disabled: bool,
    /// Attributes of all spans: `name=value`, separated by commas.
    tags: String,
    /// An endpoint of Jaeger that takes OTLP: port 4317 (gRPC), port 4318 or the path `/v1/traces` (HTTP). With any
    /// other, no traces are exported and a warning says so.
    endpoint: String,
    /// `const` or `probabilistic`. Default: 1 in 1000 traces, with a warning.
    sampler_type: String,
    /// For `const` all traces from 0.5 on, else none; for `probabilistic` the share.
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

/// What a service that OTLP reaches only by another road is told about.
const INSTEAD: &str = "no traces are exported; use type OTLP with the endpoint of an OpenTelemetry collector, or of the \
                       service where it takes OTLP";

impl TracingConfig {
    /// Reads the YAML. A configuration that Thanos takes is never refused: what cannot be done is a warning.
    ///
    /// # Errors
    /// A YAML that cannot be read, and a type that Thanos lacks, too; with the line.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let head: Head = flags::parse_yaml(yaml).map_err(Error::Config)?;
        let kind = head.kind.value.to_uppercase();
        match kind.as_str() {
            "OTLP" => ExporterConfig::otlp(flags::parse_yaml::<File<Otlp>>(yaml).map_err(Error::Config)?.config),
            "JAEGER" => ExporterConfig::jaeger(&flags::parse_yaml::<File<Jaeger>>(yaml).map_err(Error::Config)?.config),
            "GOOGLE_CLOUD" | "STACKDRIVER" | "ELASTIC_APM" | "LIGHTSTEP" => Ok(Self {
                exporter: None,
                warnings: vec![format!("the protocol of type {kind} is not spoken, so {INSTEAD}")],
            }),
            _ => {
                let (line, known) = (head.kind.referenced.line(), KINDS.join(", "));
                Err(Error::Config(format!(
                    "line {line}: type {:?} is unknown, use OTLP (known are {known})",
                    head.kind.value
                )))
            }
        }
    }
}

const KINDS: [&str; 6] = ["OTLP", "JAEGER", "GOOGLE_CLOUD", "STACKDRIVER", "ELASTIC_APM", "LIGHTSTEP"];

impl ExporterConfig {
    fn otlp(yaml: Otlp) -> Result<TracingConfig, Error> {
        let mut warnings = Vec::new();
        let http = match yaml.client_type.as_str() {
            "http" => true,
            "grpc" => false,
            other => return Err(Error::Config(format!("config.client_type: {other:?} is neither grpc nor http"))),
        };
        let gzip = match yaml.compression.as_str() {
            "" | "none" => false,
            "gzip" => true,
            other => {
                warnings.push(format!("config.compression: {other:?} is neither gzip nor none, none is used"));
                false
            }
        };
        duration("reconnection_period", &yaml.reconnection_period, 0)?;
        let path = |file: String| (!file.is_empty()).then(|| PathBuf::from(file));
        let tls = (!yaml.insecure).then(|| ClientTlsConfig {
            ca: path(yaml.tls_config.ca_file),
            cert: path(yaml.tls_config.cert_file),
            key: path(yaml.tls_config.key_file),
            server_name: Some(yaml.tls_config.server_name).filter(|name| !name.is_empty()),
            skip_verify: yaml.tls_config.insecure_skip_verify,
            min_version: String::new(),
        });
        let default_endpoint = if http { "localhost:4318" } else { "localhost:4317" };
        let r = &yaml.retry_config;
        // OpenTelemetry's exporters try again unless told otherwise, and Thanos does not tell them.
        let retry = |key: &str, text: &Text, default_s| {
            let own = if r.retry_enabled { text } else { &Text::default() };
            duration(&format!("retry_config.{key}"), own, default_s)
        };
        let exporter = Self {
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
                first: retry("retry_initial_interval", &r.retry_initial_interval, 5)?,
                longest: retry("retry_max_interval", &r.retry_max_interval, 30)?,
                elapsed: retry("retry_max_elapsed_time", &r.retry_max_elapsed_time, 60)?,
            },
            service_name: service(yaml.service_name),
            attributes: yaml.resource_attributes.into_iter().collect(),
            sampler: sampler(&yaml.sampler_type, &yaml.sampler_param.0, &mut warnings),
        };
        Ok(TracingConfig { exporter: Some(exporter), warnings })
    }

    /// Jaeger takes OTLP since 1.35, on ports of its own: such an endpoint is used as it is.
    fn jaeger(yaml: &Jaeger) -> Result<TracingConfig, Error> {
        if yaml.disabled {
            return Ok(TracingConfig { exporter: None, warnings: Vec::new() });
        }
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
            _ => {
                let why = "type JAEGER: Jaeger's own protocol is not spoken, so no traces are exported; Jaeger takes \
                           OTLP on port 4317 (gRPC) and 4318 (HTTP): use type OTLP with client_type, endpoint and \
                           insecure, or give such an endpoint here";
                return Ok(TracingConfig { exporter: None, warnings: vec![why.to_owned()] });
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
        let mut config = Self::otlp(otlp)?;
        let sampler = match (yaml.sampler_type.as_str(), yaml.sampler_param) {
            ("const", param) if param >= 0.5 => Sampler::AlwaysOn,
            ("const", _) => Sampler::AlwaysOff,
            ("probabilistic", share) => Sampler::TraceIdRatioBased(share),
            (other, _) => {
                config.warnings.push(format!(
                    "config.sampler_type: {other:?} is neither const nor probabilistic, {UNTOLD} of the traces is \
                     sampled, as Jaeger's clients do until they are told"
                ));
                Sampler::TraceIdRatioBased(UNTOLD)
            }
        };
        let sampler = Sampling(Sampler::ParentBased(Box::new(sampler)));
        Ok(TracingConfig { exporter: config.exporter.map(|e| Self { sampler, ..e }), ..config })
    }
}

/// The share of traces that Jaeger's clients sample while no server has told them.
const UNTOLD: f64 = 0.001;

fn service(name: String) -> String {
    if name.is_empty() { "aion".to_owned() } else { name }
}

/// A Go duration, or a number of nanoseconds; zero means the default, as in Thanos.
fn duration(key: &str, text: &Text, default_s: u64) -> Result<Duration, Error> {
    let text = text.0.as_str();
    let length = match (text.parse::<u64>(), flags::parse_go_duration(text)) {
        _ if text.is_empty() => Duration::ZERO,
        (Ok(ns), _) => Duration::from_nanos(ns),
        (_, Ok(ms)) if ms >= 0 => Duration::from_millis(ms as u64),
        _ => return Err(Error::Config(format!("config.{key}: {text:?} is no duration"))),
    };
    Ok(if length.is_zero() { Duration::from_secs(default_s) } else { length })
}

/// By Thanos' names; an unknown one is the default there too.
fn sampler(kind: &str, param: &str, warnings: &mut Vec<String>) -> Sampling {
    let mut share = || {
        param.parse().unwrap_or_else(|_| {
            warnings.push(format!("config.sampler_param: {param:?} is no number, all traces are sampled"));
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

    fn exporter(yaml: &str) -> ExporterConfig {
        let config = TracingConfig::parse(yaml).unwrap();
        assert_eq!(config.warnings, [""; 0], "{yaml}");
        config.exporter.unwrap()
    }

    #[test]
    fn as_thanos_writes_it() {
        let c = exporter(
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
        );
        assert_eq!((c.http, c.endpoint.as_str(), c.url_path.as_str()), (true, "collector:4318", "/custom/path"));
        assert_eq!((c.service_name.as_str(), c.gzip, c.timeout), ("store", true, Duration::from_secs(3)));
        assert_eq!((c.retry.first, c.retry.longest), (Duration::from_millis(10), Duration::from_secs(30)));
        assert_eq!(c.tls.unwrap().server_name.as_deref(), Some("c"));
        assert!(matches!(c.sampler.0, Sampler::TraceIdRatioBased(share) if share == 0.25));
        let c = exporter("{type: otlp, config: {client_type: grpc, insecure: true, sampler_type: ALWAYSSAMPLE}}");
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
            let c = exporter(&yaml);
            assert_eq!((c.http, c.endpoint.as_str(), c.tls.is_some()), (http, address, tls), "{endpoint}");
        }
    }

    /// The keys of each type at the values that Thanos' documentation shows.
    const DOCUMENTED: [(&str, &str); 6] = [
        (
            "OTLP",
            r#"{client_type: "http", service_name: "", resource_attributes: {}, reconnection_period: 0s, compression: "",
            insecure: false, endpoint: "", url_path: "", timeout: 0s, retry_config: {retry_enabled: true,
            retry_initial_interval: 0s, retry_max_interval: 0s, retry_max_elapsed_time: 0s}, headers: {},
            tls_config: {ca_file: "", cert_file: "", key_file: "", server_name: "", insecure_skip_verify: false},
            sampler_type: "", sampler_param: ""}"#,
        ),
        (
            "JAEGER",
            r#"{service_name: "", disabled: false, rpc_metrics: false, tags: "", sampler_type: "", sampler_param: 0,
            sampler_manager_host_port: "", sampler_max_operations: 0, sampler_refresh_interval: 0s,
            sampler_parent_config: {local_parent_sampled: false, remote_parent_sampled: false},
            sampling_server_url: "", operation_name_late_binding: false, reporter_max_queue_size: 0,
            reporter_flush_interval: 0s, reporter_log_spans: false, reporter_disable_attempt_reconnecting: false,
            reporter_attempt_reconnect_interval: 0s, endpoint: "", user: "", password: "", agent_host: "",
            agent_port: 0, traceid_128bit: false}"#,
        ),
        ("STACKDRIVER", r#"{service_name: "", project_id: "", sample_factor: 16}"#),
        ("google_cloud", r#"{service_name: "", project_id: "p", sample_factor: 0}"#),
        ("ELASTIC_APM", r#"{service_name: "", service_version: "", service_environment: "", sample_rate: 0}"#),
        (
            "LIGHTSTEP",
            r#"{access_token: "", collector: {scheme: "", host: "", port: 0, plaintext: false, custom_ca_cert_file: ""},
            tags: ""}"#,
        ),
    ];

    #[test]
    fn what_thanos_documents_is_taken() {
        for (kind, keys) in DOCUMENTED {
            let config = TracingConfig::parse(&format!("type: {kind}\nconfig: {keys}\n")).unwrap();
            let told = config.warnings.join("\n");
            match kind {
                "OTLP" => assert!(config.exporter.is_some() && told.is_empty(), "{told}"),
                _ => {
                    let all = ["no traces are exported", "type OTLP", &kind.to_uppercase()];
                    assert!(config.exporter.is_none() && all.iter().all(|w| told.contains(w)), "{kind}: {told}");
                }
            }
        }
        let c = TracingConfig::parse(&format!("type: OTLP\nconfig: {}", DOCUMENTED[0].1)).unwrap().exporter.unwrap();
        let tls = c.tls.unwrap();
        assert!(tls.ca.is_none() && tls.cert.is_none() && tls.server_name.is_none());
        let seconds = [c.timeout, c.retry.first, c.retry.longest, c.retry.elapsed].map(|d| d.as_secs());
        assert_eq!(seconds, [10, 5, 30, 60]);
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for (yaml, exported, told) in [
            ("type: JAEGER\nconfig: {endpoint: 'http://j:14268/api/traces'}", false, "Jaeger's own protocol"),
            ("type: JAEGER\nconfig: {agent_host: j, agent_port: 6831}", false, "use type OTLP"),
            ("type: JAEGER\nconfig: {disabled: true}", false, ""),
            ("type: JAEGER\nconfig: {endpoint: 'j:4317', sampler_type: remote}", true, "sampler_type: \"remote\""),
            ("type: OTLP\nconfig: {client_type: grpc, compression: lz4}", true, "lz4"),
            ("type: OTLP\nconfig: {client_type: grpc, sampler_type: traceidratiobased}", true, "all traces are"),
            ("type: OTLP\nconfig: {client_type: grpc, timeout: 1000000000}", true, ""),
            ("type: LIGHTSTEP", false, "no traces are exported"),
        ] {
            let config = TracingConfig::parse(yaml).unwrap();
            assert_eq!(config.exporter.is_some(), exported, "{yaml}");
            let warnings = config.warnings.join("\n");
            assert!(warnings.contains(told) && warnings.is_empty() == told.is_empty(), "{yaml}: {warnings}");
        }
    }

    #[test]
    fn refusals() {
        for (yaml, why) in [
            ("config: {}\ntype: ZIPKIN", "line 2: type \"ZIPKIN\" is unknown"),
            ("type: LIGHTSTEP\nconfig: {access_token: [x}", "line 2"),
            ("type: JAEGER\nconfigs: {}", "configs"),
            ("type: JAEGER\nconfig:\n  disabled: perhaps", "line 3"),
            ("config: {}", "type"),
            ("type: OTLP\nconfig: {}", "client_type"),
            ("type: OTLP\nconfig: {client_type: grpc, endpont: x}", "endpont"),
            ("type: OTLP\nconfig: {client_type: grpc, timeout: soon}", "config.timeout: \"soon\""),
        ] {
            let error = TracingConfig::parse(yaml).unwrap_err().to_string();
            assert!(error.contains(why), "{yaml}: {error}");
        }
    }
}
