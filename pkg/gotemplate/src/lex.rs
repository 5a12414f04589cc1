//! A template's text as tokens.

use crate::Error;
use crate::ast::Span;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// Between actions, spaces trimmed.
    Text(String),
    Open,
    Close,
    Space,
    Declare,
    Assign,
    Pipe,
    Comma,
    LeftParen,
    RightParen,
    Dot,
    Field(String),
    Variable(String),
    /// A function, `nil`, a boolean or a keyword.
    Word(String),
    /// As it is written.
    Number(String),
    Char(String),
    String(String),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub span: Span,
}

/// What is wrong, and at which byte.
type Result<T> = std::result::Result<T, (usize, String)>;

/// Longer templates are refused.
const TEXT_BYTES_MAX: usize = 1 << 20;

pub(crate) fn tokens(name: &str, text: &str) -> std::result::Result<Vec<Token>, Error> {
    if text.len() > TEXT_BYTES_MAX {
        let why = format!("a template of {} bytes is over the limit of {TEXT_BYTES_MAX}", text.len());
        return Err(Error { name: name.to_owned(), line: 1, at: None, text: why });
    }
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new() };
    lexer.run().map_err(|(at, why)| Error {
        name: name.to_owned(),
        line: 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count(),
        at: None,
        text: why,
    })?;
    Ok(lexer.tokens)
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
}

/// Spaces as Go's templates know them.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind, len: usize) {
        self.tokens.push(Token { kind, span: (self.at, self.at + len) });
        self.at += len;
    }

    fn run(&mut self) -> Result<()> {
        let mut trims = false;
        loop {
            let rest = self.rest();
            let plain = &rest[..rest.find("{{").unwrap_or(rest.len())];
            let len = plain.len();
            let ends = len == rest.len();
            let mut shown = if trims { plain.trim_start_matches(is_space) } else { plain };
            let body = rest.get(len + 2..).unwrap_or("");
            let trims_before = body.starts_with('-') && body[1..].starts_with(is_space);
            if trims_before {
                shown = shown.trim_end_matches(is_space);
            }
            if !shown.is_empty() {
                let span = (self.at, self.at + len);
                self.tokens.push(Token { kind: Kind::Text(shown.to_owned()), span });
            }
            self.at += len;
            if ends {
                return Ok(());
            }
            let marker = if trims_before { 2 } else { 0 };
            trims = match body[marker..].starts_with("/*") {
                true => self.comment(2 + marker)?,
                false => self.action(2 + usize::from(trims_before))?,
            };
        }
    }

    /// A comment; whether spaces behind it are trimmed.
    fn comment(&mut self, len: usize) -> Result<bool> {
        let body = &self.rest()[len..];
        let Some(end) = body.find("*/") else { return Err((self.at, "unclosed comment".to_owned())) };
        let after = &body[end + 2..];
        let trims = after.strip_prefix(is_space).is_some_and(|after| after.starts_with("-}}"));
        if !trims && !after.starts_with("}}") {
            return Err((self.at, "comment ends before closing delimiter".to_owned()));
        }
        self.at += len + end + 2 + if trims { 4 } else { 2 };
        Ok(trims)
    }

    /// An action up to its end; whether spaces behind it are trimmed.
    fn action(&mut self, len: usize) -> Result<bool> {
        self.push(Kind::Open, len);
        let mut depth = 0_usize;
        loop {
            let rest = self.rest();
            let Some(first) = rest.chars().next() else { return Err((self.at, "unclosed action".to_owned())) };
            let spaces = rest.len() - rest.trim_start_matches(is_space).len();
            let (trims, end) = match rest[spaces..].starts_with("-}}") && spaces > 0 {
                true => (true, spaces + 3),
                false => (false, 2),
            };
            if trims || rest.starts_with("}}") {
                if depth > 0 {
                    return Err((self.at, "unclosed left paren".to_owned()));
                }
                self.push(Kind::Close, end);
                return Ok(trims);
            }
            match first {
                _ if spaces > 0 => self.push(Kind::Space, spaces),
                '(' => {
                    depth += 1;
                    self.push(Kind::LeftParen, 1);
                }
                ')' => {
                    depth = depth.checked_sub(1).ok_or((self.at, "unexpected right paren".to_owned()))?;
                    self.push(Kind::RightParen, 1);
                }
                _ => self.token(first)?,
            }
        }
    }

    fn token(&mut self, first: char) -> Result<()> {
        let rest = self.rest();
        let digit_follows = |at: usize| rest[at..].starts_with(|c: char| c.is_ascii_digit());
        match first {
            ':' if rest.starts_with(":=") => self.push(Kind::Declare, 2),
            ':' => return Err((self.at, "expected :=".to_owned())),
            '=' => self.push(Kind::Assign, 1),
            '|' => self.push(Kind::Pipe, 1),
            ',' => self.push(Kind::Comma, 1),
            '"' => self.quoted('"', "unterminated quoted string")?,
            '\'' => self.quoted('\'', "unterminated character constant")?,
            '`' => {
                let end = rest[1..].find('`').ok_or((self.at, "unterminated raw quoted string".to_owned()))?;
                self.push(Kind::String(rest[..end + 2].to_owned()), end + 2);
            }
            '.' if !digit_follows(1) => {
                let len = word_len(&rest[1..]);
                let kind = if len == 0 { Kind::Dot } else { Kind::Field(rest[1..=len].to_owned()) };
                self.ends_well(1 + len)?;
                self.push(kind, 1 + len);
            }
            '$' => {
                let len = 1 + word_len(&rest[1..]);
                self.ends_well(len)?;
                self.push(Kind::Variable(rest[..len].to_owned()), len);
            }
            '+' | '-' | '.' | '0'..='9' => self.number()?,
            c if is_word(c) => {
                let len = word_len(rest);
                self.ends_well(len)?;
                self.push(Kind::Word(rest[..len].to_owned()), len);
            }
            c => return Err((self.at, format!("unrecognized character in action: {}", code_point(c)))),
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, unclosed: &str) -> Result<()> {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                '\n' => break,
                c if c == quote => {
                    let text = rest[..=at].to_owned();
                    self.push(if quote == '"' { Kind::String(text) } else { Kind::Char(text) }, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((self.at, unclosed.to_owned()))
    }

    fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let mut len = 0;
        let mut before = ' ';
        for c in rest.chars() {
            let sign = matches!(c, '+' | '-') && (len == 0 || matches!(before, 'e' | 'E' | 'p' | 'P'));
            if !(sign || c == '.' || is_word(c)) {
                break;
            }
            len += c.len_utf8();
            before = c;
        }
        self.push(Kind::Number(rest[..len].to_owned()), len);
        Ok(())
    }

    /// A field, variable or word may only be followed by what ends it.
    fn ends_well(&self, len: usize) -> Result<()> {
        match self.rest()[len..].chars().next() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(' | '=' | '}') => Ok(()),
            Some(c) => Err((self.at, format!("bad character {}", code_point(c)))),
        }
    }
}

fn word_len(text: &str) -> usize {
    text.find(|c| !is_word(c)).unwrap_or(text.len())
}

/// As Go's `%#U`.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", u32::from(c))
}
