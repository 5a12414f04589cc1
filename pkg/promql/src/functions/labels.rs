//! `label_replace` and `label_join`: series get other labels, values stay.

use std::sync::Arc;

use labels::{Builder, Labels, METRIC_NAME};
use re2::Regex;

use crate::QueryError;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

#[derive(Debug, Clone)]
pub(crate) struct Replace {
    target: String,
    replacement: String,
    source: String,
    regex: Arc<Regex>,
    /// The size of the compiled expression, bytes.
    program_bytes: u64,
}

/// The most bytes of text times bytes of program that are searched: some seconds in the worst case.
const SEARCH_MAX: u64 = 1 << 38;

impl Replace {
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
        let program_bytes = regex.size_bytes() as u64;
        Ok(Self { target: target.to_owned(), replacement, source, regex: Arc::new(regex), program_bytes })
    }

    /// Memory of the compiled expression.
    pub fn program_bytes(&self) -> usize {
        self.program_bytes as usize
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Join {
    target: String,
    separator: String,
    sources: Vec<String>,
}

impl Join {
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

pub(crate) enum Relabel<'a> {
    Replace(&'a Replace),
    Join(&'a Join),
}

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
        let Some(mut series) = cx.next(&mut self.inner)? else { return Ok(None) };
        let (target, labels) = match &self.what {
            Owned::Replace(r) => (&r.target, r.labels(&series.labels, cx)?),
            Owned::Join(j) => (&j.target, Some(j.labels(&series.labels, cx)?)),
        };
        if let Some(labels) = labels {
            series.labels = labels;
            series.drop_name &= target != METRIC_NAME;
        }
        Ok(Some(series))
    }
}

impl Replace {
    /// `None` where the pattern does not match.
    fn labels(&self, labels: &Labels, cx: &mut Cx) -> Result<Option<Labels>> {
        let text = labels.value(&self.source);
        self.check_cost(text)?;
        let Some(captures) = self.regex.captures(text) else { return Ok(None) };
        let bytes = self.regex.expanded_len(&self.replacement, &captures);
        cx.check_label(bytes, &self.target)?;
        let made = cx.make_labels(labels.size_bytes().saturating_add(bytes), || {
            let value = self.regex.expand(&self.replacement, &captures);
            Builder::from_labels(labels).set(&self.target, &value).build()
        })?;
        Ok(Some(made))
    }

    /// A search cannot be stopped halfway: what could take longer than seconds is not begun.
    fn check_cost(&self, text: &str) -> Result<()> {
        if (text.len() as u64).saturating_mul(self.program_bytes) <= SEARCH_MAX {
            return Ok(());
        }
        Err(QueryError::Limit(format!(
            "label_replace() would search a value of {} bytes with an expression of {} bytes when compiled: shorten either, \
             for example with a lower --query.max-label-bytes",
            text.len(),
            self.program_bytes
        )))
    }
}

impl Join {
    fn labels(&self, labels: &Labels, cx: &mut Cx) -> Result<Labels> {
        let values: Vec<&str> = self.sources.iter().map(|s| labels.value(s)).collect();
        let separators = self.separator.len().saturating_mul(values.len().saturating_sub(1));
        let bytes = values.iter().fold(separators, |sum, v| sum.saturating_add(v.len()));
        cx.check_label(bytes, &self.target)?;
        cx.make_labels(labels.size_bytes().saturating_add(bytes), || {
            Builder::from_labels(labels).set(&self.target, &values.join(&self.separator)).build()
        })
    }
}
