//! Templates from the outside.

use std::collections::BTreeMap;
use std::fmt;

use crate::ast::{Node, Span};
use crate::exec::Exec;
use crate::limits::Work;
use crate::parse::Parser;
use crate::{CallError, Error, Limits, RenderError, Value};

/// Functions that a template may call beside Go's own.
pub trait Functions {
    /// Whether there is a function of this name.
    fn has(&self, name: &str) -> bool;

    /// Calls a function that is there, counting what it does in `work`.
    ///
    /// # Errors
    /// Wrong arguments, a limit, an answer that is wanted first.
    fn call(&self, name: &str, args: &[Value], work: &mut Work) -> Result<Value, CallError>;
}

/// Go's own functions alone.
#[derive(Debug, Clone, Copy)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn has(&self, _: &str) -> bool {
        false
    }

    fn call(&self, name: &str, _: &[Value], _: &mut Work) -> Result<Value, CallError> {
        Err(format!("function {name:?} not defined").into())
    }
}

/// A parsed template, with those that it defines.
#[derive(Clone)]
pub struct Template {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) defined: BTreeMap<String, Vec<Node>>,
    /// What a map does not have is empty, as with Go's option `missingkey=zero`; else it is `<no value>`.
    pub(crate) missing_is_zero: bool,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("name", &self.name).field("text", &self.text).finish_non_exhaustive()
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.text) == (&other.name, &other.text)
    }
}

impl Template {
    /// Reads a template. `functions` may be called in it, and `variables` (`$labels`) are set when it is rendered.
    ///
    /// # Errors
    /// The text is no template, or uses what is not there.
    pub fn parse(name: &str, text: &str, functions: &dyn Functions, variables: &[&str]) -> Result<Self, Error> {
        let (nodes, defined) = Parser::new(name, text, functions, variables)?.run()?;
        let (name, text) = (name.to_owned(), text.to_owned());
        Ok(Self { name, text, nodes, defined, missing_is_zero: false })
    }

    /// The same template; what a map does not have is empty in it.
    #[must_use]
    pub fn missing_is_zero(mut self) -> Self {
        self.missing_is_zero = true;
        self
    }

    /// The text, where there is nothing in it but text.
    pub fn plain_text(&self) -> Option<&str> {
        match self.nodes.as_slice() {
            [] => Some(""),
            [Node::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Fills the template with `dot`.
    ///
    /// # Errors
    /// A field that is not there, a wrong argument of a function, a limit, an answer that a function wants.
    pub fn render(
        &self,
        dot: &Value,
        variables: &[(&str, Value)],
        functions: &dyn Functions,
        limits: Limits,
    ) -> Result<String, RenderError> {
        if let Some(text) = self.plain_text() {
            return Ok(text.to_owned());
        }
        Exec::new(self, variables, functions, limits).run(dot)
    }

    /// An error at a part of the text.
    pub(crate) fn error(&self, span: Span, text: String) -> Error {
        let (from, to) = span;
        let before = &self.text[..from];
        let line = 1 + before.matches('\n').count();
        let column = from - before.rfind('\n').map_or(0, |at| at + 1);
        let part = self.text[from..to].trim();
        let part = match part.char_indices().nth(20) {
            Some((at, _)) => format!("{}...", &part[..at]),
            None => part.to_owned(),
        };
        Error { name: self.name.clone(), line, at: Some((column, part)), text }
    }
}
