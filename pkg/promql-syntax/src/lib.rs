//! PromQL: text to syntax tree and back. Knows nothing of storage or evaluation.

pub mod ast;
mod functions;
mod parser;

pub use ast::*;
pub use functions::{FUNCTIONS, Function, function};
pub use parser::{ParseError, parse, parse_series_matchers};
