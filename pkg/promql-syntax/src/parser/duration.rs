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
            Node::Expr(expr) => DurationExpr::Whole(Box::new(expr), self.span),
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
    let limit = i64::MAX as f64 / 1e9;
    !(-limit..=limit).contains(&seconds) && !seconds.is_nan()
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
                        let operand = self.signed_offset_operand()?;
                        self.signed(token, operand).map(Spanned::into_whole)
                    }
                }
            }
            Tok::LeftParen => self.duration(0).map(Spanned::into_whole),
            _ => self.duration_operand().map(Spanned::into_whole),
        }
    }

    /// Behind one sign.
    fn signed_offset_operand(&mut self) -> Parsed<Spanned> {
        let token = self.peek()?;
        match token.tok {
            Tok::LeftParen => self.duration_paren(token),
            Tok::Number | Tok::Duration => self.duration_literal(),
            _ => self.duration_call(token),
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
            match op {
                BinaryOp::Div if rhs.is_zero() => return self.fail(token.span(), "division by zero"),
                BinaryOp::Mod if rhs.is_zero() => return self.fail(token.span(), "modulo by zero"),
                _ => {}
            }
            let span = Span { start: lhs.span.start, end: rhs.span.end };
            let (lhs_part, rhs_part) = (Box::new(lhs.into_part()), Box::new(rhs.into_part()));
            let node = Node::Expr(DurationExpr::Binary { op, lhs: lhs_part, rhs: rhs_part, span });
            lhs = Spanned { node, span };
        }
    }

    fn duration_operand(&mut self) -> Parsed<Spanned> {
        let token = self.peek()?;
        match token.tok {
            Tok::Number | Tok::Duration => {
                let literal = self.duration_literal()?;
                match literal.node {
                    Node::Literal { seconds, .. } if out_of_range(seconds) => {
                        self.fail(literal.span, "duration out of range")
                    }
                    _ => Ok(literal),
                }
            }
            Tok::Add | Tok::Sub => {
                self.next()?;
                let operand = self.duration(SIGN + 1)?;
                self.signed(token, operand)
            }
            Tok::LeftParen => self.duration_paren(token),
            _ => self.duration_call(token),
        }
    }

    fn duration_paren(&mut self, open: Token) -> Parsed<Spanned> {
        self.next()?;
        let Spanned { node, span } = self.duration(0)?;
        self.expect(Tok::RightParen)?;
        // An expression keeps its place without the parentheses, as in the reference; a literal gets the first one.
        let is_literal = matches!(node, Node::Literal { .. });
        let span = if is_literal { Span { start: open.start, end: span.end } } else { span };
        let node = match (Spanned { node, span }).into_part() {
            // Twice the same parentheses are kept once.
            DurationExpr::Paren(once) => DurationExpr::Paren(once),
            other => DurationExpr::Paren(Box::new(other)),
        };
        Ok(Spanned { node: Node::Expr(node), span })
    }

    /// A number or a duration, its range not yet checked.
    fn duration_literal(&mut self) -> Parsed<Spanned> {
        let literal = self.number_literal()?;
        let node = Node::Literal { seconds: literal.value, is_duration: literal.is_duration };
        Ok(Spanned { node, span: literal.span })
    }

    fn duration_call(&mut self, name: Token) -> Parsed<Spanned> {
        if !matches!(name.tok, Tok::Step | Tok::Range | Tok::MaxOf | Tok::MinOf) {
            return self.unexpected();
        }
        self.next()?;
        self.expect(Tok::LeftParen)?;
        if matches!(name.tok, Tok::Step | Tok::Range) {
            let close = self.expect(Tok::RightParen)?;
            let node = if name.tok == Tok::Step { DurationExpr::Step } else { DurationExpr::Range };
            return Ok(Spanned { node: Node::Expr(node), span: Span { start: name.start, end: close.end } });
        }
        let a = self.duration(0)?;
        self.expect(Tok::Comma)?;
        let b = self.duration(0)?;
        self.expect(Tok::RightParen)?;
        // The place is that of the arguments, as in the reference.
        let span = Span { start: a.span.start, end: b.span.end };
        let (a, b) = (Box::new(a.into_part()), Box::new(b.into_part()));
        let node = if name.tok == Tok::MinOf { DurationExpr::MinOf(a, b) } else { DurationExpr::MaxOf(a, b) };
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
}
