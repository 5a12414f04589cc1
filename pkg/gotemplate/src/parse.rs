//! Tokens to nodes: actions and what they enclose. Pipelines are in [`crate::parse_pipe`].

use std::collections::BTreeMap;

use crate::ast::{Branch, Call, Node, Pipe};
use crate::lex::{Kind, Token, tokens};
use crate::quoted::unquote;
use crate::{Error, Functions};

/// Deeper templates are refused.
pub(crate) const DEPTH_MAX: usize = 64;

pub(crate) struct Parser<'p> {
    name: &'p str,
    text: &'p str,
    pub(crate) functions: &'p dyn Functions,
    tokens: Vec<Token>,
    at: usize,
    /// Variables that are in scope.
    pub(crate) variables: Vec<String>,
    outer: usize,
    defined: BTreeMap<String, Vec<Node>>,
    ranges: usize,
    pub(crate) depth: usize,
}

type Result<T> = std::result::Result<T, Error>;
type Templates = (Vec<Node>, BTreeMap<String, Vec<Node>>);

/// What ended a list of nodes.
#[derive(Debug, PartialEq)]
enum Stop {
    EndOfText,
    End,
    Else,
    /// `else if`, `else with`: the word is next.
    ElseThen(String),
}

impl<'p> Parser<'p> {
    pub(crate) fn new(name: &'p str, text: &'p str, functions: &'p dyn Functions, variables: &[&str]) -> Result<Self> {
        let variables: Vec<String> = std::iter::once("$").chain(variables.iter().copied()).map(str::to_owned).collect();
        let outer = variables.len();
        let tokens = tokens(name, text)?;
        let defined = BTreeMap::new();
        Ok(Self { name, text, functions, tokens, at: 0, variables, outer, defined, ranges: 0, depth: 0 })
    }

    pub(crate) fn run(mut self) -> Result<Templates> {
        match self.nodes()? {
            (nodes, Stop::EndOfText) => Ok((nodes, self.defined)),
            (_, Stop::End) => Err(self.error("unexpected {{end}}")),
            (_, _) => Err(self.error("unexpected {{else}}")),
        }
    }

    pub(crate) fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// The token so many places ahead.
    pub(crate) fn ahead(&self, places: usize) -> Option<&Kind> {
        self.tokens.get(self.at + places).map(|token| &token.kind)
    }

    pub(crate) fn advance(&mut self, places: usize) {
        self.at += places;
    }

    pub(crate) fn advance_back(&mut self) {
        self.at -= 1;
    }

    /// The text from a place to the end of the token before.
    pub(crate) fn since(&self, from: usize) -> &str {
        &self.text[from..self.end_of_last().max(from)]
    }

    pub(crate) fn skip_space(&mut self) {
        while self.peek() == Some(&Kind::Space) {
            self.at += 1;
        }
    }

    /// Where the next token begins.
    pub(crate) fn place(&self) -> usize {
        self.tokens.get(self.at).map_or(self.text.len(), |token| token.span.0)
    }

    /// Where the token before ended.
    pub(crate) fn end_of_last(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.1)
    }

    /// An error at the token before.
    pub(crate) fn error(&self, text: impl Into<String>) -> Error {
        let last = self.at.min(self.tokens.len()).checked_sub(1);
        let at = last.and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.0);
        let line = 1 + self.text[..at].matches('\n').count();
        Error { name: self.name.to_owned(), line, at: None, text: text.into() }
    }

    pub(crate) fn unexpected(&mut self, context: &str) -> Error {
        let token = self.next();
        self.unexpected_token(token, context)
    }

    pub(crate) fn unexpected_token(&self, token: Option<Token>, context: &str) -> Error {
        let shown = match token {
            None => "EOF".to_owned(),
            Some(Token { kind: Kind::Word(word), .. }) if is_keyword(&word) => format!("<{word}>"),
            Some(token) => labels::quote(&self.text[token.span.0..token.span.1]),
        };
        self.error(format!("unexpected {shown} in {context}"))
    }

    pub(crate) fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
        }
        Ok(())
    }

    /// Nodes up to `end`, `else` or the end of the text.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop)> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            match self.next() {
                None => break Stop::EndOfText,
                Some(Token { kind: Kind::Text(text), .. }) => nodes.push(Node::Text(text)),
                Some(_) => {
                    self.skip_space();
                    let word = match self.peek() {
                        Some(Kind::Word(word)) if is_keyword(word) => word.clone(),
                        _ => {
                            nodes.push(Node::Print(self.pipe("command")?));
                            continue;
                        }
                    };
                    self.at += 1;
                    match word.as_str() {
                        "end" => {
                            self.close("end")?;
                            break Stop::End;
                        }
                        "else" => break self.after_else()?,
                        "define" => self.define()?,
                        word => nodes.push(self.keyword(word)?),
                    }
                }
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    fn after_else(&mut self) -> Result<Stop> {
        self.skip_space();
        match self.peek() {
            Some(Kind::Word(word)) if matches!(word.as_str(), "if" | "with") => {
                let word = word.clone();
                self.at += 1;
                Ok(Stop::ElseThen(word))
            }
            _ => self.close("else").map(|()| Stop::Else),
        }
    }

    fn close(&mut self, context: &str) -> Result<()> {
        self.skip_space();
        match self.peek() {
            Some(Kind::Close) => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.unexpected(context)),
        }
    }

    fn keyword(&mut self, word: &str) -> Result<Node> {
        Ok(match word {
            "if" => Node::If(self.branch(word)?),
            "with" => Node::With(self.branch(word)?),
            "range" => {
                self.ranges += 1;
                let node = Node::Range(self.branch(word)?);
                self.ranges -= 1;
                node
            }
            "break" | "continue" => {
                if self.ranges == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close(word)?;
                if word == "break" { Node::Break } else { Node::Continue }
            }
            "template" | "block" => self.call(word)?,
            _ => {
                self.at -= 1;
                return Err(self.unexpected("command"));
            }
        })
    }

    fn branch(&mut self, word: &str) -> Result<Box<Branch>> {
        self.deeper()?;
        let scope = self.variables.len();
        let pipe = self.pipe(word)?;
        let (body, end) = self.nodes()?;
        let otherwise = match end {
            Stop::End => Vec::new(),
            Stop::Else => match self.nodes()? {
                (nodes, Stop::End) => nodes,
                (_, Stop::EndOfText) => return Err(self.error("unexpected EOF")),
                (_, _) => return Err(self.error("expected end; found {{else}}")),
            },
            Stop::ElseThen(next) if next == word => vec![match word {
                "if" => Node::If(self.branch(word)?),
                _ => Node::With(self.branch(word)?),
            }],
            Stop::ElseThen(next) => {
                return Err(self.error(format!("unexpected <{next}> in else")));
            }
            Stop::EndOfText => return Err(self.error("unexpected EOF")),
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Box::new(Branch { pipe, body, otherwise }))
    }

    fn template_name(&mut self, context: &str) -> Result<String> {
        self.skip_space();
        match self.next() {
            Some(Token { kind: Kind::String(text), .. }) => {
                unquote(&text).ok_or_else(|| self.error(format!("invalid string {text}")))
            }
            token => Err(self.unexpected_token(token, context)),
        }
    }

    /// `template "name" pipe`, or `block "name" pipe`, which defines it too.
    fn call(&mut self, word: &str) -> Result<Node> {
        let from = self.place();
        let context = if word == "block" { "block clause" } else { "template clause" };
        let name = self.template_name(context)?;
        self.skip_space();
        let mut pipe: Option<Pipe> = None;
        if word == "template" && self.peek() == Some(&Kind::Close) {
            self.at += 1;
        } else {
            pipe = Some(self.pipe(context)?);
        }
        if word == "block" {
            self.body_of(name.clone())?;
        }
        Ok(Node::Call(Call { span: (from, self.end_of_last().max(from)), name, pipe }))
    }

    fn define(&mut self) -> Result<()> {
        if self.depth > 1 {
            return Err(self.error("unexpected {{define}}"));
        }
        let name = self.template_name("define clause")?;
        self.close("define clause")?;
        self.body_of(name)
    }

    /// Nodes up to `end`, as a template of their own: variables of others are not seen in it.
    fn body_of(&mut self, name: String) -> Result<()> {
        let ranges = std::mem::take(&mut self.ranges);
        let variables = self.variables.clone();
        self.variables.truncate(self.outer);
        let (nodes, end) = self.nodes()?;
        if end != Stop::End {
            let what = if end == Stop::EndOfText { "unexpected EOF" } else { "unexpected {{else}} in define clause" };
            return Err(self.error(what));
        }
        self.variables = variables;
        self.ranges = ranges;
        self.defined.insert(name, nodes);
        Ok(())
    }
}

pub(crate) fn is_keyword(word: &str) -> bool {
    matches!(word, "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with")
}
