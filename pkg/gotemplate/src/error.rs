//! What is wrong with a template, and where.

use std::fmt;

/// A template that does not parse, or fails while it is rendered. Texts have the shape of Go's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// The template's name.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Where in the line, in bytes from 0, and the part that failed; only of templates that parse.
    pub at: Option<(usize, String)>,
    /// What is wrong there.
    pub text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, at, text } = self;
        match at {
            None => write!(f, "template: {name}:{line}: {text}"),
            Some((column, part)) => {
                write!(f, "template: {name}:{line}:{column}: executing {name:?} at <{part}>: {text}")
            }
        }
    }
}

/// Why a template was not rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It fails.
    #[error(transparent)]
    Failed(#[from] Error),
    /// A function wants the answer to a question first: get it, and render again from the start.
    #[error("the answer to {0:?} is wanted")]
    Wants(String),
}

/// Why a function gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// It fails: the reason.
    Failed(String),
    /// It wants the answer to a question first.
    Wants(String),
}

impl From<String> for CallError {
    fn from(text: String) -> Self {
        Self::Failed(text)
    }
}

impl From<&str> for CallError {
    fn from(text: &str) -> Self {
        Self::Failed(text.to_owned())
    }
}
