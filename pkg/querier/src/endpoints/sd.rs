//! Endpoints as `--endpoint.sd-config` describes them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;
use tls::ClientTlsConfig;
use transport::grpc::Compression;

use super::set::{Mode, Spec};

/// Why a file of endpoints was refused; the endpoints known before stay.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SdError(pub String);

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// How endpoints are reached, unless their own `client_config` says otherwise.
    default_client_config: Client,
    /// The endpoints.
    endpoints: Vec<Spanned<Entry>>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Entry {
    /// `host:port`, or a DNS name with `dns+`, `dnssrv+` or `dnssrvnoa+` before it. Required.
    address: String,
    /// The address is fixed: one with `dns…+` is refused, unless it is a group.
    strict: bool,
    /// The addresses behind this name serve the same data: each request goes to one of them, in turn.
    group: bool,
    /// Without effect: a group is always asked in turn.
    service_config: Option<String>,
    /// How this endpoint is reached.
    client_config: Client,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Client {
    /// TLS of the connections.
    tls_config: Tls,
    /// Name that the server's certificate must have. Default: `--grpc-client-server-name`, else the address.
    server_name: Option<String>,
    /// Of requests: `snappy` or `none`. Default: `--grpc-compression`.
    compression: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Tls {
    /// Whether TLS is spoken. Default: `--grpc-client-tls-secure`.
    enabled: Option<bool>,
    /// The server's certificate is not verified. Default: `--grpc-client-tls-skip-verify`.
    insecure_skip_verify: Option<bool>,
    /// Client certificate, PEM. Default: `--grpc-client-tls-cert`.
    cert_file: Option<PathBuf>,
    /// Key of the client certificate, PEM. Default: `--grpc-client-tls-key`.
    key_file: Option<PathBuf>,
    /// File of certificates that sign the server's. Default: `--grpc-client-tls-ca`, else those of the system.
    ca_file: Option<PathBuf>,
    /// Lowest version of TLS: `1.2` or `1.3`; lower ones mean 1.2. Default: `--grpc-client-tls-min-version`.
    min_version: Option<String>,
}

/// Reads a file of `--endpoint.sd-config-file`, see [`parse_sd`].
///
/// # Errors
/// As [`parse_sd`], or a file that cannot be read; names the file.
pub fn load_sd(path: &str, base: &Spec) -> Result<Vec<Spec>, SdError> {
    let yaml = std::fs::read_to_string(path).map_err(|e| SdError(format!("{path}: {e}")))?;
    parse_sd(&yaml, base).map_err(|e| SdError(format!("{path}: {e}")))
}

/// Parses the YAML of `--endpoint.sd-config`; what an entry leaves open comes from the file's defaults, then from
/// `base`, the flags.
///
/// # Errors
/// Unknown keys, missing addresses, contradictions; names the line.
pub fn parse_sd(yaml: &str, base: &Spec) -> Result<Vec<Spec>, SdError> {
    let file: File = match yaml.trim() {
        "" => File::default(),
        _ => flags::parse_yaml(yaml).map_err(SdError)?,
    };
    let defaults = file.default_client_config;
    let one = |entry: Spanned<Entry>| {
        let line = entry.referenced.line();
        spec(entry.value, &defaults, base).map_err(|e| SdError(format!("line {line}: {e}")))
    };
    file.endpoints.into_iter().map(one).collect()
}

fn spec(entry: Entry, defaults: &Client, base: &Spec) -> Result<Spec, SdError> {
    let address = entry.address;
    if address.is_empty() {
        return Err(SdError("an endpoint without address".to_owned()));
    }
    if entry.strict && discovery::dns::is_dynamic(&address) && !entry.group {
        let why = "is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode";
        return Err(SdError(format!("{address} {why}")));
    }
    if entry.service_config.is_some() {
        tracing::debug!(address, "service_config has no effect, groups are asked in turn");
    }
    let (tls, compression) = client(&entry.client_config, defaults, base)?;
    let mode = if entry.group { Mode::Group } else { Mode::Each };
    Ok(Spec { address, strict: entry.strict, mode, tls, compression })
}

fn client(own: &Client, defaults: &Client, base: &Spec) -> Result<(Option<ClientTlsConfig>, Compression), SdError> {
    let compression = match own.compression.as_ref().or(defaults.compression.as_ref()).map(String::as_str) {
        None => base.compression,
        Some("snappy") => Compression::Snappy,
        Some("none" | "") => Compression::None,
        Some(other) => return Err(SdError(format!("compression {other:?} is unknown"))),
    };
    let (t, d) = (&own.tls_config, &defaults.tls_config);
    let enabled = t.enabled.or(d.enabled).unwrap_or(base.tls.is_some());
    if !enabled {
        return Ok((None, compression));
    }
    let flags = base.tls.clone().unwrap_or_default();
    let pick = |a: &Option<PathBuf>, b: &Option<PathBuf>, c: Option<PathBuf>| a.clone().or_else(|| b.clone()).or(c);
    let tls = ClientTlsConfig {
        ca: pick(&t.ca_file, &d.ca_file, flags.ca),
        cert: pick(&t.cert_file, &d.cert_file, flags.cert),
        key: pick(&t.key_file, &d.key_file, flags.key),
        server_name: own.server_name.clone().or_else(|| defaults.server_name.clone()).or(flags.server_name),
        skip_verify: t.insecure_skip_verify.or(d.insecure_skip_verify).unwrap_or(flags.skip_verify),
        min_version: t.min_version.clone().or_else(|| d.min_version.clone()).unwrap_or(flags.min_version),
    };
    Ok((Some(tls), compression))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Spec {
        Spec { address: String::new(), strict: false, mode: Mode::Each, tls: None, compression: Compression::None }
    }

    #[test]
    fn entries_over_defaults_over_flags() {
        let yaml = "
default_client_config: {compression: snappy, tls_config: {ca_file: /ca}}
endpoints:
- address: a:1
- address: dns+b:2
  group: true
  client_config: {compression: none, tls_config: {enabled: true}, server_name: b}
- {address: c:3, strict: true}
";
        let specs = parse_sd(yaml, &base()).unwrap();
        assert_eq!(specs.len(), 3);
        assert_eq!((specs[0].compression, specs[0].tls.is_none()), (Compression::Snappy, true));
        let tls = specs[1].tls.as_ref().unwrap();
        assert_eq!((specs[1].mode, tls.server_name.as_deref()), (Mode::Group, Some("b")));
        assert_eq!((tls.ca.as_ref(), specs[1].compression), (Some(&PathBuf::from("/ca")), Compression::None));
        assert!(specs[2].strict);
    }

    #[test]
    fn refusals() {
        for (yaml, line, text) in [
            ("endpoints:\n- {addres: a}", 2, "addres"),
            ("endpoints:\n- {address: a:1}\n- {strict: true}", 3, "without address"),
            ("endpoints: [{address: dns+a:1, strict: true}]", 1, "not permitted under strict mode"),
            ("endpoints:\n\n- address: a:1\n  client_config: {compression: zip}", 3, "zip"),
            ("endpoints: [", 1, ""),
        ] {
            let error = parse_sd(yaml, &base()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("line {line}: ")) && error.contains(text), "{yaml}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        let error = load_sd("/no/such/file.yml", &base()).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/file.yml: No such file"), "{error}");
    }
}
