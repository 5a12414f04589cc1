//! `label_replace` and `label_join`: series get other labels, values stay.

use std::sync::Arc;

use labels::{Builder, METRIC_NAME};
use re2::Regex;

use crate::QueryError;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

/// The arguments of `label_replace`.
#[derive(Debug, Clone)]
pub(crate) struct Replace {
    target: String,
    replacement: String,
    source: String,
    regex: Arc<Regex>,
}

impl Replace {
    /// Checks the arguments.
    pub fn new(
        target: &str,
        replacement: String,
        source: String,
        pattern: &str,
    ) -> std::result::Result<Self, QueryError> {
        let regex = Regex::new_anchored(pattern)
            .map_err(|_| QueryError::Execution(format!("invalid regular expression in label_replace(): {pattern}")))?;
        if !is_label_name(target) {
            return Err(QueryError::Execution(format!("invalid destination label name in label_replace(): {target}")));
        }
        Ok(Self { target: target.to_owned(), replacement, source, regex: Arc::new(regex) })
    }
}

/// The arguments of `label_join`.
#[derive(Debug, Clone)]
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
}

enum Owned {
    Replace(Replace),
    Join(Join),
}

impl RelabelOp {
    pub fn new(inner: Stream, what: Relabel<'_>) -> Self {
        let what = match what {
            Relabel::Replace(r) => Owned::Replace(r.clone()),
            Relabel::Join(j) => Owned::Join(j.clone()),
        };
        Self { inner, what }
    }
}

impl Operator for RelabelOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        let Some(mut series) = self.inner.next(cx)? else { return Ok(None) };
        let (target, value) = match &self.what {
            Owned::Replace(r) => match r.value(&series, cx)? {
                Some(value) => (&r.target, value),
                None => return Ok(Some(series)),
            },
            Owned::Join(j) => (&j.target, j.value(&series, cx)?),
        };
        if target == METRIC_NAME {
            series.drop_name = false;
        }
        series.labels = Builder::from_labels(&series.labels).set(target, &value).build();
        Ok(Some(series))
    }
}

impl Replace {
    /// `None` where the pattern does not match.
    fn value(&self, series: &StepSeries, cx: &Cx) -> Result<Option<String>> {
        let text = series.labels.value(&self.source);
        let Some(captures) = self.regex.captures(text) else { return Ok(None) };
        cx.check_label(self.regex.expanded_len(&self.replacement, &captures), &self.target)?;
        Ok(Some(self.regex.expand(&self.replacement, &captures)))
    }
}

impl Join {
    fn value(&self, series: &StepSeries, cx: &Cx) -> Result<String> {
        let values: Vec<&str> = self.sources.iter().map(|s| series.labels.value(s)).collect();
        let separators = self.separator.len().saturating_mul(values.len().saturating_sub(1));
        cx.check_label(values.iter().map(|v| v.len()).sum::<usize>().saturating_add(separators), &self.target)?;
        Ok(values.join(&self.separator))
    }
}
