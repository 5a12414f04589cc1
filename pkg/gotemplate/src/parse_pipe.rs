//! Pipelines: variables, commands, terms.

use crate::Error;
use crate::ast::{Command, Pipe, Term, TermKind};
use crate::builtins;
use crate::lex::{Kind, Token};
use crate::parse::{Parser, is_keyword};
use crate::quoted::{Number, number, unquote, unquote_char};

type Result<T> = std::result::Result<T, Error>;

impl Parser<'_> {
    /// A pipeline up to the end of the action, which is taken too.
    pub(crate) fn pipe(&mut self, context: &str) -> Result<Pipe> {
        self.pipe_until(context, &Kind::Close)
    }

    fn pipe_until(&mut self, context: &str, end: &Kind) -> Result<Pipe> {
        self.deeper()?;
        self.skip_space();
        let from = self.place();
        let (variables, assigns) = self.variables_of(context)?;
        let mut commands = Vec::new();
        let to = loop {
            self.skip_space();
            if self.peek() == Some(end) {
                let to = self.end_of_last().max(from);
                self.next();
                break to;
            }
            match self.peek() {
                Some(
                    Kind::Word(_)
                    | Kind::Dot
                    | Kind::Field(_)
                    | Kind::Variable(_)
                    | Kind::Number(_)
                    | Kind::Char(_)
                    | Kind::String(_)
                    | Kind::LeftParen,
                ) => {
                    let (command, piped) = self.command()?;
                    commands.push(command);
                    if piped {
                        self.skip_space();
                        if self.peek() == Some(end) {
                            return Err(self.error(format!("missing value for {context}")));
                        }
                    }
                }
                _ => return Err(self.unexpected(context)),
            }
        };
        if commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        for (at, command) in commands.iter().enumerate().skip(1) {
            if let Some(
                TermKind::Bool(_)
                | TermKind::Int(_)
                | TermKind::Float(_)
                | TermKind::String(_)
                | TermKind::Nil
                | TermKind::Dot,
            ) = command.terms.first().filter(|term| term.fields.is_empty()).map(|term| &term.kind)
            {
                return Err(self.error(format!("non executable command in pipeline stage {}", at + 1)));
            }
        }
        // In scope from here on: the variables of a pipeline are not seen in itself.
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        self.depth -= 1;
        Ok(Pipe { span: (from, to), variables, assigns, commands })
    }

    /// `$x :=`, `$i, $x :=`, `$x =`; nothing is taken where there is none of them.
    fn variables_of(&mut self, context: &str) -> Result<(Vec<String>, bool)> {
        let mut names = Vec::new();
        let mut ahead = 0;
        let mut token = |skip_space: bool| {
            while skip_space && self.ahead(ahead) == Some(&Kind::Space) {
                ahead += 1;
            }
            let kind = self.ahead(ahead).cloned();
            ahead += 1;
            kind
        };
        let assigns = loop {
            let Some(Kind::Variable(name)) = token(true) else { return Ok((Vec::new(), false)) };
            names.push(name);
            match token(true) {
                Some(Kind::Declare) => break false,
                Some(Kind::Assign) => break true,
                Some(Kind::Comma) if context == "range" && names.len() < 2 => {}
                Some(Kind::Comma) => return Err(self.error(format!("too many declarations in {context}"))),
                _ => return Ok((Vec::new(), false)),
            }
        };
        self.advance(ahead);
        if assigns && let Some(unknown) = names.iter().find(|name| !self.variables.contains(name)) {
            return Err(self.error(format!("undefined variable {unknown:?}")));
        }
        Ok((names, assigns))
    }

    /// A command, and whether `|` follows.
    fn command(&mut self) -> Result<(Command, bool)> {
        let from = self.place();
        let mut terms = Vec::new();
        loop {
            self.skip_space();
            match self.term()? {
                Some(term) => terms.push(term),
                None => return Err(self.unexpected("operand")),
            }
            let to = self.end_of_last();
            let spaced = self.peek() == Some(&Kind::Space);
            self.skip_space();
            match self.peek() {
                Some(Kind::Pipe) => {
                    self.next();
                    return Ok((Command { span: (from, to), terms }, true));
                }
                None | Some(Kind::Close | Kind::RightParen) => {
                    return Ok((Command { span: (from, to), terms }, false));
                }
                Some(_) if spaced => {}
                Some(_) => return Err(self.unexpected("operand")),
            }
        }
    }

    fn term(&mut self) -> Result<Option<Term>> {
        let from = self.place();
        let Some(Token { kind, .. }) = self.next() else { return Err(self.error("unclosed action")) };
        let (kind, mut fields) = match kind {
            Kind::Dot => (TermKind::Dot, Vec::new()),
            Kind::Field(name) => (TermKind::Dot, vec![name]),
            Kind::Variable(name) if self.variables.contains(&name) => (TermKind::Variable(name), Vec::new()),
            Kind::Variable(name) => return Err(self.error(format!("undefined variable {name:?}"))),
            Kind::Word(word) => (self.word(word)?, Vec::new()),
            Kind::Number(text) => match number(&text) {
                Some(Number::Int(n)) => (TermKind::Int(n), Vec::new()),
                Some(Number::Float(f)) => (TermKind::Float(f), Vec::new()),
                None => return Err(self.error(format!("bad number syntax: {text:?}"))),
            },
            Kind::Char(text) => match unquote_char(&text) {
                Some(code) => (TermKind::Int(code), Vec::new()),
                None => return Err(self.error(format!("malformed character constant: {text}"))),
            },
            Kind::String(text) => match unquote(&text) {
                Some(text) => (TermKind::String(text), Vec::new()),
                None => return Err(self.error("invalid syntax")),
            },
            Kind::LeftParen => {
                (TermKind::Nested(self.pipe_until("parenthesized pipeline", &Kind::RightParen)?), Vec::new())
            }
            _ => {
                self.advance_back();
                return Ok(None);
            }
        };
        while let Some(Kind::Field(name)) = self.peek() {
            fields.push(name.clone());
            self.next();
        }
        let constant = matches!(
            kind,
            TermKind::Nil | TermKind::Bool(_) | TermKind::Int(_) | TermKind::Float(_) | TermKind::String(_)
        );
        if constant && !fields.is_empty() {
            return Err(self.error(format!("unexpected . after term {:?}", self.since(from))));
        }
        Ok(Some(Term { span: (from, self.end_of_last()), kind, fields }))
    }

    fn word(&mut self, word: String) -> Result<TermKind> {
        match word.as_str() {
            "true" => Ok(TermKind::Bool(true)),
            "false" => Ok(TermKind::Bool(false)),
            "nil" => Ok(TermKind::Nil),
            word if is_keyword(word) => Err(self.error(format!("unexpected <{word}> in operand"))),
            _ if builtins::is_builtin(&word) || self.functions.has(&word) => Ok(TermKind::Function(word)),
            _ => Err(self.error(format!("function {word:?} not defined"))),
        }
    }
}
