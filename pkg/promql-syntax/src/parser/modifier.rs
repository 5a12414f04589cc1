//! What stands between or behind operands: label lists, matching, ranges, offsets, `@`.

use super::{Parsed, Parser};
use crate::token::{Tok, Token};
use crate::{At, Cardinality, DurationExpr, Expr, Matching, MatrixSelector, Span, Subquery};
use labels::quote;

const ONLY_SELECTORS: &str = "must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// `(a, b)` of `by`, `on`, `group_left` and so on.
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        let open = self.expect(Tok::LeftParen);
        self.within(open, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        if self.accept(Tok::RightParen)?.is_some() {
            return Ok(labels);
        }
        loop {
            let label = self.grouping_label();
            labels.push(self.within(label, "grouping opts", "label")?);
            let Some(_) = self.accept(Tok::Comma)? else {
                let close = self.expect(Tok::RightParen);
                self.within(close, "grouping opts", "\",\" or \")\"")?;
                return Ok(labels);
            };
            if self.accept(Tok::RightParen)?.is_some() {
                return Ok(labels);
            }
        }
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.peek()?;
        let label = match token.tok {
            Tok::Text => {
                self.next()?;
                self.unquoted(token)?
            }
            tok if tok.is_grouping_label() => {
                self.next()?;
                self.slice(token).to_owned()
            }
            _ => return self.unexpected(),
        };
        if label.is_empty() {
            return self.fail(token.span(), format!("invalid label name for grouping: {}", quote(&label)));
        }
        Ok(label)
    }

    /// `bool`, `on (…)`, `group_left (…)`, `fill (…)` behind an operator.
    pub(super) fn binary_modifiers(&mut self) -> Parsed<(bool, Matching)> {
        let mut matching = Matching::default();
        let return_bool = self.accept(Tok::Bool)?.is_some();
        let tok = self.peek()?.tok;
        if matches!(tok, Tok::On | Tok::Ignoring) {
            self.next()?;
            matching.on = tok == Tok::On;
            matching.labels = self.grouping_labels()?;
            let side = match self.peek()?.tok {
                Tok::GroupLeft => Some(Cardinality::ManyToOne),
                Tok::GroupRight => Some(Cardinality::OneToMany),
                _ => None,
            };
            if let Some(cardinality) = side {
                self.next()?;
                matching.cardinality = cardinality;
                let ahead = self.peek()?.tok;
                if ahead == Tok::LeftParen || !ahead.starts_expression() {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        match self.peek()?.tok {
            Tok::Fill => {
                let value = self.fill_value()?;
                (matching.fill_left, matching.fill_right) = (Some(value), Some(value));
            }
            Tok::FillLeft => {
                matching.fill_left = Some(self.fill_value()?);
                if self.peek()?.tok == Tok::FillRight {
                    matching.fill_right = Some(self.fill_value()?);
                }
            }
            Tok::FillRight => {
                matching.fill_right = Some(self.fill_value()?);
                if self.peek()?.tok == Tok::FillLeft {
                    matching.fill_left = Some(self.fill_value()?);
                }
            }
            _ => {}
        }
        Ok((return_bool, matching))
    }

    /// The keyword and `(number)`.
    fn fill_value(&mut self) -> Parsed<f64> {
        self.next()?;
        self.expect(Tok::LeftParen)?;
        let value = self.signed_number()?;
        self.expect(Tok::RightParen)?;
        Ok(value)
    }

    fn signed_number(&mut self) -> Parsed<f64> {
        let negative = self.accept(Tok::Sub)?.is_some();
        if !negative {
            self.accept(Tok::Add)?;
        }
        let value = self.number_literal()?.value;
        Ok(if negative { -value } else { value })
    }

    /// One range, offset, `@`, `anchored` or `smoothed` behind `expr`; the expression with it, or `None` when there
    /// is none. `expr` is taken out when the answer is an expression.
    pub(super) fn postfix(&mut self, expr: &mut Expr) -> Parsed<Option<Expr>> {
        let token = self.peek()?;
        match token.tok {
            Tok::LeftBracket => {
                self.next()?;
                let inner = std::mem::replace(expr, crate::ast::placeholder());
                return self.brackets(inner, token).map(Some);
            }
            Tok::Offset => {
                self.next()?;
                let offset = self.offset_duration();
                let offset = self.within(offset, "offset", "number, duration, step(), or range()")?;
                self.set_offset(expr, offset)?;
            }
            Tok::At => {
                self.next()?;
                let at = self.at_value(expr);
                let at = self.within(at, "@", "timestamp")?;
                self.set_at(expr, at)?;
            }
            Tok::Anchored | Tok::Smoothed => {
                self.next()?;
                self.set_extended(expr, token.tok == Tok::Anchored)?;
            }
            _ => return Ok(None),
        }
        Ok(Some(std::mem::replace(expr, crate::ast::placeholder())))
    }

    fn brackets(&mut self, expr: Expr, open: Token) -> Parsed<Expr> {
        let range = self.positive_duration();
        let range = self.within(range, "subquery or range selector", "number, duration, step(), or range()")?;
        if let Some(close) = self.accept(Tok::RightBracket)? {
            return self.matrix(expr, range, Span { start: open.start, end: close.end });
        }
        let colon = self.expect(Tok::Colon);
        self.within(colon, "subquery or range", "\":\" or \"]\"")?;
        let (step, close) = match self.accept(Tok::RightBracket)? {
            Some(close) => (None, close),
            None => {
                let step = self.positive_duration();
                let step = self.within(step, "subquery selector", "number, duration, step(), range(), or \"]\"")?;
                let close = self.expect(Tok::RightBracket);
                (Some(step), self.within(close, "subquery selector", "\"]\"")?)
            }
        };
        let span = Span { start: expr.span().start, end: close.end };
        Ok(Expr::Subquery(Box::new(Subquery { expr, range, step, offset: DurationExpr::Literal(0), at: None, span })))
    }

    fn matrix(&mut self, expr: Expr, range: DurationExpr, brackets: Span) -> Parsed<Expr> {
        match expr {
            Expr::Vector(vector) => {
                if vector.offset != DurationExpr::Literal(0) {
                    return self.fail(brackets, "no offset modifiers allowed before range");
                }
                if vector.at.is_some() {
                    return self.fail(brackets, "no @ modifiers allowed before range");
                }
                let span = Span { start: vector.span.start, end: brackets.end };
                Ok(Expr::Matrix(Box::new(MatrixSelector { vector: *vector, range, span })))
            }
            _ => self.fail(brackets, "ranges only allowed for vector selectors"),
        }
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: DurationExpr) -> Parsed<()> {
        let span = expr.span();
        let (slot, end) = match expr {
            Expr::Vector(v) => (&mut v.offset, &mut v.span.end),
            Expr::Matrix(m) => (&mut m.vector.offset, &mut m.span.end),
            Expr::Subquery(s) => (&mut s.offset, &mut s.span.end),
            _ => return self.fail(span, format!("offset modifier {ONLY_SELECTORS}")),
        };
        if *slot != DurationExpr::Literal(0) {
            return self.fail(span, "offset may not be set multiple times");
        }
        *slot = offset;
        *end = self.last_closing;
        Ok(())
    }

    /// The time behind `@`.
    fn at_value(&mut self, expr: &Expr) -> Parsed<At> {
        let token = self.peek()?;
        if matches!(token.tok, Tok::Start | Tok::End) {
            self.next()?;
            self.expect(Tok::LeftParen)?;
            self.expect(Tok::RightParen)?;
            return Ok(if token.tok == Tok::Start { At::Start } else { At::End });
        }
        let seconds = self.signed_number()?;
        // The bounds of a 64-bit integer, as in Prometheus, although the value is in seconds here.
        if !seconds.is_finite() || seconds >= i64::MAX as f64 || seconds <= i64::MIN as f64 {
            let shown = match seconds {
                s if s.is_nan() => "NaN".to_owned(),
                f64::INFINITY => "+Inf".to_owned(),
                f64::NEG_INFINITY => "-Inf".to_owned(),
                s => format!("{s:.6}"),
            };
            return self.fail(expr.span(), format!("timestamp out of bounds for @ modifier: {shown}"));
        }
        Ok(At::Time((seconds * 1000.0).round() as i64))
    }

    fn set_at(&mut self, expr: &mut Expr, at: At) -> Parsed<()> {
        let span = expr.span();
        let (slot, end) = match expr {
            Expr::Vector(v) => (&mut v.at, &mut v.span.end),
            Expr::Matrix(m) => (&mut m.vector.at, &mut m.span.end),
            Expr::Subquery(s) => (&mut s.at, &mut s.span.end),
            _ => return self.fail(span, format!("@ modifier {ONLY_SELECTORS}")),
        };
        if slot.is_some() {
            return self.fail(span, "@ <timestamp> may not be set multiple times");
        }
        *slot = Some(at);
        *end = self.last_closing;
        Ok(())
    }

    fn set_extended(&mut self, expr: &mut Expr, anchored: bool) -> Parsed<()> {
        let span = expr.span();
        let word = if anchored { "anchored" } else { "smoothed" };
        if !self.options.extended_range_selectors {
            return self.fail(span, format!("{word} modifier is experimental and not enabled"));
        }
        let vector = match expr {
            Expr::Vector(v) => v.as_mut(),
            Expr::Matrix(m) => &mut m.vector,
            Expr::Subquery(_) => return self.fail(span, format!("{word} modifier is not supported for subqueries")),
            _ => return self.fail(span, format!("{word} modifier not implemented")),
        };
        if anchored {
            vector.anchored = true;
        } else {
            vector.smoothed = true;
        }
        if vector.anchored && vector.smoothed {
            return self.fail(span, "anchored and smoothed modifiers cannot be used together");
        }
        Ok(())
    }
}
