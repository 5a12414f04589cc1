//! From syntax tree to plan: durations, `@` and offsets resolved, functions looked up. Passes make it a cheaper one, see
//! [`crate::passes`].

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use model::Grid;
use promql_syntax::{AggregateOp, At, BinaryOp, Call, DurationExpr, Expr, Span, ValueType, VectorSelector};

use crate::functions::table::{self, Kernel, ScalarFn};
use crate::go_float::{go_max, go_min};
use crate::plan::{AggregateParam, AggregatePlan, BinaryPlan, Plan, Root, ScalarPlan, SubqueryPlan, WithScalarPlan};
use crate::select_plan::SelectPlan;
use crate::{EngineOptions, QueryError, reads};

/// Plans `expr` at the steps of `times`: checks arguments and decides what selectors read.
pub(crate) fn plan(expr: &Expr, times: Grid, options: &EngineOptions) -> Result<Root, QueryError> {
    let planner = Planner { times, options, within_ms: None, regex_bytes: &Cell::new(0) };
    planner.check_durations(expr)?;
    match expr.value_type() {
        ValueType::Scalar => Ok(Root::Scalar(planner.scalar(expr)?)),
        ValueType::String => match expr.unparen() {
            Expr::String(s) => Ok(Root::String(s.value.clone())),
            _ => Err(QueryError::Execution("unexpected string expression".to_owned())),
        },
        ValueType::Vector | ValueType::Matrix => Ok(Root::Vector(planner.vector(expr, None)?)),
    }
}

/// Plans the parts of one query.
#[derive(Clone, Copy)]
pub(crate) struct Planner<'a> {
    pub(crate) times: Grid,
    pub(crate) options: &'a EngineOptions,
    /// The range of the innermost subquery around, ms.
    pub(crate) within_ms: Option<i64>,
    /// Memory of the expressions that were compiled so far.
    pub(crate) regex_bytes: &'a Cell<usize>,
}

pub(crate) type Hint<'h> = Option<&'h Arc<str>>;

impl Planner<'_> {
    pub(crate) fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            // Far beyond any data; offsets and ranges, 292 years at most, cannot overflow from there.
            At::Time(t) => t.clamp(i64::MIN / 4, i64::MAX / 4),
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        })
    }

    /// Resolves all lengths of time of a query, for their errors come before those of anything else.
    fn check_durations(&self, expr: &Expr) -> Result<(), QueryError> {
        match expr {
            Expr::Vector(v) => {
                self.duration_ms(&v.offset, true)?;
            }
            Expr::Matrix(m) => {
                self.duration_ms(&m.range, false)?;
                self.duration_ms(&m.vector.offset, true)?;
            }
            Expr::Subquery(s) => {
                self.duration_ms(&s.offset, true)?;
                s.step.as_ref().map(|step| self.duration_ms(step, false)).transpose()?;
                self.duration_ms(&s.range, false)?;
            }
            _ => {}
        }
        expr.children().try_for_each(|child| self.check_durations(child))
    }

    pub(crate) fn duration_ms(&self, d: &DurationExpr, negative_allowed: bool) -> Result<i64, QueryError> {
        if let DurationExpr::Literal(ms) = d {
            return Ok(*ms);
        }
        let seconds = self.seconds(d)?;
        let bad = |what: &str| {
            let place = if let DurationExpr::Whole(_, span) = d { *span } else { Span::default() };
            Err(bad_duration(place, &format!("duration {what}")))
        };
        if !seconds.is_finite() {
            return bad("is NaN or infinite");
        }
        if seconds <= 0.0 && !negative_allowed {
            return bad("must be greater than 0");
        }
        if seconds.abs() > 9_223_372_036.854_776 {
            return bad("is out of range");
        }
        Ok((seconds * 1000.0) as i64)
    }

    pub(crate) fn seconds(&self, d: &DurationExpr) -> Result<f64, QueryError> {
        Ok(match d {
            DurationExpr::Literal(ms) => *ms as f64 / 1000.0,
            DurationExpr::Number(v) => *v,
            DurationExpr::Step => self.times.step_ms as f64 / 1000.0,
            DurationExpr::Range => (self.times.end_ms - self.times.start_ms) as f64 / 1000.0,
            DurationExpr::Paren(inner) | DurationExpr::Whole(inner, _) => self.seconds(inner)?,
            DurationExpr::Sign { negative, expr } => {
                let v = self.seconds(expr)?;
                if *negative { -v } else { v }
            }
            DurationExpr::MinOf(a, b) => go_min(self.seconds(a)?, self.seconds(b)?),
            DurationExpr::MaxOf(a, b) => go_max(self.seconds(a)?, self.seconds(b)?),
            DurationExpr::Binary { op, lhs, rhs, span } => {
                let (l, r) = (self.seconds(lhs)?, self.seconds(rhs)?);
                match op {
                    BinaryOp::Div if r == 0.0 => return Err(bad_duration(*span, "division by zero")),
                    BinaryOp::Mod if r == 0.0 => return Err(bad_duration(*span, "modulo by zero")),
                    _ => crate::binary::arith::scalar_op(*op, l, r),
                }
            }
        })
    }

    pub(crate) fn select(&self, v: &VectorSelector, hint: Hint<'_>) -> Result<SelectPlan, QueryError> {
        Ok(SelectPlan {
            matchers: v.matchers.clone(),
            offset_ms: self.duration_ms(&v.offset, true)?,
            at_ms: self.at(v.at),
            unseen_ms: 0,
            anchored: v.anchored,
            smoothed: v.smoothed,
            within_ms: self.within_ms,
            hint: hint.cloned(),
            stats_only: false,
            shared: OnceLock::new(),
            labels: OnceLock::new(),
            span: v.span,
        })
    }

    pub(crate) fn subquery(&self, s: &promql_syntax::Subquery, hint: Hint<'_>) -> Result<SubqueryPlan, QueryError> {
        let step_ms = match &s.step {
            Some(step) => match self.duration_ms(step, false)? {
                0 => self.options.default_subquery_step_ms,
                ms => ms,
            },
            None => self.options.default_subquery_step_ms,
        };
        let range_ms = self.duration_ms(&s.range, false)?;
        let inside = Self { within_ms: Some(range_ms), ..*self };
        Ok(SubqueryPlan {
            inner: inside.vector(&s.expr, hint)?,
            range_ms,
            step_ms: step_ms.max(1),
            offset_ms: self.duration_ms(&s.offset, true)?,
            at_ms: self.at(s.at),
        })
    }

    pub(crate) fn vector(&self, expr: &Expr, hint: Hint<'_>) -> Result<Plan, QueryError> {
        match expr {
            Expr::Paren(p) => self.vector(&p.expr, hint),
            Expr::Vector(v) => Ok(Plan::Select(Arc::new(self.select(v, hint)?))),
            Expr::Matrix(m) => {
                let select = SelectPlan { span: m.span, ..self.select(&m.vector, hint)? };
                Ok(Plan::Matrix(Arc::new(select), self.duration_ms(&m.range, false)?))
            }
            Expr::Subquery(s) => Ok(Plan::Subquery(Box::new(self.subquery(s, hint)?))),
            Expr::Unary(u) => {
                if !u.negative {
                    return self.vector(&u.expr, hint);
                }
                let hint = hint.and_then(|h| reads::mirrored(h)).map(Arc::from);
                Ok(Plan::Negate(Box::new(self.vector(&u.expr, hint.as_ref())?)))
            }
            Expr::Aggregate(a) => self.aggregate(a),
            Expr::Call(c) => self.call(c),
            Expr::Binary(b) => self.binary(b),
            Expr::Number(_) | Expr::String(_) => {
                Err(QueryError::Execution(format!("expected a vector, got a {}", expr.value_type().documented())))
            }
        }
    }

    pub(crate) fn aggregate(&self, a: &promql_syntax::Aggregate) -> Result<Plan, QueryError> {
        let hint: Arc<str> = Arc::from(a.op.as_str());
        let inner = self.vector(&a.expr, Some(&hint))?;
        let param = match a.param.as_ref().map(|p| p.unparen()) {
            None => AggregateParam::None,
            Some(Expr::String(s)) => {
                if a.op == AggregateOp::CountValues && !crate::functions::labels::is_label_name(&s.value) {
                    return Err(QueryError::Execution(format!("invalid label name {}", s.quoted())));
                }
                AggregateParam::Label(s.value.clone())
            }
            Some(p) => AggregateParam::Scalar(self.scalar(p)?, p.span()),
        };
        let mut grouping = a.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        let plan = AggregatePlan {
            op: a.op,
            inner,
            param,
            grouping,
            without: a.without,
            span: a.span,
            inner_span: a.expr.span(),
        };
        Ok(Plan::Aggregate(Box::new(plan)))
    }

    pub(crate) fn binary(&self, b: &promql_syntax::Binary) -> Result<Plan, QueryError> {
        let types = (b.lhs.value_type(), b.rhs.value_type());
        let (op, return_bool, span) = (b.op, b.return_bool, b.span);
        if types == (ValueType::Vector, ValueType::Vector) {
            let (lhs, rhs) = (self.vector(&b.lhs, None)?, self.vector(&b.rhs, None)?);
            let matching = b.matching.clone().unwrap_or_default();
            let plan = BinaryPlan { op, lhs, rhs, matching, return_bool, span };
            return Ok(Plan::Binary(Box::new(plan)));
        }
        let scalar_left = types.0 == ValueType::Scalar;
        let (v, s) = if scalar_left { (&b.rhs, &b.lhs) } else { (&b.lhs, &b.rhs) };
        let (vector, scalar) = (self.vector(v, None)?, self.scalar(s)?);
        let plan = WithScalarPlan { op, vector, scalar, scalar_left, return_bool, span };
        Ok(Plan::WithScalar(Box::new(plan)))
    }

    pub(crate) fn scalar(&self, expr: &Expr) -> Result<ScalarPlan, QueryError> {
        match expr {
            Expr::Paren(p) => self.scalar(&p.expr),
            Expr::Number(n) => Ok(ScalarPlan::Const(n.value)),
            Expr::Unary(u) => {
                let inner = self.scalar(&u.expr)?;
                Ok(if u.negative { ScalarPlan::Negate(Box::new(inner)) } else { inner })
            }
            Expr::Binary(b) => {
                Ok(ScalarPlan::Binary(b.op, Box::new(self.scalar(&b.lhs)?), Box::new(self.scalar(&b.rhs)?)))
            }
            Expr::Call(c) => {
                let Some(Kernel::Scalar(function)) = table::kernel(c.function.name) else {
                    return Err(QueryError::Execution(format!("unknown scalar function {:?}", c.function.name)));
                };
                self.scalar_call(c, *function)
            }
            _ => Err(QueryError::Execution(format!("expected a scalar, got a {}", expr.value_type().documented()))),
        }
    }

    fn scalar_call(&self, c: &Call, function: ScalarFn) -> Result<ScalarPlan, QueryError> {
        let times = self.times;
        let boxed = |at: usize| Ok::<_, QueryError>(Box::new(self.scalar(arg(c, at)?)?));
        Ok(match function {
            ScalarFn::Pi => ScalarPlan::Const(std::f64::consts::PI),
            ScalarFn::Start => ScalarPlan::Const(times.start_ms as f64 / 1000.0),
            ScalarFn::End => ScalarPlan::Const(times.end_ms as f64 / 1000.0),
            ScalarFn::Range => ScalarPlan::Const((times.end_ms - times.start_ms) as f64 / 1000.0),
            ScalarFn::Step if times.start_ms == times.end_ms => ScalarPlan::Const(0.0),
            ScalarFn::Step => ScalarPlan::Const(times.step_ms as f64 / 1000.0),
            ScalarFn::Time => ScalarPlan::Time,
            ScalarFn::MinOf => ScalarPlan::MinOf(boxed(0)?, boxed(1)?),
            ScalarFn::MaxOf => ScalarPlan::MaxOf(boxed(0)?, boxed(1)?),
            ScalarFn::Scalar => {
                let inner = self.vector(arg(c, 0)?.unparen(), Some(&Arc::from("scalar")))?;
                ScalarPlan::FromVector(Box::new(inner))
            }
        })
    }

    pub(crate) fn scalars(&self, args: &[Expr]) -> Result<Vec<ScalarPlan>, QueryError> {
        args.iter().map(|a| self.scalar(a.unparen())).collect()
    }
}

/// A length of time that cannot be computed; as Prometheus says it, with the bytes from and to.
fn bad_duration(span: Span, why: &str) -> QueryError {
    QueryError::Bad(format!("invalid parameter \"query\": {}:{}: {why}", span.start, span.end))
}

pub(crate) fn arg(c: &Call, at: usize) -> Result<&Expr, QueryError> {
    c.args.get(at).ok_or_else(|| QueryError::Execution(format!("{}() lacks argument {}", c.function.name, at + 1)))
}
