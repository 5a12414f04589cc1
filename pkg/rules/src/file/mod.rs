//! Rule files.

mod parse;
mod rule;
mod spec;

pub use parse::{NameScheme, ParseOptions, Wrong, parse};
pub use spec::{AlertSpec, GroupSpec, RuleSpec};
