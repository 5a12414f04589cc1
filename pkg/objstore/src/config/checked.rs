//! Texts that become parts of URLs and headers: what a client could not send is refused here, with its line.

use http::HeaderValue;
use url::Url;

use super::error::ConfigError;

/// A URL of scheme and host, perhaps a port and a path: nothing that another part of a request would be read from.
pub(super) fn url(line: u64, key: &str, url: &str) -> Result<(), ConfigError> {
    let refused = |why: String| Err(ConfigError::refused(line, format!("config.{key}"), why));
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(e) => return refused(format!("is no valid address: {e}")),
    };
    let plain = parsed.username().is_empty()
        && parsed.password().is_none()
        && parsed.query().is_none()
        && parsed.fragment().is_none()
        && parsed.has_host()
        // What the parser took away without a word.
        && !url.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\')
        // What clients send requests to allows fewer characters.
        && url.parse::<http::Uri>().is_ok();
    if plain { Ok(()) } else { refused("must be a host, with a port if need be".to_owned()) }
}

/// What is sent in a header.
pub(super) fn header(line: u64, key: &str, text: &str) -> Result<(), ConfigError> {
    match HeaderValue::from_str(text) {
        Ok(value) if value.to_str().is_ok() => Ok(()),
        _ => Err(ConfigError::refused(line, format!("config.{key}"), "must be printable ASCII")),
    }
}

/// A bucket's or container's name: letters, digits and what stores allow between them.
pub(super) fn name(line: u64, key: &str, text: &str) -> Result<(), ConfigError> {
    let known = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:$".contains(&b));
    if known && text.bytes().any(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    let why = "must be letters, digits, '.', '_', '-' and ':'";
    Err(ConfigError::refused(line, format!("config.{key}"), why))
}
