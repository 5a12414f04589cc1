//! The section `tracing`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use transport::http::TlsConfig;
use yaml::{DurationMs, Error, Node, is_default};

/// Where the server's own traces go.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TracingConfig {
    /// `grpc` or `http`. Default: `grpc`.
    pub client_type: ClientType,
    /// `host:port` of the collector. Required.
    pub endpoint: String,
    /// Share of traces that are kept, between 0 and 1. Default: `0`.
    #[serde(skip_serializing_if = "is_default")]
    pub sampling_fraction: f64,
    /// Whether connections go without TLS. Default: `false`.
    #[serde(skip_serializing_if = "is_default")]
    pub insecure: bool,
    /// TLS of the connections.
    #[serde(skip_serializing_if = "TlsConfig::is_default")]
    pub tls_config: TlsConfig,
    /// More headers of each request.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// `gzip`. Default: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub compression: String,
    /// Time for a batch of spans. Default: `10s`.
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: DurationMs,
}

/// How traces are sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientType {
    /// OTLP over gRPC.
    #[default]
    Grpc,
    /// OTLP over HTTP.
    Http,
}

impl TracingConfig {
    pub(crate) fn from_node(node: &Node) -> Result<Self, Error> {
        let config: Self = node.decode()?;
        if let Some(tls) = node.get("tls_config") {
            TlsConfig::from_section(tls)?;
        }
        for name in config.headers.keys() {
            let place = node.get("headers").unwrap_or(node);
            if name.eq_ignore_ascii_case("authorization") {
                return Err(place.error_at(name, "custom authorization header configuration is not yet supported"));
            }
            crate::headers::check_header(name).map_err(|why| place.error_at(name, why))?;
        }
        if config.endpoint.is_empty() {
            return Err(node.error_at("endpoint", "tracing endpoint must be set"));
        }
        if !["", "gzip"].contains(&config.compression.as_str()) {
            let why = format!("invalid compression type {} provided, valid options: gzip", config.compression);
            return Err(node.error_at("compression", why));
        }
        Ok(config)
    }

    pub(crate) fn resolve_paths(&mut self, folder: &Path) {
        self.tls_config.resolve_paths(folder);
    }
}
