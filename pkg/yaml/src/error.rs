//! Why a text was refused, and where.

use std::fmt;

/// What is wrong, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// Line, from 1; 0 where it is not known.
    pub line: u32,
    /// Column, from 1; 0 where it is not known.
    pub column: u32,
    /// What is wrong there.
    pub text: String,
}

impl Error {
    /// An error at a place.
    pub fn at(line: u32, column: u32, text: impl Into<String>) -> Self {
        Self { line, column, text: text.into() }
    }

    /// The same error; at this place, if it has none yet.
    #[must_use]
    pub fn or_at(mut self, line: u32, column: u32) -> Self {
        if self.line == 0 {
            (self.line, self.column) = (line, column);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.text),
            (line, 0) => write!(f, "line {line}: {}", self.text),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.text),
        }
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::at(0, 0, text.to_string())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut near: Vec<&str> = expected.iter().copied().filter(|name| is_near(field, name)).collect();
        near.truncate(3);
        let hint = match near.as_slice() {
            [] => String::new(),
            near => format!("; did you mean {}?", near.join(" or ")),
        };
        Self::at(0, 0, format!("unknown key {field:?}{hint}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::at(0, 0, format!("{field} must be set"))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::at(0, 0, format!("{variant:?} is not one of {}", expected.join(", ")))
    }
}

/// Whether two names differ by one letter that is added, left out or exchanged.
fn is_near(a: &str, b: &str) -> bool {
    let same_start = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    let same_end = a.bytes().rev().zip(b.bytes().rev()).take_while(|(x, y)| x == y).count();
    let longest = a.len().max(b.len());
    a.len().abs_diff(b.len()) <= 1 && same_start + same_end + 1 >= longest
}
