//! The flags that all components share, and what they mean.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flags::{Flag, Kind, Parsed};
use tls::{ClientAuth, ClientTlsConfig, Pem, ServerTls, ServerTlsConfig};

use crate::http::WebConfig;
use crate::traces::TracingConfig;
use crate::{Error, RequestLog, ServeOptions};

const NO_GC: &str = "there is no garbage collector to tune";

/// Logging, tracing, and what only a Go program needs.
pub const COMMON: &[Flag] = &[
    Flag::word("log.level", &["debug", "info", "warn", "error"], "info", "Log filtering level.").any_case(),
    Flag::word("log.format", &["logfmt", "json", "journald"], "logfmt", "Log format to use."),
    Flag::text("tracing.config-file", "", "Path to YAML file with tracing configuration.").placeholder("<file-path>"),
    Flag::text("tracing.config", "", "Content of the tracing configuration, instead of a file.")
        .placeholder("<content>"),
    Flag::switch("enable-auto-gomemlimit", "Set Go's memory limit from the container's.").ignored(NO_GC),
    Flag::new("auto-gomemlimit.ratio", Kind::Number, "0.9", "Ratio of the container's memory.").ignored(NO_GC),
];

/// Flags of the HTTP listener, read by [`http_server`].
pub const HTTP: &[Flag] = &[
    Flag::text("http-address", "0.0.0.0:10902", "Listen host:port for HTTP endpoints."),
    Flag::duration("http-grace-period", "2m", "Time to wait after an interrupt received for HTTP Server."),
    Flag::text(
        "http.config",
        "",
        "Path to the configuration file that can enable TLS or authentication for all HTTP endpoints.",
    ),
    Flag::count(HTTP_LIMITS[0], "1024", MAX_CONNECTIONS).hidden(),
    Flag::duration(HTTP_LIMITS[1], "30s", HEADER_TIMEOUT).hidden(),
    Flag::duration(HTTP_LIMITS[2], "30s", BODY_TIMEOUT).hidden(),
    Flag::duration(HTTP_LIMITS[3], "2m", WRITE_TIMEOUT).hidden(),
];

const MAX_CONNECTIONS: &str = "Maximum number of connections. At the limit, connections without a request are closed; if there are none, only probes are answered. 0 means no limit.";
const HEADER_TIMEOUT: &str =
    "Time within which a connection must complete the TLS handshake and send a whole request head.";
const BODY_TIMEOUT: &str = "Longest pause within a request body. 0 means no limit.";
const WRITE_TIMEOUT: &str = "Longest time in which a client takes no byte of an answer. 0 means no limit.";

/// Limits of one listener's connections.
const HTTP_LIMITS: [&str; 4] =
    ["http.max-connections", "http.header-timeout", "http.body-timeout", "http.write-timeout"];
const GRPC_LIMITS: [&str; 4] =
    ["grpc.max-connections", "grpc.header-timeout", "grpc.body-timeout", "grpc.write-timeout"];

/// Flags of the gRPC listener, read by [`grpc_server`].
pub const GRPC_SERVER: &[Flag] = &[
    Flag::text("grpc-address", "0.0.0.0:10901", "Listen ip:port address for gRPC endpoints (StoreAPI)."),
    Flag::text("grpc-server-tls-cert", "", "TLS Certificate for gRPC server, leave blank to disable TLS."),
    Flag::text("grpc-server-tls-key", "", "TLS Key for the gRPC server, leave blank to disable TLS."),
    Flag::text(
        "grpc-server-tls-client-ca",
        "",
        "TLS CA to verify clients against. If no client CA is specified, there is no client verification on server side.",
    ),
    Flag::word(
        "grpc-server-tls-min-version",
        &["1.0", "1.1", "1.2", "1.3"],
        "1.3",
        "TLS minimum version of the gRPC server; below 1.2 means 1.2.",
    ),
    Flag::text(
        "grpc-server-tls-ciphers",
        "",
        "TLS cipher suites of the gRPC server, by Go's names. If omitted, all safe ones.",
    )
    .placeholder("GRPC-SERVER-TLS-CIPHERS")
    .repeated(),
    Flag::text("grpc-server-tls-curves", "", "TLS curves of the gRPC server. If omitted, all safe ones.")
        .placeholder("GRPC-SERVER-TLS-CURVES")
        .repeated(),
    Flag::duration(
        "grpc-server-max-connection-age",
        "60m",
        "The grpc server max connection age. This controls how often to re-establish connections and redo TLS handshakes.",
    ),
    Flag::duration("grpc-grace-period", "2m", "Time to wait after an interrupt received for GRPC Server."),
    Flag::count(GRPC_LIMITS[0], "1024", MAX_CONNECTIONS).hidden(),
    Flag::duration(GRPC_LIMITS[1], "30s", HEADER_TIMEOUT).hidden(),
    Flag::duration(GRPC_LIMITS[2], "30s", BODY_TIMEOUT).hidden(),
    Flag::duration(GRPC_LIMITS[3], "2m", WRITE_TIMEOUT).hidden(),
];

/// Flags of the querier's gRPC clients, read by [`grpc_client_tls`]; `--grpc-compression` is the querier's.
pub const GRPC_CLIENT: &[Flag] = &[
    Flag::switch("grpc-client-tls-secure", "Use TLS when talking to the gRPC server."),
    Flag::switch(
        "grpc-client-tls-skip-verify",
        "Disable TLS certificate verification i.e self signed, signed by fake CA.",
    ),
    Flag::text("grpc-client-tls-cert", "", "TLS Certificates to use to identify this client to the server."),
    Flag::text("grpc-client-tls-key", "", "TLS Key for the client's certificate."),
    Flag::text("grpc-client-tls-ca", "", "TLS CA Certificates to use to verify gRPC servers."),
    Flag::text("grpc-client-server-name", "", "Server name to verify the hostname on the returned gRPC certificates."),
    Flag::word(
        "grpc-compression",
        &["snappy", "none"],
        "none",
        "Compression algorithm to use for gRPC requests to other clients.",
    ),
    Flag::word(
        "grpc-client-tls-min-version",
        &["1.0", "1.1", "1.2", "1.3"],
        "1.3",
        "TLS minimum version of the gRPC clients; below 1.2 means 1.2.",
    ),
];

/// Flags that say which requests are logged, read by [`request_log`].
pub const REQUEST_LOG: &[Flag] = &[
    Flag::text("request.logging-config-file", "", "Path to YAML file with request logging configuration.")
        .placeholder("<file-path>"),
    Flag::text("request.logging-config", "", "Request logging configuration, instead of a file.")
        .placeholder("<content>"),
];

fn duration(parsed: &Parsed, flag: &str) -> Duration {
    Duration::from_millis(parsed.duration_ms(flag).max(0) as u64)
}

fn limited(
    options: ServeOptions,
    parsed: &Parsed,
    [connections, header, body, write]: [&str; 4],
) -> Result<ServeOptions, Error> {
    let header_timeout = duration(parsed, header);
    if header_timeout.is_zero() {
        return Err(Error::Config(format!("--{header} must be longer than 0")));
    }
    Ok(ServeOptions {
        connections_max: usize::try_from(parsed.count(connections)).unwrap_or(usize::MAX),
        header_timeout,
        body_timeout: duration(parsed, body),
        write_timeout: duration(parsed, write),
        ..options
    })
}

/// Options of the HTTP listener, and what its configuration file asks for.
///
/// # Errors
/// A `--http.config` file that cannot be used, or `--http.header-timeout=0`.
pub fn http_server(parsed: &Parsed) -> Result<(ServeOptions, WebConfig), Error> {
    let web = WebConfig::load(parsed.text("http.config"))?;
    let options = ServeOptions { tls: web.tls.clone(), ..ServeOptions::http(duration(parsed, "http-grace-period")) };
    Ok((limited(options, parsed, HTTP_LIMITS)?, web))
}

/// Options of the gRPC listener.
///
/// # Errors
/// TLS files that cannot be read, names of ciphers or curves that are not known, a certificate without its key.
pub fn grpc_server(parsed: &Parsed) -> Result<ServeOptions, Error> {
    let age = duration(parsed, "grpc-server-max-connection-age");
    let options = ServeOptions::grpc(duration(parsed, "grpc-grace-period"), age);
    let options = limited(options, parsed, GRPC_LIMITS)?;
    let path = |flag: &str| parsed.text_opt(flag).map(PathBuf::from);
    let (cert, key) = (path("grpc-server-tls-cert"), path("grpc-server-tls-key"));
    let client_ca = path("grpc-server-tls-client-ca");
    let (cert, key) = match (cert, key, &client_ca) {
        (Some(cert), Some(key), _) => (cert, key),
        (None, None, None) => return Ok(options),
        (None, None, Some(_)) => {
            return Err(Error::Config("--grpc-server-tls-client-ca needs --grpc-server-tls-cert and -key too".into()));
        }
        _ => return Err(Error::Config("both --grpc-server-tls-cert and --grpc-server-tls-key must be given".into())),
    };
    let tls = ServerTls::new(ServerTlsConfig {
        cert: Pem::File(cert),
        key: Pem::File(key),
        client_auth: if client_ca.is_some() { ClientAuth::Require } else { ClientAuth::None },
        client_ca: client_ca.map(Pem::File),
        client_names: Vec::new(),
        min_version: parsed.text("grpc-server-tls-min-version").to_owned(),
        ciphers: parsed.list("grpc-server-tls-ciphers"),
        curves: parsed.list("grpc-server-tls-curves"),
        alpn: vec![b"h2"],
    })?;
    Ok(ServeOptions { tls: Some(Arc::new(tls)), ..options })
}

/// Which requests are logged, by `--request.logging-config` or its file.
///
/// # Errors
/// YAML that cannot be used; names the flag or its file.
pub fn request_log(parsed: &Parsed) -> Result<RequestLog, Error> {
    let yaml = parsed.content("request.logging-config").map_err(|e| Error::Config(e.0))?.unwrap_or_default();
    RequestLog::parse(&yaml).map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("request.logging-config"))))
}

/// Where traces go; `None` = nowhere.
///
/// # Errors
/// YAML that cannot be used; names the flag or its file.
pub fn tracing(parsed: &Parsed) -> Result<Option<TracingConfig>, Error> {
    let yaml = parsed.content("tracing.config").map_err(|e| Error::Config(e.0))?;
    let parse = |yaml: String| {
        TracingConfig::parse(&yaml).map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("tracing.config"))))
    };
    yaml.filter(|y| !y.trim().is_empty()).map(parse).transpose()
}

/// TLS of the gRPC clients, `None` for plain connections.
pub fn grpc_client_tls(parsed: &Parsed) -> Option<ClientTlsConfig> {
    parsed.switch("grpc-client-tls-secure").then(|| {
        let path = |flag: &str| parsed.text_opt(flag).map(PathBuf::from);
        ClientTlsConfig {
            ca: path("grpc-client-tls-ca"),
            cert: path("grpc-client-tls-cert"),
            key: path("grpc-client-tls-key"),
            server_name: parsed.text_opt("grpc-client-server-name").map(str::to_owned),
            skip_verify: parsed.switch("grpc-client-tls-skip-verify"),
            min_version: parsed.text("grpc-client-tls-min-version").to_owned(),
        }
    })
}
