//! Text to syntax tree.

use labels::Matcher;

use crate::{Expr, Span};

/// Why a query does not parse, and where.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{line}:{column}: parse error: {message}")]
pub struct ParseError {
    /// In Prometheus' words.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// Place.
    pub span: Span,
}

/// Parses a query and checks its types.
///
/// # Errors
/// The first [`ParseError`].
pub fn parse(_query: &str) -> Result<Expr, ParseError> {
    Err(ParseError { message: "unexpected end of input".into(), line: 1, column: 1, span: Span::default() })
}

/// Parses a series selector such as the API's `match[]` values.
///
/// # Errors
/// A [`ParseError`]; also when the text is another expression, or has no matcher that excludes the empty string.
pub fn parse_series_matchers(_selector: &str) -> Result<Vec<Matcher>, ParseError> {
    Err(ParseError { message: "unexpected end of input".into(), line: 1, column: 1, span: Span::default() })
}
