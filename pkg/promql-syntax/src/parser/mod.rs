//! Text to syntax tree: recursive descent with operator precedence.
//!
//! Error texts name what an LALR parser with Prometheus' grammar would expect. There, an unexpected token is reported
//! by the innermost construct that has a rule for errors; here [`Stop::Unexpected`] travels up until a construct puts
//! its context to it with [`Within::within`].

mod duration;
mod expr;
mod modifier;
mod selector;

use labels::{Labels, Matcher};

use crate::check::check;
use crate::error::ParseError;
use crate::lexer::Lexer;
use crate::options::ParseOptions;
use crate::token::{Tok, Token};
use crate::{Expr, Span};

/// Parses a query with everything experimental on, and checks its types.
///
/// # Errors
/// The first [`ParseError`].
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, &ParseOptions::ALL)
}

/// Parses a query and checks its types.
///
/// # Errors
/// The first [`ParseError`].
pub fn parse_with(query: &str, options: &ParseOptions) -> Result<Expr, ParseError> {
    let mut expr = run(query, options, |p| {
        if p.peek()?.tok == Tok::Eof {
            return p.fail(Span::default(), "no expression found in input");
        }
        p.expr(0)
    })?;
    check(&mut expr, query)?;
    Ok(expr)
}

/// Parses a series selector such as the API's `match[]` values. As in Prometheus' parser, a selector without any
/// condition passes here: who must refuse it tells the user why.
///
/// # Errors
/// A [`ParseError`]; also when the text is another expression.
pub fn parse_series_matchers(selector: &str) -> Result<Vec<Matcher>, ParseError> {
    let vector = run(selector, &ParseOptions::ALL, Parser::vector_selector)?;
    Ok(vector.matchers.to_vec())
}

/// Parses a metric as text shows it: `name{label="value"}`.
///
/// # Errors
/// A [`ParseError`]; also for matchers other than `=`.
pub fn parse_metric_labels(metric: &str) -> Result<Labels, ParseError> {
    run(metric, &ParseOptions::ALL, Parser::metric)
}

/// Parses the metric at the start of a series description; also where it ends.
pub(crate) fn parse_metric_prefix(text: &str, options: &ParseOptions) -> Result<(Labels, usize), ParseError> {
    let mut parser = Parser::new(text, options);
    parser.metric_prefix().map_err(|stop| parser.into_error(stop))
}

fn run<'a, T>(
    text: &'a str,
    options: &'a ParseOptions,
    rule: impl FnOnce(&mut Parser<'a>) -> Parsed<T>,
) -> Result<T, ParseError> {
    if text.len() > options.max_length {
        let message = format!("query of {} bytes is longer than the limit of {}", text.len(), options.max_length);
        return Err(ParseError::new(text, Span::default(), message));
    }
    let mut parser = Parser::new(text, options);
    let result = rule(&mut parser).and_then(|value| {
        parser.expect(Tok::Eof)?;
        Ok(value)
    });
    result.map_err(|stop| parser.into_error(stop))
}

#[derive(Debug)]
pub(crate) enum Stop {
    /// A token that no rule takes; no construct has said yet what it expected.
    Unexpected(Token),
    Error(Box<ParseError>),
}

pub(crate) type Parsed<T> = Result<T, Stop>;

/// Parser state: the text, one token of lookahead.
#[derive(Debug)]
pub(crate) struct Parser<'a> {
    text: &'a str,
    options: &'a ParseOptions,
    lexer: Lexer<'a>,
    ahead: Option<Token>,
    /// The end of the last closing bracket, number or duration read so far, lookahead included: the reference ends
    /// calls and modifiers there.
    last_closing: usize,
    nesting: usize,
    /// Memory of the regular expressions compiled so far.
    regex_bytes: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, options: &'a ParseOptions) -> Self {
        Self { text, options, lexer: Lexer::new(text), ahead: None, last_closing: 0, nesting: 0, regex_bytes: 0 }
    }

    /// The next token, left where it is.
    fn peek(&mut self) -> Parsed<Token> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = match self.lexer.next_token() {
            Ok(token) => token,
            Err(e) => return self.fail(Span { start: e.start, end: self.text.len() }, e.message),
        };
        if matches!(token.tok, Tok::RightBrace | Tok::RightParen | Tok::RightBracket | Tok::Duration | Tok::Number) {
            self.last_closing = token.end;
        }
        self.ahead = Some(token);
        Ok(token)
    }

    fn next(&mut self) -> Parsed<Token> {
        let token = self.peek()?;
        self.ahead = None;
        Ok(token)
    }

    fn accept(&mut self, tok: Tok) -> Parsed<Option<Token>> {
        if self.peek()?.tok == tok { self.next().map(Some) } else { Ok(None) }
    }

    fn expect(&mut self, tok: Tok) -> Parsed<Token> {
        let token = self.peek()?;
        if token.tok == tok { self.next() } else { Err(Stop::Unexpected(token)) }
    }

    fn unexpected<T>(&mut self) -> Parsed<T> {
        Err(Stop::Unexpected(self.peek()?))
    }

    fn slice(&self, token: Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(Stop::Error(Box::new(ParseError::new(self.text, span, message))))
    }

    fn into_error(self, stop: Stop) -> ParseError {
        match stop {
            Stop::Error(e) => *e,
            Stop::Unexpected(token) => {
                let message = format!("unexpected {}", token.describe(self.slice(token)));
                ParseError::new(self.text, token.span(), message)
            }
        }
    }

    /// Runs `rule` one level deeper.
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.nesting >= self.options.max_nesting {
            let at = self.peek()?.span();
            return self.fail(at, format!("expression nested deeper than {} levels", self.options.max_nesting));
        }
        self.nesting += 1;
        let result = rule(self);
        self.nesting -= 1;
        result
    }

    /// Names the construct in which a token was unexpected, and what may stand there (`""`: not known).
    fn within<T>(&self, result: Parsed<T>, context: &str, expected: &str) -> Parsed<T> {
        result.map_err(|stop| match stop {
            Stop::Error(e) => Stop::Error(e),
            Stop::Unexpected(token) => {
                let mut message = format!("unexpected {} in {context}", token.describe(self.slice(token)));
                if !expected.is_empty() {
                    message.push_str(", expected ");
                    message.push_str(expected);
                }
                Stop::Error(Box::new(ParseError::new(self.text, token.span(), message)))
            }
        })
    }
}

impl Token {
    pub(crate) fn span(self) -> Span {
        Span { start: self.start, end: self.end }
    }
}
