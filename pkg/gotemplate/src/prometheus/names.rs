//! Host names and words.

use std::net::IpAddr;

/// Host and port; `None` for what has no port, or is not of this form.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']').filter(|host| !host.contains(['[', ']'])).map(|host| (host, port)),
        None => (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port)),
    }
}

pub(super) fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

/// `host` of `host.domain`, and of `host.domain:port` with the port. Addresses stay.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<IpAddr>().is_ok() {
        return text.to_owned();
    }
    let name = host.split('.').next().unwrap_or(host);
    match port {
        "" => name.to_owned(),
        port if name.contains(':') => format!("[{name}]:{port}"),
        port => format!("{name}:{port}"),
    }
}

/// The first letter of each word in upper case.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for c in text.chars() {
        match is_separator(before) {
            true => out.push(model::upper(c)),
            false => out.push(c),
        }
        before = c;
    }
    out
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphanumeric() && c.is_whitespace()
}
