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

/// The first letter of each word in upper case. Digits before it and `_` are parts of a word, as is a single `.`, `:` or
/// apostrophe inside of one: the words of Unicode's text segmentation, as Go's `cases.Title` finds them.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut has_begun = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_lowercase() || c.is_uppercase() {
            out.push(if has_begun { c } else { model::upper(c) });
            has_begun = true;
            continue;
        }
        out.push(c);
        let goes_on = match c {
            '_' | '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' => true,
            '.' | ':' | '\'' | '\u{2018}' | '\u{2019}' | '\u{b7}' => {
                chars.peek().is_some_and(|next| next.is_alphanumeric())
            }
            c => c.is_numeric(),
        };
        has_begun &= goes_on;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::title;

    /// What a real Prometheus makes of them.
    #[test]
    fn titles() {
        for (text, want) in [
            ("hello wORLD o'neil", "Hello WORLD O'neil"),
            ("3rd 0x10 1e3 12ab34cd", "3Rd 0X10 1E3 12Ab34cd"),
            ("host-a.example.com 10.0.0.1:80", "Host-A.example.com 10.0.0.1:80"),
            ("a.b a:b a_b a-b a/b a,b a@b", "A.b A:b A_b A-B A/B A,B A@B"),
            ("a..b a':b a.1b 1.a 1.5x _ab 'ab'", "A..B A':B A.1b 1.A 1.5X _Ab 'Ab'"),
            ("é à ab’c x日y αβ a\u{301}b ab—cd", "É À Ab’c X日Y Αβ A\u{301}b Ab—Cd"),
        ] {
            assert_eq!(title(text), want);
        }
    }
}
