//! Lengths of time in ranges, steps and offsets: literals and arithmetic on them.

use super::{Parsed, Parser};
use crate::token::{Tok, Token};
use crate::{BinaryOp, DurationExpr, Span};

/// While parsing, a literal is kept in seconds: a sign before it changes the value, not the tree.
#[derive(Debug)]
enum Node {
    Literal { seconds: f64, is_duration: bool },
    Expr(DurationExpr),
}

#[derive(Debug)]
struct Spanned {
    node: Node,
    span: Span,
}

impl Spanned {
    fn is_zero(&self) -> bool {
        matches!(self.node, Node::Literal { seconds, .. } if seconds == 0.0)
    }

    /// As a part of a larger expression.
    fn into_part(self) -> DurationExpr {
        match self.node {
            Node::Expr(expr) => expr,
            Node::Literal { seconds, is_duration: true } => DurationExpr::Literal(to_ms(seconds)),
            Node::Literal { seconds, .. } => DurationExpr::Number(seconds),
        }
    }

    /// As the whole: a bare number is a length in seconds.
    fn into_whole(self) -> DurationExpr {
        match self.node {
            Node::Expr(expr) => expr,
            Node::Literal { seconds, .. } => DurationExpr::Literal(to_ms(seconds)),
        }
    }
}

/// Rounded to ns, then cut to ms, as the reference does.
fn to_ms(seconds: f64) -> i64 {
    (seconds * 1e9).round() as i64 / 1_000_000
}

/// Beyond 64-bit nanoseconds.
fn out_of_range(seconds: f64) -> bool {
    const LIMIT: f64 = 9_223_372_036.854_775_8;
    !(-LIMIT..=LIMIT).contains(&seconds) && !seconds.is_nan()
}

/// Signs bind like `*`.
const SIGN: u8 = 5;

impl Parser<'_> {
    /// A range or a step.
    pub(super) fn positive_duration(&mut self) -> Parsed<DurationExpr> {
        let duration = self.duration(0)?;
        if let Node::Literal { seconds, .. } = duration.node
            && seconds <= 0.0
        {
            return self.fail(duration.span, "duration must be greater than 0");
        }
        Ok(duration.into_whole())
    }

    /// An offset: a literal, a call or parentheses, each with at most one sign; `offset 5m + x` adds `x` to the
    /// series, not to the offset. Other forms are full expressions.
    pub(super) fn offset_duration(&mut self) -> Parsed<DurationExpr> {
        let token = self.peek()?;
        match token.tok {
            Tok::Add | Tok::Sub => {
                self.next()?;
                match self.peek()?.tok {
                    Tok::Add | Tok::Sub => {
                        let operand = self.duration(SIGN + 1)?;
                        let signed = self.signed(token, operand)?;
                        self.duration_operators(signed, 0).map(Spanned::into_whole)
                    }
                    _ => {
                        let operand = self.duration_operand()?;
                        self.signed(token, operand).map(Spanned::into_whole)
                    }
                }
            }
            Tok::LeftParen => self.duration(0).map(Spanned::into_whole),
            _ => self.duration_operand().map(Spanned::into_whole),
        }
    }

    fn duration(&mut self, min: u8) -> Parsed<Spanned> {
        self.nested(|p| {
            let lhs = p.duration_operand()?;
            p.duration_operators(lhs, min)
        })
    }

    fn duration_operators(&mut self, mut lhs: Spanned, min: u8) -> Parsed<Spanned> {
        let mut height = self.nesting;
        loop {
            let token = self.peek()?;
            let arithmetic = matches!(token.tok, Tok::Add | Tok::Sub | Tok::Mul | Tok::Div | Tok::Mod | Tok::Pow);
            let Some((op, binds, right)) = token.tok.binary().filter(|(_, b, _)| arithmetic && *b >= min) else {
                return Ok(lhs);
            };
            height += 1;
            if height > self.options.max_depth {
                let message = format!("expression has more than {} levels", self.options.max_depth);
                return self.fail(token.span(), message);
            }
            self.next()?;
            let rhs = self.duration(if right { binds } else { binds + 1 })?;
            self.experimental(lhs.span)?;
            match op {
                BinaryOp::Div if rhs.is_zero() => return self.fail(token.span(), "division by zero"),
                BinaryOp::Mod if rhs.is_zero() => return self.fail(token.span(), "modulo by zero"),
                _ => {}
            }
            let span = Span { start: lhs.span.start, end: rhs.span.end };
            let (lhs_part, rhs_part) = (Box::new(lhs.into_part()), Box::new(rhs.into_part()));
            let node = Node::Expr(DurationExpr::Binary { op, lhs: lhs_part, rhs: rhs_part });
            lhs = Spanned { node, span };
        }
    }

    fn duration_operand(&mut self) -> Parsed<Spanned> {
        let token = self.peek()?;
        match token.tok {
            Tok::Number | Tok::Duration => {
                let literal = self.number_literal()?;
                if out_of_range(literal.value) {
                    return self.fail(literal.span, "duration out of range");
                }
                let node = Node::Literal { seconds: literal.value, is_duration: literal.is_duration };
                Ok(Spanned { node, span: literal.span })
            }
            Tok::Add | Tok::Sub => {
                self.next()?;
                let operand = self.duration(SIGN + 1)?;
                self.signed(token, operand)
            }
            Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf => self.duration_call(token),
            Tok::LeftParen => {
                self.next()?;
                let inner = self.duration(0)?;
                let close = self.expect(Tok::RightParen)?;
                self.experimental(inner.span)?;
                let is_literal = matches!(inner.node, Node::Literal { .. });
                let span = if is_literal { Span { start: token.start, end: close.end } } else { inner.span };
                let node = match inner.into_part() {
                    // Twice the same parentheses are kept once.
                    DurationExpr::Paren(once) => DurationExpr::Paren(once),
                    other => DurationExpr::Paren(Box::new(other)),
                };
                Ok(Spanned { node: Node::Expr(node), span })
            }
            _ => self.unexpected(),
        }
    }

    fn duration_call(&mut self, name: Token) -> Parsed<Spanned> {
        self.next()?;
        self.expect(Tok::LeftParen)?;
        let mut args = Vec::new();
        if matches!(name.tok, Tok::MaxOf | Tok::MinOf) {
            args.push(Box::new(self.duration(0)?.into_part()));
            self.expect(Tok::Comma)?;
            args.push(Box::new(self.duration(0)?.into_part()));
        }
        let close = self.expect(Tok::RightParen)?;
        let span = Span { start: name.start, end: close.end };
        self.experimental(span)?;
        let node = match (name.tok, args.pop(), args.pop()) {
            (Tok::Step, ..) => DurationExpr::Step,
            (Tok::Range, ..) => DurationExpr::Range,
            (Tok::MinOf, Some(b), Some(a)) => DurationExpr::MinOf(a, b),
            (_, Some(b), Some(a)) => DurationExpr::MaxOf(a, b),
            _ => return self.unexpected(),
        };
        Ok(Spanned { node: Node::Expr(node), span })
    }

    fn signed(&mut self, sign: Token, operand: Spanned) -> Parsed<Spanned> {
        let negative = sign.tok == Tok::Sub;
        let span = Span { start: sign.start, end: operand.span.end };
        match operand.node {
            Node::Literal { seconds, is_duration } => {
                let seconds = if negative { -seconds } else { seconds };
                if out_of_range(seconds) {
                    return self.fail(sign.span(), "duration out of range");
                }
                Ok(Spanned { node: Node::Literal { seconds, is_duration }, span })
            }
            Node::Expr(expr) if negative => {
                Ok(Spanned { node: Node::Expr(DurationExpr::Sign { negative, expr: Box::new(expr) }), span })
            }
            node @ Node::Expr(_) => Ok(Spanned { node, span: operand.span }),
        }
    }

    fn experimental(&self, span: Span) -> Parsed<()> {
        if self.options.duration_expr {
            return Ok(());
        }
        self.fail(span, "experimental duration expression is not enabled")
    }
}
