//! Parse errors in Prometheus' words.

use std::fmt;

use crate::Span;

/// Why a query does not parse, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, in Prometheus' words, without the place.
    pub message: String,
    /// Line, from 1; 0 when the text was empty and there is no position.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Where it stands in the query.
    pub span: Span,
}

impl ParseError {
    /// An error at `span` of `query`.
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        let (line, column) = position(query, span.start);
        Self { message: message.into(), line, column, span }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "unknown position: parse error: {}", self.message),
            line => write!(f, "{line}:{}: parse error: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// Line and column (in bytes), both from 1, of byte `offset` in `query`: what annotations print as `(line:column)`.
/// Zeros for an empty query.
pub fn position(query: &str, offset: usize) -> (usize, usize) {
    if query.is_empty() {
        return (0, 0);
    }
    let before = &query.as_bytes()[..offset.min(query.len())];
    let line = 1 + before.iter().filter(|b| **b == b'\n').count();
    let column = offset - before.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) + 1;
    (line, column)
}
