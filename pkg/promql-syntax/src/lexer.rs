//! Text to tokens. What a character means depends on whether braces or brackets are open, as in Prometheus.

use labels::quote_char;

use crate::token::{Tok, Token};

/// A text that is no token.
#[derive(Debug)]
pub(crate) struct LexError {
    pub message: String,
    pub start: usize,
}

/// Gives one token after the other; comments and spaces are skipped.
#[derive(Debug)]
pub(crate) struct Lexer<'a> {
    input: &'a str,
    pos: usize,
    start: usize,
    paren_depth: i64,
    brace_open: bool,
    bracket_open: bool,
    /// Inside brackets and before the first number there, letters other than a duration's words are refused.
    in_duration: bool,
    got_colon: bool,
    got_duration: bool,
}

type Lexed = Result<Tok, LexError>;

impl<'a> Lexer<'a> {
    pub fn new(input: &'a str) -> Self {
        Self {
            input,
            pos: 0,
            start: 0,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            in_duration: false,
            got_colon: false,
            got_duration: false,
        }
    }

    /// The next token; [`Tok::Eof`] for ever at the end.
    pub fn next_token(&mut self) -> Result<Token, LexError> {
        self.skip_blank();
        self.start = self.pos;
        let tok = if self.brace_open {
            self.inside_braces()?
        } else if self.in_duration {
            self.duration_expression()?
        } else {
            self.statement()?
        };
        Ok(Token { tok, start: self.start, end: self.pos })
    }

    fn skip_blank(&mut self) {
        loop {
            while matches!(self.byte(0), Some(b' ' | b'\t' | b'\n' | b'\r')) {
                self.pos += 1;
            }
            if self.byte(0) != Some(b'#') || (self.in_duration && !self.brace_open) {
                return;
            }
            while !matches!(self.byte(0), None | Some(b'\n' | b'\r')) {
                self.pos += 1;
            }
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.input.as_bytes().get(self.pos + ahead).copied()
    }

    fn peek(&self) -> Option<char> {
        self.input[self.pos..].chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.pos += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let hit = self.byte(0).is_some_and(|b| set.contains(&b));
        self.pos += usize::from(hit);
        hit
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { message: message.into(), start: self.start })
    }

    /// An error that points behind the token just read.
    fn error_behind<T>(&self, message: impl Into<String>) -> Result<T, LexError> {
        Err(LexError { message: message.into(), start: self.pos })
    }

    fn statement(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            if self.paren_depth != 0 {
                return self.error("unclosed left parenthesis");
            }
            if self.bracket_open {
                return self.error("unclosed left bracket");
            }
            return Ok(Tok::Eof);
        };
        Ok(match c {
            ',' => Tok::Comma,
            '=' => match self.peek() {
                Some('=') => self.take(Tok::Equal),
                Some('~') => return self.error("unexpected character after '=': '~'"),
                _ => Tok::Assign,
            },
            '!' => match self.bump() {
                Some('=') => Tok::NotEqual,
                other => return self.error(format!("unexpected character after '!': {}", quote_char(other))),
            },
            '<' => match self.peek() {
                Some('=') => self.take(Tok::LessEqual),
                Some('/') => self.take(Tok::TrimUpper),
                _ => Tok::Less,
            },
            '>' => match self.peek() {
                Some('=') => self.take(Tok::GreaterEqual),
                Some('/') => self.take(Tok::TrimLower),
                _ => Tok::Greater,
            },
            '"' | '\'' => return self.text(c),
            '`' => return self.raw_text(),
            c if is_alpha(c) || c == ':' => {
                if self.bracket_open {
                    return self.word_in_brackets(c);
                }
                self.word()
            }
            '{' => {
                self.brace_open = true;
                Tok::LeftBrace
            }
            '[' => {
                if self.bracket_open {
                    return self.error("unexpected left bracket '['");
                }
                self.got_colon = false;
                self.bracket_open = true;
                self.in_duration = true;
                Tok::LeftBracket
            }
            ']' => {
                if !self.bracket_open {
                    return self.error("unexpected right bracket ']'");
                }
                self.bracket_open = false;
                Tok::RightBracket
            }
            '@' => Tok::At,
            c => return self.shared(c, |c| format!("unexpected character: {}", quote_char(Some(c)))),
        })
    }

    /// Inside brackets, until the first number.
    fn duration_expression(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input in duration expression");
        };
        match c {
            ']' => {
                self.bracket_open = false;
                self.in_duration = false;
                self.got_colon = false;
                Ok(Tok::RightBracket)
            }
            ':' => {
                if !self.got_duration {
                    return self.error_behind("unexpected colon before duration in duration expression");
                }
                if self.got_colon {
                    return self.error_behind("unexpected repeated colon in duration expression");
                }
                self.got_colon = true;
                Ok(Tok::Colon)
            }
            ',' => Ok(Tok::Comma),
            c if starts_duration_keyword(c) => match self.duration_keyword() {
                Some(tok) => Ok(tok),
                None => self.error(format!("unexpected character in duration expression: {}", quote_char(Some(c)))),
            },
            c => self.shared(c, |c| format!("unexpected character in duration expression: {}", quote_char(Some(c)))),
        }
    }

    /// Parentheses, arithmetic and numbers: the same in and out of brackets.
    fn shared(&mut self, c: char, unexpected: impl Fn(char) -> String) -> Lexed {
        Ok(match c {
            '*' => Tok::Mul,
            '/' => Tok::Div,
            '%' => Tok::Mod,
            '+' => Tok::Add,
            '-' => Tok::Sub,
            '^' => Tok::Pow,
            '(' => {
                self.paren_depth += 1;
                Tok::LeftParen
            }
            ')' => {
                self.paren_depth -= 1;
                if self.paren_depth < 0 {
                    return self.error_behind("unexpected right parenthesis ')'");
                }
                Tok::RightParen
            }
            c if c.is_ascii_digit() || (c == '.' && self.byte(0).is_some_and(|b| b.is_ascii_digit())) => {
                self.pos = self.start;
                self.got_duration |= self.in_duration;
                self.in_duration = false;
                return self.number_or_duration();
            }
            c => return self.error(unexpected(c)),
        })
    }

    fn take(&mut self, tok: Tok) -> Tok {
        self.pos += 1;
        tok
    }

    fn word_in_brackets(&mut self, c: char) -> Lexed {
        if c == ':' {
            if self.got_colon {
                return self.error("unexpected colon ':'");
            }
            self.got_colon = true;
            return Ok(Tok::Colon);
        }
        if starts_duration_keyword(c)
            && let Some(tok) = self.duration_keyword()
        {
            return Ok(tok);
        }
        self.error(format!("unexpected character: {}, expected ':'", quote_char(Some(c))))
    }

    /// The rest of `step`, `range`, `max_of`, `min_of`; the first letter is read.
    fn duration_keyword(&mut self) -> Option<Tok> {
        while self.peek().is_some_and(is_alpha) {
            self.pos += 1;
        }
        Tok::duration_keyword(&self.input[self.start..self.pos].to_ascii_lowercase())
    }

    fn word(&mut self) -> Tok {
        while self.peek().is_some_and(|c| is_alphanumeric(c) || c == ':') {
            self.pos += 1;
        }
        let word = &self.input[self.start..self.pos];
        match Tok::keyword(word) {
            // `fill` is a metric's name unless it is called.
            Some(Tok::Fill | Tok::FillLeft | Tok::FillRight)
                if !self.input[self.pos..].trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(') =>
            {
                Tok::Identifier
            }
            Some(tok) => tok,
            None if word.contains(':') => Tok::MetricIdentifier,
            None => Tok::Identifier,
        }
    }

    fn inside_braces(&mut self) -> Lexed {
        let Some(c) = self.bump() else {
            return self.error("unexpected end of input inside braces");
        };
        Ok(match c {
            c if is_alpha(c) => {
                while self.peek().is_some_and(is_alphanumeric) {
                    self.pos += 1;
                }
                Tok::Identifier
            }
            ',' => Tok::Comma,
            '"' | '\'' => return self.text(c),
            '`' => return self.raw_text(),
            '=' if self.peek() == Some('~') => self.take(Tok::RegexMatch),
            '=' => Tok::Assign,
            '!' => match self.bump() {
                Some('~') => Tok::RegexNotMatch,
                Some('=') => Tok::NotEqual,
                other => {
                    return self.error(format!("unexpected character after '!' inside braces: {}", quote_char(other)));
                }
            },
            '{' => return self.error("unexpected left brace '{'"),
            '}' => {
                self.brace_open = false;
                Tok::RightBrace
            }
            c => return self.error(format!("unexpected character inside braces: {}", quote_char(Some(c)))),
        })
    }

    fn text(&mut self, quote: char) -> Lexed {
        loop {
            match self.bump() {
                Some('\\') => self.escape(quote)?,
                Some('\u{fffd}') => return self.error("invalid UTF-8 rune"),
                None | Some('\n') => return self.error("unterminated quoted string"),
                Some(c) if c == quote => return Ok(Tok::Text),
                Some(_) => {}
            }
        }
    }

    fn raw_text(&mut self) -> Lexed {
        loop {
            match self.bump() {
                Some('\u{fffd}') => return self.error("invalid UTF-8 rune"),
                None => return self.error("unterminated raw string"),
                Some('`') => return Ok(Tok::Text),
                Some(_) => {}
            }
        }
    }

    fn escape(&mut self, quote: char) -> Result<(), LexError> {
        let (count, base, max) = match self.bump() {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => return Ok(()),
            Some(c) if c == quote => return Ok(()),
            Some('0'..='7') => {
                self.pos -= 1;
                (3, 8, 255)
            }
            Some('x') => (2, 16, 255),
            Some('u') => (4, 16, 0x10_ffff),
            Some('U') => (8, 16, 0x10_ffff),
            None => return self.error("escape sequence not terminated"),
            Some(c) => return self.error(format!("unknown escape sequence {}", code_point(c))),
        };
        let mut value = 0u32;
        for _ in 0..count {
            let Some(c) = self.bump() else {
                return self.error("escape sequence not terminated");
            };
            let Some(digit) = c.to_digit(base) else {
                return self.error(format!("illegal character {} in escape sequence", code_point(c)));
            };
            value = value.wrapping_mul(base).wrapping_add(digit);
        }
        if value > max || (0xd800..0xe000).contains(&value) {
            return self.error("escape sequence is an invalid Unicode code point");
        }
        Ok(())
    }

    fn number_or_duration(&mut self) -> Lexed {
        if self.scan_number() {
            return Ok(Tok::Number);
        }
        if self.scan_duration() {
            return Ok(Tok::Duration);
        }
        let read = &self.input[self.start..self.pos];
        self.error(format!("bad number or duration syntax: {}", labels::quote(read)))
    }

    /// Reads what looks like a number; where it fails, the position stays behind the offending character, because
    /// the message shows the text up to there.
    fn scan_number(&mut self) -> bool {
        let mut digits: &[u8] = b"0123456789";
        if self.accept(b"0") && self.accept(b"xX") {
            self.accept(b"_");
            digits = b"0123456789abcdefABCDEF";
        }
        self.accept(b".");
        self.accept(digits);
        let (mut dot, mut exponent) = (false, false);
        while let Some(b) = self.byte(0) {
            match b {
                b'.' => {
                    self.pos += 1;
                    if dot || self.accept(b"_.") || digits.len() > 10 {
                        return false;
                    }
                    dot = true;
                }
                b'e' | b'E' => {
                    self.pos += 1;
                    if exponent {
                        return false;
                    }
                    exponent = true;
                    self.accept(b"+-");
                    if self.accept(b"._eE") || self.byte(0).is_none() {
                        return false;
                    }
                }
                b'_' => {
                    self.pos += 1;
                    if self.accept(b"._eE") || self.byte(0).is_none() {
                        return false;
                    }
                }
                b if digits.contains(&b) => self.pos += 1,
                _ => break,
            }
        }
        !self.peek().is_some_and(is_alphanumeric)
    }

    /// Goes on from the digits that are no number: units, with more digits and units after.
    fn scan_duration(&mut self) -> bool {
        if !self.accept(b"smhdwy") {
            return false;
        }
        self.accept(b"s");
        while self.accept(b"0123456789") {
            while self.accept(b"0123456789") {}
            if !self.accept(b"smhdw") {
                return false;
            }
            self.accept(b"s");
        }
        match self.peek() {
            Some(c) if is_alphanumeric(c) => {
                self.pos += 1;
                false
            }
            _ => true,
        }
    }
}

fn starts_duration_keyword(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 's' | 'r' | 'm')
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

/// `U+0071 'q'`, as Go's `%#U`.
fn code_point(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}
