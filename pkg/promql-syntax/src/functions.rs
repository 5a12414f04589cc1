//! The signatures of PromQL's functions.

use crate::ValueType;

/// A function's signature.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// As written.
    pub name: &'static str,
    /// Types of the arguments.
    pub args: &'static [ValueType],
    /// How many of the last ones may be left out; −1: the last one may repeat.
    pub variadic: i8,
    /// Type of the result.
    pub returns: ValueType,
    /// Behind the flag for experimental functions.
    pub experimental: bool,
}

/// All functions, by name.
pub static FUNCTIONS: &[Function] = &[];

/// The function called `name`.
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}
