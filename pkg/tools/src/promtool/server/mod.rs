//! Commands that ask a running server.

pub(super) mod analyze;
pub(super) mod debug;
pub(super) mod health;
mod print;
pub(super) mod push;
pub(super) mod query;

use std::time::Duration;

use flags::{Flag, Parsed};
use promclient::{ClientOptions, PromClient};
use transport::http::ClientConfig;

use crate::Error;

pub(super) const HTTP_CONFIG: Flag =
    Flag::text("http.config.file", "", "HTTP client configuration file for promtool to connect to Prometheus.")
        .placeholder("<filename>");

/// The HTTP client that `--http.config.file` and, where the command has it, `--header` ask for.
pub(super) fn client_config(parsed: &Parsed) -> Result<ClientConfig, Error> {
    let yaml = match parsed.text_opt("http.config.file") {
        None => String::new(),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| Error::Usage(format!("--http.config.file: {path}: {e}")))?
        }
    };
    let mut config = ClientConfig::parse(&yaml).map_err(|e| Error::Usage(format!("--http.config.file: {e}")))?;
    if parsed.has("header") {
        for header in parsed.list("header").iter().filter(|header| !header.is_empty()) {
            let (name, value) = pair("header", header)?;
            config.add_header(name, value);
        }
    }
    Ok(config)
}

/// `name=value` of a repeated flag.
pub(super) fn pair<'a>(flag: &str, text: &'a str) -> Result<(&'a str, &'a str), Error> {
    let wanted = || Error::Usage(format!("--{flag}: {text:?} is no name=value"));
    text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wanted)
}

/// The API at `server`, which may lack its scheme.
pub(super) fn client(parsed: &Parsed, server: &str) -> Result<PromClient, Error> {
    let http = client_config(parsed)?.build()?;
    let server = if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let timeout = Duration::from_millis(parsed.duration_ms("timeout").max(1).unsigned_abs());
    Ok(PromClient::new(&server, http, ClientOptions { timeout, ..ClientOptions::default() }))
}

/// RFC 3339 or Unix seconds in ms; `None` where the flag is not given.
pub(super) fn time_ms(parsed: &Parsed, flag: &str) -> Result<Option<i64>, Error> {
    let Some(text) = parsed.text_opt(flag) else { return Ok(None) };
    let seconds = text.parse::<f64>().ok().filter(|s| s.is_finite() && s.abs() < 1e12);
    let ms = seconds.map(|s| (s * 1000.0).round() as i64).or_else(|| model::parse_rfc3339_ms(text));
    ms.map(Some).ok_or_else(|| Error::Usage(format!("--{flag}: cannot parse {text:?} to a valid timestamp")))
}

/// A time as the API takes it.
pub(super) fn seconds(ms: i64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

pub(super) fn failed(e: storage::Error) -> Error {
    Error::Failed(format!("query error: {e}"))
}
