//! Types, and the rules that grammar alone does not hold. The order of the checks is Prometheus', because only the
//! first error is reported.

use labels::METRIC_NAME;

use crate::error::ParseError;
use crate::{Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, Span, ValueType, VectorSelector};
use labels::quote;

/// Checks `expr`, parsed from `query`; drops the matching of operators that do not join two vectors.
pub(crate) fn check(expr: &mut Expr, query: &str) -> Result<(), ParseError> {
    Checker { query }.expr(expr)
}

struct Checker<'a> {
    query: &'a str,
}

type Checked = Result<(), ParseError>;

impl Checker<'_> {
    fn fail(&self, span: Span, message: impl Into<String>) -> Checked {
        Err(ParseError::new(self.query, span, message))
    }

    fn expr(&self, expr: &mut Expr) -> Checked {
        match expr {
            Expr::Number(_) | Expr::String(_) => Ok(()),
            Expr::Paren(e) => self.expr(&mut e.expr),
            Expr::Unary(e) => {
                self.expr(&mut e.expr)?;
                match e.expr.value_type() {
                    ValueType::Scalar | ValueType::Vector => Ok(()),
                    other => self.fail(
                        e.span,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            quote(other.documented())
                        ),
                    ),
                }
            }
            Expr::Binary(e) => self.binary(e),
            Expr::Call(e) => self.call(e),
            Expr::Aggregate(e) => self.aggregate(e),
            Expr::Vector(e) => self.vector(e, false),
            Expr::Matrix(e) => self.vector(&e.vector, false),
            Expr::Subquery(e) => {
                self.expr(&mut e.expr)?;
                match e.expr.value_type() {
                    ValueType::Vector => Ok(()),
                    other => self.fail(
                        e.span,
                        format!("subquery is only allowed on instant vector, got {} instead", other.as_str()),
                    ),
                }
            }
        }
    }

    fn expect(&self, expr: &mut Expr, want: ValueType, context: &str) -> Checked {
        self.expr(expr)?;
        let got = expr.value_type();
        if got == want {
            return Ok(());
        }
        self.fail(expr.span(), format!("expected type {} in {context}, got {}", want.documented(), got.documented()))
    }

    fn aggregate(&self, e: &mut Aggregate) -> Checked {
        self.expect(&mut e.expr, ValueType::Vector, "aggregation expression")?;
        let Some(param) = &mut e.param else {
            return Ok(());
        };
        let want = if e.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        self.expect(param, want, "aggregation parameter")
    }

    fn binary(&self, e: &mut Binary) -> Checked {
        self.expr(&mut e.lhs)?;
        self.expr(&mut e.rhs)?;
        let (lt, rt) = (e.lhs.value_type(), e.rhs.value_type());
        if e.return_bool && !e.op.is_comparison() {
            return self.fail(self.operator_span(e), "bool modifier can only be used on comparison operators");
        }
        if e.op.is_comparison() && !e.return_bool && lt == ValueType::Scalar && rt == ValueType::Scalar {
            return self.fail(self.operator_span(e), "comparisons between scalars must use BOOL modifier");
        }
        if let Some(matching) = &mut e.matching {
            if e.op.is_set() && matching.cardinality == Cardinality::OneToOne {
                matching.cardinality = Cardinality::ManyToMany;
            }
            if matching.on
                && let Some(label) = matching.labels.iter().find(|l| matching.include.contains(l))
            {
                let message = format!("label {} must not occur in ON and GROUP clause at once", quote(label));
                return self.fail(self.operator_span(e), message);
            }
        }
        for (side, of) in [(&e.lhs, lt), (&e.rhs, rt)] {
            if !matches!(of, ValueType::Scalar | ValueType::Vector) {
                return self.fail(side.span(), "binary expression must contain only scalar and instant vector types");
            }
        }
        if let Some(matching) = &e.matching {
            let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
            if lt != ValueType::Vector || rt != ValueType::Vector {
                if !matching.labels.is_empty() {
                    return self.fail(e.span, "vector matching only allowed between instant vectors");
                }
                if fills {
                    return self.fail(e.span, "filling in missing series only allowed between instant vectors");
                }
                e.matching = None;
            } else if e.op.is_set() {
                if matching.cardinality != Cardinality::ManyToMany {
                    let message = format!("no grouping allowed for {} operation", quote(e.op.as_str()));
                    return self.fail(e.span, message);
                }
                if fills {
                    return self.fail(e.span, "filling in missing series not allowed for set operators");
                }
            }
        }
        if e.op.is_set() && (lt == ValueType::Scalar || rt == ValueType::Scalar) {
            let message = format!("set operator {} not allowed in binary scalar expression", quote(e.op.as_str()));
            return self.fail(e.span, message);
        }
        Ok(())
    }

    /// From the first byte behind the left operand to the last before the right one, spaces left out.
    fn operator_span(&self, e: &Binary) -> Span {
        let between = self.query.get(e.lhs.span().end..e.rhs.span().start).unwrap_or("");
        let spaces = [' ', '\t', '\n', '\r'];
        let start = e.lhs.span().end + between.len() - between.trim_start_matches(spaces).len();
        // One short of the true end, as in Prometheus; only tools that underline the range see it.
        let end = (e.lhs.span().end + between.trim_end_matches(spaces).len()).saturating_sub(1).max(start);
        Span { start, end }
    }

    fn call(&self, e: &mut Call) -> Checked {
        let (name, want, got) = (e.function.name, e.function.args.len(), e.args.len());
        let count =
            |bound: &str, n: usize| format!("expected {bound}{n} argument(s) in call to {}, got {got}", quote(name));
        if e.function.variadic == 0 {
            if want != got {
                return self.fail(e.span, count("", want));
            }
        } else {
            let least = want - 1;
            if got < least {
                return self.fail(e.span, count("at least ", least));
            }
            if let Ok(extra) = usize::try_from(e.function.variadic)
                && got > least + extra
            {
                return self.fail(e.span, count("at most ", least + extra));
            }
        }
        if name == "info" && got > 1 {
            self.info_labels(e)?;
        }
        for (i, arg) in e.args.iter_mut().enumerate() {
            let want = e.function.args[i.min(want - 1)];
            match &mut *arg {
                Expr::Vector(v) if name == "info" && i == 1 => self.vector(v, true)?,
                other => self.expr(other)?,
            }
            let got = arg.value_type();
            if got != want {
                let message = format!(
                    "expected type {} in call to function {}, got {}",
                    want.documented(),
                    quote(name),
                    got.documented()
                );
                return self.fail(arg.span(), message);
            }
        }
        Ok(())
    }

    /// The second argument of `info` has a selector's form but names no metric.
    fn info_labels(&self, e: &Call) -> Checked {
        let arg = &e.args[1];
        let got = arg.value_type();
        if got != ValueType::Vector {
            let message =
                format!("expected type instant vector in call to function \"info\", got {}", got.documented());
            return self.fail(e.span, message);
        }
        match arg {
            Expr::Vector(v) if v.name.is_some() => {
                self.fail(v.span, "expected label selectors only, got vector selector instead")
            }
            Expr::Vector(_) => Ok(()),
            other => self.fail(other.span(), "expected label selectors only"),
        }
    }

    fn vector(&self, e: &VectorSelector, may_match_all: bool) -> Checked {
        let Some(name) = &e.name else {
            if may_match_all || e.matchers.iter().any(|m| !m.matches_empty()) {
                return Ok(());
            }
            return self.fail(e.span, "vector selector must contain at least one non-empty matcher");
        };
        // The last matcher is the one of the name before the braces.
        let within_braces = &e.matchers[..e.matchers.len().saturating_sub(1)];
        match within_braces.iter().find(|m| m.name() == METRIC_NAME) {
            Some(m) => {
                self.fail(e.span, format!("metric name must not be set twice: {} or {}", quote(name), quote(m.value())))
            }
            None => Ok(()),
        }
    }
}
