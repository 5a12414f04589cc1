//! `label_replace` and `label_join`: series get other labels, values stay.

use labels::{Builder, METRIC_NAME};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use crate::QueryError;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

/// The arguments of `label_replace`.
#[derive(Debug)]
pub(crate) struct Replace {
    target: String,
    replacement: String,
    source: String,
    regex: Regex,
}

impl Replace {
    /// Checks the arguments.
    pub fn new(
        target: &str,
        replacement: String,
        source: String,
        pattern: &str,
    ) -> std::result::Result<Self, QueryError> {
        // The label matcher's engine decides what is RE2; this one adds the groups.
        re2::Matcher::new(pattern)
            .map_err(|_| QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        let regex = Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|_| QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        if !is_label_name(target) {
            return Err(QueryError::Execution(format!("invalid destination label name in label_replace(): {target}")));
        }
        Ok(Self { target: target.to_owned(), replacement, source, regex })
    }
}

/// The arguments of `label_join`.
#[derive(Debug)]
pub(crate) struct Join {
    target: String,
    separator: String,
    sources: Vec<String>,
}

impl Join {
    /// Checks the arguments.
    pub fn new(target: String, separator: String, sources: Vec<String>) -> std::result::Result<Self, QueryError> {
        if let Some(bad) = sources.iter().find(|s| !is_label_name(s)) {
            return Err(QueryError::Execution(format!("invalid source label name in label_join(): {bad}")));
        }
        if !is_label_name(&target) {
            return Err(QueryError::Execution(format!("invalid destination label name in label_join(): {target}")));
        }
        Ok(Self { target, separator, sources })
    }
}

/// Any UTF-8 is a name; U+FFFD is what the parser makes of bytes that are none.
pub(crate) fn is_label_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER)
}

/// Either function.
pub(crate) enum Relabel<'a> {
    Replace(&'a Replace),
    Join(&'a Join),
}

/// Runs either function.
pub(crate) struct RelabelOp {
    inner: Stream,
    what: Owned,
    captures: Option<Captures>,
}

enum Owned {
    Replace { target: String, replacement: String, source: String, regex: Regex },
    Join { target: String, separator: String, sources: Vec<String> },
}

impl RelabelOp {
    pub fn new(inner: Stream, what: Relabel<'_>) -> Self {
        let (what, captures) = match what {
            Relabel::Replace(r) => (
                Owned::Replace {
                    target: r.target.clone(),
                    replacement: r.replacement.clone(),
                    source: r.source.clone(),
                    regex: r.regex.clone(),
                },
                Some(r.regex.create_captures()),
            ),
            Relabel::Join(j) => (
                Owned::Join { target: j.target.clone(), separator: j.separator.clone(), sources: j.sources.clone() },
                None,
            ),
        };
        Self { inner, what, captures }
    }
}

impl Operator for RelabelOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut series) = self.inner.next(cx)? else { return Ok(None) };
        let (target, value) = match (&self.what, &mut self.captures) {
            (Owned::Replace { target, replacement, source, regex }, Some(captures)) => {
                let text = series.labels.value(source);
                regex.captures(text, captures);
                if !captures.is_match() {
                    return Ok(Some(series));
                }
                (target, expand(replacement, regex, captures, text))
            }
            (Owned::Join { target, separator, sources }, _) => {
                let values: Vec<&str> = sources.iter().map(|s| series.labels.value(s)).collect();
                (target, values.join(separator))
            }
            (Owned::Replace { .. }, None) => return Ok(Some(series)),
        };
        if target == METRIC_NAME {
            series.drop_name = false;
        }
        series.labels = Builder::from_labels(&series.labels).set(target, &value).build();
        Ok(Some(series))
    }
}

/// Go's `Regexp.Expand`: `$1`, `$name`, `${name}`, `$$`; what names no group is empty, a lone `$` stays.
fn expand(template: &str, regex: &Regex, captures: &Captures, text: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let (name, after) = match rest.strip_prefix('{') {
            Some(braced) => match braced.find('}') {
                Some(end) if end > 0 && braced[..end].chars().all(is_word) => (&braced[..end], &braced[end + 1..]),
                _ => ("", rest),
            },
            None => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (&rest[..end], &rest[end..])
            }
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        rest = after;
        let number =
            name.parse::<usize>().ok().or_else(|| regex.group_info().to_index(regex_automata::PatternID::ZERO, name));
        if let Some(span) = number.and_then(|n| captures.get_group(n)) {
            out.push_str(&text[span.range()]);
        }
    }
    out.push_str(rest);
    out
}
