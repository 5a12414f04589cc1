//! Anchored regular expressions with captures, and Go's templates for them.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// `^(?s:…)$`.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// As it was written.
    text: String,
}

impl Pattern {
    /// Programs above this many bytes are refused.
    const SIZE_MAX: usize = 10 << 20;

    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let config = Regex::config().nfa_size_limit(Some(Self::SIZE_MAX));
        let regex = Regex::builder().configure(config).build(&format!("^(?s:{text})$"));
        regex.map(|regex| Self { regex, text: text.to_owned() }).map_err(|e| format!("regex {text:?}: {e}"))
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    pub(crate) fn captures(&self, text: &str) -> Option<Captures> {
        let mut captures = self.regex.create_captures();
        self.regex.captures(text, &mut captures);
        captures.is_match().then_some(captures)
    }

    /// `template` with `$1`, `${1}`, `$name`, `${name}` and `$$` replaced. A name is as long as it can be; groups that do
    /// not exist or did not match are empty; a `$` that begins nothing stays.
    pub(crate) fn expand(&self, template: &str, text: &str, captures: &Captures) -> String {
        let mut out = String::with_capacity(template.len());
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let (name, after) = match rest.strip_prefix('{') {
                Some(inner) => {
                    let end = name_len(inner);
                    match inner[end..].strip_prefix('}') {
                        Some(after) if end > 0 => (&inner[..end], after),
                        _ => ("", rest),
                    }
                }
                None => rest.split_at(name_len(rest)),
            };
            if name.is_empty() {
                out.push('$');
                continue;
            }
            rest = after;
            let group = match name.parse::<usize>() {
                Ok(number) => captures.get_group(number),
                Err(_) => captures.get_group_by_name(name),
            };
            out.push_str(group.map_or("", |span| &text[span.start..span.end]));
        }
        out.push_str(rest);
        out
    }
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let pattern = Pattern::new("(?P<first>a+)(b+)?").unwrap();
        for (template, text, want) in [
            ("$1-$2", "aab", "aa-b"),
            ("${1}x$1x", "ab", "ax"),
            ("$first/${first}$2", "a", "a/a"),
            ("$$1 $ ${ ${} ${x", "a", "$1 $ ${ ${} ${x"),
            ("$9$nope", "a", ""),
            ("$0", "ab", "ab"),
        ] {
            let captures = pattern.captures(text).unwrap();
            assert_eq!(pattern.expand(template, text, &captures), want, "{template}");
        }
        assert!(pattern.captures("xab").is_none());
        assert!(Pattern::new("a.b").unwrap().matches("a\nb"));
    }
}
