//! RE2 syntax (as Go's `regexp` understands it) on Rust's regex automata, with fast paths for label matching.

mod class;
mod error;
mod fast;
mod matcher;
mod node;
mod parse;
mod regex;

pub use error::{Error, Limits};
pub use matcher::Matcher;
pub use regex::{Captures, Regex};
