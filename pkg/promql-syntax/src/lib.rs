//! PromQL: text to syntax tree and back. Knows nothing of storage or evaluation.

pub mod ast;
mod check;
mod error;
mod functions;
mod lexer;
mod number;
mod options;
mod parser;
mod quote;
mod series;
mod series_histogram;
pub mod testlang;
mod token;

pub use ast::*;
pub use error::{ParseError, position};
pub use functions::{FUNCTIONS, Function, function};
pub use options::ParseOptions;
pub use parser::{parse, parse_metric_labels, parse_series_matchers, parse_with};
pub use quote::{quote, unquote};
pub use series::{SequenceValue, SeriesDescription, SeriesItem, parse_series_description};
