//! PromQL: text to syntax tree and back. Knows nothing of storage or evaluation.

pub mod ast;
mod check;
mod error;
mod flag_labels;
mod functions;
mod json;
mod lexer;
mod number;
mod options;
mod parser;
mod pretty;
mod printer;
mod quote;
mod series;
mod series_histogram;
pub mod testlang;
mod token;
mod walk;

pub use ast::*;
pub use error::{ParseError, position};
pub use flag_labels::parse_flag_labels;
pub use functions::{FUNCTIONS, Function, Reads, function};
pub use json::to_json;
pub use labels::quote;
pub use options::ParseOptions;
pub use parser::{parse, parse_metric_labels, parse_series_matchers, parse_with};
pub use pretty::pretty;
pub use quote::unquote;
pub use series::{SequenceValue, SeriesDescription, SeriesItem, parse_series_description};
pub use walk::{selectors, walk, walk_mut};
