//! Expressions: operators by precedence, operands, calls, aggregations.

use super::{Parsed, Parser};
use crate::number::parse_number;
use labels::quote;

use crate::quote::{quote_bytes, unquote};
use crate::token::{Tok, Token};
use crate::{Aggregate, AggregateOp, Binary, BinaryOp, Call, Expr, NumberLiteral, Paren, Span, StringLiteral, Unary};

/// Signs bind like `*`: only `^` and what follows a selector bind tighter.
const SIGN: u8 = 5;

impl Tok {
    /// The operator, how tight it binds, and whether it groups to the right.
    pub(super) fn binary(self) -> Option<(BinaryOp, u8, bool)> {
        use BinaryOp as B;
        Some(match self {
            Self::Or => (B::Or, 1, false),
            Self::And => (B::And, 2, false),
            Self::Unless => (B::Unless, 2, false),
            Self::Equal => (B::Equal, 3, false),
            Self::NotEqual => (B::NotEqual, 3, false),
            Self::GreaterEqual => (B::GreaterEqual, 3, false),
            Self::Greater => (B::Greater, 3, false),
            Self::Less => (B::Less, 3, false),
            Self::LessEqual => (B::LessEqual, 3, false),
            Self::TrimUpper => (B::TrimUpper, 3, false),
            Self::TrimLower => (B::TrimLower, 3, false),
            Self::Add => (B::Add, 4, false),
            Self::Sub => (B::Sub, 4, false),
            Self::Mul => (B::Mul, SIGN, false),
            Self::Div => (B::Div, SIGN, false),
            Self::Mod => (B::Mod, SIGN, false),
            Self::Atan2 => (B::Atan2, SIGN, false),
            Self::Pow => (B::Pow, 6, true),
            _ => return None,
        })
    }
}

impl Parser<'_> {
    /// An expression whose operators all bind at least as tight as `min`.
    pub(super) fn expr(&mut self, min: u8) -> Parsed<Expr> {
        self.nested(|p| {
            let mut lhs = p.operand()?;
            let mut height = p.nesting;
            loop {
                let token = p.peek()?;
                let Some((op, binds, right)) = token.tok.binary().filter(|(_, binds, _)| *binds >= min) else {
                    return Ok(lhs);
                };
                height += 1;
                p.limit_depth(height, token)?;
                p.next()?;
                let (return_bool, matching) = p.binary_modifiers()?;
                let rhs = p.expr(if right { binds } else { binds + 1 })?;
                let span = Span { start: lhs.span().start, end: rhs.span().end };
                if !p.options.fill_modifiers && (matching.fill_left.is_some() || matching.fill_right.is_some()) {
                    return p.fail(span, "binop fill modifiers are experimental and not enabled");
                }
                lhs = Expr::Binary(Box::new(Binary { op, lhs, rhs, matching: Some(matching), return_bool, span }));
            }
        })
    }

    fn limit_depth(&self, height: usize, at: Token) -> Parsed<()> {
        if height > self.options.max_depth {
            return self.fail(at.span(), format!("expression has more than {} levels", self.options.max_depth));
        }
        Ok(())
    }

    /// A sign with its operand, or one operand with what follows it (ranges, offsets and the like).
    fn operand(&mut self) -> Parsed<Expr> {
        let token = self.peek()?;
        if !matches!(token.tok, Tok::Add | Tok::Sub) {
            let mut expr = self.primary(token)?;
            let mut height = self.nesting;
            while let Some(rest) = self.postfix(&mut expr)? {
                expr = rest;
                height += 1;
                self.limit_depth(height, token)?;
            }
            return Ok(expr);
        }
        self.next()?;
        let negative = token.tok == Tok::Sub;
        let expr = self.expr(SIGN + 1)?;
        Ok(match expr {
            Expr::Number(mut number) => {
                if negative {
                    number.value = -number.value;
                }
                number.span.start = token.start;
                Expr::Number(number)
            }
            expr => {
                let span = Span { start: token.start, end: expr.span().end };
                Expr::Unary(Box::new(Unary { negative, expr, span }))
            }
        })
    }

    fn primary(&mut self, token: Token) -> Parsed<Expr> {
        match token.tok {
            Tok::Number | Tok::Duration => self.number_literal().map(Expr::Number),
            Tok::Text => {
                self.next()?;
                let value = self.unquoted(token)?;
                let quoted = quote_bytes(self.slice(token)).map(Into::into);
                Ok(Expr::String(StringLiteral { value, quoted, span: token.span() }))
            }
            Tok::LeftParen => {
                self.next()?;
                let expr = self.expr(0)?;
                let close = self.expect(Tok::RightParen)?;
                Ok(Expr::Paren(Box::new(Paren { expr, span: Span { start: token.start, end: close.end } })))
            }
            Tok::Aggregator(op) => {
                self.next()?;
                let ahead = self.peek()?.tok;
                if matches!(ahead, Tok::LeftParen | Tok::By | Tok::Without) {
                    let result = self.aggregate(op, token);
                    return self.within(result, "aggregation", "");
                }
                self.vector_after_name(token).map(|v| Expr::Vector(Box::new(v)))
            }
            Tok::Identifier | Tok::Start | Tok::End | Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf => {
                self.next()?;
                if self.peek()?.tok == Tok::LeftParen {
                    return self.call(token);
                }
                self.vector_after_name(token).map(|v| Expr::Vector(Box::new(v)))
            }
            _ => self.vector_selector().map(|v| Expr::Vector(Box::new(v))),
        }
    }

    /// A number, or a duration that stands for its seconds.
    pub(super) fn number_literal(&mut self) -> Parsed<NumberLiteral> {
        let token = self.peek()?;
        let (value, is_duration) = match token.tok {
            Tok::Number => match parse_number(self.slice(token)) {
                Ok(value) => (value, false),
                Err(why) => return self.fail(token.span(), format!("error parsing number: {why}")),
            },
            Tok::Duration => match model::parse_duration(self.slice(token)) {
                Ok(ms) => ((ms / 1000) as f64 + (ms % 1000) as f64 / 1e3, true),
                Err(e) => return self.fail(token.span(), e.to_string()),
            },
            _ => return self.unexpected(),
        };
        self.next()?;
        Ok(NumberLiteral { value, is_duration, span: token.span() })
    }

    /// The value of a quoted text.
    pub(super) fn unquoted(&self, token: Token) -> Parsed<String> {
        let text = self.slice(token);
        match unquote(text) {
            Some(value) => Ok(value),
            None => self.fail(token.span(), format!("error unquoting string {}: invalid syntax", quote(text))),
        }
    }

    fn call(&mut self, name: Token) -> Parsed<Expr> {
        let args = self.call_args()?;
        let text = self.slice(name);
        let Some(function) = crate::function(text) else {
            return self.fail(name.span(), format!("unknown function with name {}", quote(text)));
        };
        if function.experimental && !self.options.experimental_functions {
            return self.fail(name.span(), format!("function {} is not enabled", quote(text)));
        }
        let span = Span { start: name.start, end: self.last_closing };
        Ok(Expr::Call(Box::new(Call { function, args, span })))
    }

    fn call_args(&mut self) -> Parsed<Vec<Expr>> {
        self.expect(Tok::LeftParen)?;
        let mut args = Vec::new();
        if self.accept(Tok::RightParen)?.is_some() {
            return Ok(args);
        }
        loop {
            args.push(self.expr(0)?);
            let Some(comma) = self.accept(Tok::Comma)? else {
                self.expect(Tok::RightParen)?;
                return Ok(args);
            };
            if !self.peek()?.tok.starts_expression() {
                return self.fail(comma.span(), "trailing commas not allowed in function call args");
            }
        }
    }

    fn aggregate(&mut self, op: AggregateOp, name: Token) -> Parsed<Expr> {
        let mut modifier = self.aggregate_modifier()?;
        let mut args = self.call_args()?;
        let mut span = Span { start: name.start, end: self.last_closing };
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            if modifier.is_some() {
                span.end = self.last_closing;
            }
        }
        if args.is_empty() {
            return self.fail(span, "no arguments for aggregate expression provided");
        }
        if matches!(op, AggregateOp::LimitK | AggregateOp::LimitRatio) && !self.options.experimental_functions {
            let message = format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.as_str()
            );
            return self.fail(span, message);
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        let got = args.len();
        let (Some(expr), param, true) = (args.pop(), args.pop(), got == wanted) else {
            let message =
                format!("wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}");
            return self.fail(span, message);
        };
        let (without, grouping) = modifier.unwrap_or_default();
        Ok(Expr::Aggregate(Box::new(Aggregate { op, expr, param, grouping, without, span })))
    }

    /// `by (…)`, `without (…)`: whether it is `without`, and the labels.
    fn aggregate_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.peek()?.tok {
            Tok::By => false,
            Tok::Without => true,
            _ => return Ok(None),
        };
        self.next()?;
        Ok(Some((without, self.grouping_labels()?)))
    }
}
