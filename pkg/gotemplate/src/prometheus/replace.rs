//! `reReplaceAll`.

use re2::Regex;

use crate::limits::Work;

/// `text` with every match of `regex` replaced by `template`, in which `$1` and `${name}` stand for groups. A match is not
/// replaced where it is empty and follows another one at once, as in Go.
pub(super) fn replace_all(regex: &Regex, template: &str, text: &str, work: &mut Work) -> Result<String, String> {
    let program_kib = 1 + regex.size_bytes() as u64 / 1024;
    let mut searcher = Searcher { regex, later: None };
    let shifted = shifted_groups(template);
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while at <= text.len() {
        work.add(1 + program_kib.saturating_mul((text.len() - at) as u64 / 64))?;
        let Some(found) = searcher.next(text, at, template, &shifted, work)? else { break };
        out.push_str(&text[copied..found.from]);
        if found.to > copied || found.from == 0 {
            out.push_str(&found.replacement);
        }
        copied = found.to;
        let width = text[at..].chars().next().map_or(1, char::len_utf8);
        at = found.to.max(at + width);
        if out.len() > work.limits().output_bytes_max {
            work.add_bytes(out.len())?;
        }
    }
    out.push_str(&text[copied.min(text.len())..]);
    Ok(out)
}

struct Found {
    from: usize,
    to: usize,
    replacement: String,
}

/// Finds matches from a place on. What is before that place counts for `^` and `\b`, so the later searches begin one
/// character earlier, with an expression that takes this character and what else lies before the match.
struct Searcher<'r> {
    regex: &'r Regex,
    later: Option<Regex>,
}

impl Searcher<'_> {
    fn next(
        &mut self,
        text: &str,
        at: usize,
        template: &str,
        shifted: &str,
        work: &mut Work,
    ) -> Result<Option<Found>, String> {
        let Some(before) = text[..at].chars().next_back() else {
            let Some(captures) = self.regex.captures(text) else { return Ok(None) };
            let Some(span) = captures.span(0) else { return Ok(None) };
            work.add_bytes(self.regex.expanded_len(template, &captures))?;
            let replacement = self.regex.expand(template, &captures);
            return Ok(Some(Found { from: span.start, to: span.end, replacement }));
        };
        let later = match &mut self.later {
            Some(later) => later,
            none => {
                let pattern = format!("\\A(?s:.)(?s:.*?)({})", self.regex.as_str());
                none.insert(Regex::new(&pattern).map_err(|e| e.to_string())?)
            }
        };
        let from = at - before.len_utf8();
        let Some(captures) = later.captures(&text[from..]) else { return Ok(None) };
        let Some(span) = captures.span(1) else { return Ok(None) };
        work.add_bytes(later.expanded_len(shifted, &captures))?;
        let replacement = later.expand(shifted, &captures);
        Ok(Some(Found { from: from + span.start, to: from + span.end, replacement }))
    }
}

/// The template for an expression with one more group in front: `$1` is `${2}` there, and the whole match is `${1}`.
fn shifted_groups(template: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(template.len() + 8), template);
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        let (name, len) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let len = after.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(after.len());
                (&after[..len], len)
            }
        };
        let is_number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        match name.parse::<u32>().ok().filter(|_| is_number && (name == "0" || !name.starts_with('0'))) {
            _ if after.starts_with('$') => {
                out.push_str("$$");
                rest = &after[1..];
            }
            Some(group) => {
                out.push_str(&format!("${{{}}}", u64::from(group) + 1));
                rest = &after[len..];
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn as_go_replaces() {
        for (pattern, template, text, want) in [
            ("a", "b", "banana", "bbnbnb"),
            ("^a", "x", "aaa", "xaa"),
            ("(?m)^a", "x", "aa\naa", "xa\nxa"),
            (r"\bo", "0", "oo o foo", "0o 0 foo"),
            ("(.*):(.*)", "$1-$2", "host:9090", "host-9090"),
            ("(a)(b)?", "<$1$2$0>", "aba", "<abab><aa>"),
            ("(?P<x>[a-z])([0-9])", "${x}_$2$$", "a1 b2", "a_1$ b_2$"),
            ("", "-", "abc", "-a-b-c-"),
            ("b*", "-", "abc", "-a-c-"),
            ("x*", "-", "é", "-é-"),
            ("z", "y", "abc", "abc"),
            ("(?i)A$", "!", "aA", "a!"),
        ] {
            let regex = Regex::new(pattern).unwrap();
            let replaced = replace_all(&regex, template, text, &mut Work::new(Limits::default()));
            assert_eq!(replaced.as_deref(), Ok(want), "{pattern} {text}");
        }
    }

    #[test]
    fn what_grows_is_stopped() {
        let regex = Regex::new("a").unwrap();
        let long = "a".repeat(100_000);
        let grown = replace_all(&regex, &"b".repeat(1000), &long, &mut Work::new(Limits::default()));
        assert!(grown.is_err());
    }
}
