//! Headers and URLs that sections name.

use std::collections::BTreeMap;

use yaml::{Error, Node};

/// Headers that cannot be configured.
const RESERVED: [&str; 17] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "transfer-encoding",
];

pub(crate) fn check_header(name: &str) -> Result<(), String> {
    match RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        true => Err(format!("{name} is a reserved header. It must not be changed")),
        false => Ok(()),
    }
}

pub(crate) fn check_headers(node: &Node, headers: &BTreeMap<String, String>) -> Result<(), Error> {
    let place = node.get("headers").unwrap_or(node);
    for name in headers.keys() {
        if name.eq_ignore_ascii_case("authorization") {
            let why = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or \
                       google_iam parameter";
            return Err(place.error_at(name, why));
        }
        check_header(name).map_err(|why| place.error_at(name, why))?;
    }
    Ok(())
}

/// Writes a URL without its password.
pub(crate) fn redacted_url<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&model::redact_urls(url))
}
