//! A parsed template.

/// A place in the text, in bytes: from, to.
pub(crate) type Span = (usize, usize);

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    /// Prints the value, unless it goes into variables.
    Print(Pipe),
    If(Box<Branch>),
    With(Box<Branch>),
    Range(Box<Branch>),
    Call(Call),
    Break,
    Continue,
}

/// What `if`, `with` and `range` have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Vec<Node>,
}

/// `{{template "name" pipe}}`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub span: Span,
    pub name: String,
    pub pipe: Option<Pipe>,
}

/// Commands, each of whose values is the last argument of the next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pipe {
    pub span: Span,
    /// Variables that get the value.
    pub variables: Vec<String>,
    /// `=` in place of `:=`.
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// A value, or a function with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Command {
    pub span: Span,
    pub terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Term {
    pub span: Span,
    pub kind: TermKind,
    /// `.a.b` behind it.
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TermKind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    Variable(String),
    Function(String),
    Nested(Pipe),
}
