//! URLs as they may be shown.

use std::borrow::Cow;

/// `text` with the password of each URL in it (`scheme://user:password@host`) replaced by `xxxxx`, as Go shows URLs. A user
/// without a password is kept.
pub fn redact_urls(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    let mut from = 0;
    while let Some(at) = out[from..].find("://") {
        let begin = from + at + 3;
        let rest = &out[begin..];
        let end = begin + rest.find(|c: char| "/?#\"'<>".contains(c) || c.is_whitespace()).unwrap_or(rest.len());
        // A password may hold an @ or a slash that should have been escaped: the last @ of the word counts.
        let word = begin + rest.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(rest.len());
        let host = out[begin..end].rfind('@').or_else(|| {
            let at = out[begin..word].rfind('@')?;
            out[begin..begin + at].contains(':').then_some(at)
        });
        let password = host.and_then(|host| Some((out[begin..begin + host].find(':')?, host)));
        from = match password {
            Some((colon, host)) => {
                out.to_mut().replace_range(begin + colon + 1..begin + host, "xxxxx");
                begin + colon + 7
            }
            None => begin,
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::redact_urls;

    #[test]
    fn passwords_are_not_shown() {
        for (text, want) in [
            ("http://u:secret@h:9090/p", "http://u:xxxxx@h:9090/p"),
            ("http://u@h:9090/", "http://u@h:9090/"),
            ("http://:secret@h", "http://:xxxxx@h"),
            ("http://u:se@cret@h/x?a=b@c", "http://u:xxxxx@h/x?a=b@c"),
            ("http://u:se/cret@h/x", "http://u:xxxxx@h/x"),
            ("http://h:9090/a:b", "http://h:9090/a:b"),
            ("http://[::1]:9090/a", "http://[::1]:9090/a"),
            ("a \"https://u:p@h\" and 's3://k:v@b', too", "a \"https://u:xxxxx@h\" and 's3://k:xxxxx@b', too"),
            ("no URL: a@b", "no URL: a@b"),
            ("http://u:é@h://x:y@z", "http://u:xxxxx@h://x:xxxxx@z"),
            ("", ""),
        ] {
            assert_eq!(redact_urls(text), want, "{text}");
        }
    }
}
