//! From syntax tree to plan: durations, `@` and offsets resolved, functions looked up, step-invariant parts marked.

use std::cell::Cell;
use std::sync::Arc;

use model::Grid;
use promql_syntax::{AggregateOp, At, BinaryOp, Call, DurationExpr, Expr, Span, ValueType, VectorSelector};

use crate::go_float::{go_max, go_min};
use crate::plan::{
    AggregateParam, AggregatePlan, BinaryPlan, Plan, Planned, Root, ScalarPlan, SelectPlan, SubqueryPlan,
    WithScalarPlan,
};
use crate::wanted::Wanted;
use crate::{EngineOptions, QueryError};

/// Plans `expr` at the steps of `times`: checks arguments, folds what is the same at every step, and decides what selectors read.
pub(crate) fn plan(expr: &Expr, times: Grid, options: &EngineOptions) -> Result<Root, QueryError> {
    let planner = Planner { times, options, within_ms: None, regex_bytes: &Cell::new(0) };
    match expr.value_type() {
        ValueType::Scalar => Ok(Root::Scalar(planner.scalar(expr)?.it)),
        ValueType::String => match expr.unparen() {
            Expr::String(s) => Ok(Root::String(s.value.clone())),
            _ => Err(QueryError::Execution("unexpected string expression".to_owned())),
        },
        ValueType::Vector | ValueType::Matrix => {
            let planned = planner.vector(expr, None)?;
            Ok(Root::Vector(match planned.it {
                it @ (Plan::Matrix(..) | Plan::Subquery(_)) => it,
                it => Planned { it, invariant: planned.invariant }.wrapped(),
            }))
        }
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
            anchored: v.anchored,
            smoothed: v.smoothed,
            within_ms: self.within_ms,
            hint: hint.cloned(),
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
            inner: inside.vector(&s.expr, hint)?.wrapped(),
            range_ms,
            step_ms: step_ms.max(1),
            offset_ms: self.duration_ms(&s.offset, true)?,
            at_ms: self.at(s.at),
        })
    }

    pub(crate) fn vector(&self, expr: &Expr, hint: Hint<'_>) -> Result<Planned<Plan>, QueryError> {
        match expr {
            Expr::Paren(p) => self.vector(&p.expr, hint),
            Expr::Vector(v) => {
                let select = self.select(v, hint)?;
                let invariant = select.at_ms.is_some();
                Ok(Planned { it: Plan::Select(Arc::new(select)), invariant })
            }
            Expr::Matrix(m) => {
                let select = self.select(&m.vector, hint)?;
                let invariant = select.at_ms.is_some();
                let select = SelectPlan { span: m.span, ..select };
                Ok(Planned { it: Plan::Matrix(Arc::new(select), self.duration_ms(&m.range, false)?), invariant })
            }
            Expr::Subquery(s) => {
                let sub = self.subquery(s, hint)?;
                let invariant = sub.at_ms.is_some();
                Ok(Planned { it: Plan::Subquery(Box::new(sub)), invariant })
            }
            Expr::Unary(u) => {
                if !u.negative {
                    return self.vector(&u.expr, hint);
                }
                let hint = hint.map(|h| Wanted::negated(h)).filter(|h| !h.is_empty()).map(Arc::from);
                let inner = self.vector(&u.expr, hint.as_ref())?;
                Ok(Planned { it: Plan::Negate(Box::new(inner.it)), invariant: inner.invariant })
            }
            Expr::Aggregate(a) => self.aggregate(a),
            Expr::Call(c) => self.call(c),
            Expr::Binary(b) => self.binary(b),
            Expr::Number(_) | Expr::String(_) => {
                Err(QueryError::Execution(format!("expected a vector, got a {}", expr.value_type().documented())))
            }
        }
    }

    pub(crate) fn aggregate(&self, a: &promql_syntax::Aggregate) -> Result<Planned<Plan>, QueryError> {
        let hint: Arc<str> = Arc::from(a.op.as_str());
        let inner = self.vector(&a.expr, Some(&hint))?;
        let mut invariant = inner.invariant;
        let param = match a.param.as_ref().map(|p| p.unparen()) {
            None => AggregateParam::None,
            Some(Expr::String(s)) => AggregateParam::Label(s.value.clone()),
            Some(p) => {
                let scalar = self.scalar(p)?;
                invariant &= scalar.invariant;
                AggregateParam::Scalar(scalar.it, p.span())
            }
        };
        let mut grouping = a.grouping.clone();
        grouping.sort_unstable();
        grouping.dedup();
        if let (AggregateOp::CountValues, AggregateParam::Label(name)) = (a.op, &param)
            && !crate::functions::labels::is_label_name(name)
        {
            return Err(QueryError::Execution(format!("invalid label name {name:?}")));
        }
        let inner = if invariant { inner.it } else { inner.wrapped() };
        let plan = AggregatePlan { op: a.op, inner, param, grouping, without: a.without };
        Ok(Planned { it: Plan::Aggregate(Box::new(plan)), invariant })
    }

    pub(crate) fn binary(&self, b: &promql_syntax::Binary) -> Result<Planned<Plan>, QueryError> {
        let types = (b.lhs.value_type(), b.rhs.value_type());
        let (op, return_bool, span) = (b.op, b.return_bool, b.span);
        if types == (ValueType::Vector, ValueType::Vector) {
            let (lhs, rhs) = (self.vector(&b.lhs, None)?, self.vector(&b.rhs, None)?);
            let invariant = lhs.invariant && rhs.invariant;
            let (lhs, rhs) = if invariant { (lhs.it, rhs.it) } else { (lhs.wrapped(), rhs.wrapped()) };
            let matching = b.matching.clone().unwrap_or_default();
            let plan = BinaryPlan { op, lhs, rhs, matching, return_bool, span };
            return Ok(Planned { it: Plan::Binary(Box::new(plan)), invariant });
        }
        let scalar_left = types.0 == ValueType::Scalar;
        let (v, s) = if scalar_left { (&b.rhs, &b.lhs) } else { (&b.lhs, &b.rhs) };
        let (vector, scalar) = (self.vector(v, None)?, self.scalar(s)?);
        let invariant = vector.invariant && scalar.invariant;
        let vector = if invariant { vector.it } else { vector.wrapped() };
        let plan = WithScalarPlan { op, vector, scalar: scalar.it, scalar_left, return_bool };
        Ok(Planned { it: Plan::WithScalar(Box::new(plan)), invariant })
    }

    pub(crate) fn scalar(&self, expr: &Expr) -> Result<Planned<ScalarPlan>, QueryError> {
        let constant = |v: f64| Ok(Planned { it: ScalarPlan::Const(v), invariant: true });
        match expr {
            Expr::Paren(p) => self.scalar(&p.expr),
            Expr::Number(n) => constant(n.value),
            Expr::Unary(u) => {
                let inner = self.scalar(&u.expr)?;
                if !u.negative {
                    return Ok(inner);
                }
                Ok(Planned { it: ScalarPlan::Negate(Box::new(inner.it)), invariant: inner.invariant })
            }
            Expr::Binary(b) => {
                let (l, r) = (self.scalar(&b.lhs)?, self.scalar(&b.rhs)?);
                let invariant = l.invariant && r.invariant;
                Ok(Planned { it: ScalarPlan::Binary(b.op, Box::new(l.it), Box::new(r.it)), invariant })
            }
            Expr::Call(c) => {
                let pair = |make: fn(Box<ScalarPlan>, Box<ScalarPlan>) -> ScalarPlan| {
                    let (l, r) = (self.scalar(arg(c, 0)?)?, self.scalar(arg(c, 1)?)?);
                    let invariant = l.invariant && r.invariant;
                    Ok(Planned { it: make(Box::new(l.it), Box::new(r.it)), invariant })
                };
                match c.function.name {
                    "pi" => constant(std::f64::consts::PI),
                    "start" => constant(self.times.start_ms as f64 / 1000.0),
                    "end" => constant(self.times.end_ms as f64 / 1000.0),
                    "range" => constant((self.times.end_ms - self.times.start_ms) as f64 / 1000.0),
                    "step" if self.times.start_ms == self.times.end_ms => constant(0.0),
                    "step" => constant(self.times.step_ms as f64 / 1000.0),
                    "time" => Ok(Planned { it: ScalarPlan::Time, invariant: false }),
                    "min_of" => pair(ScalarPlan::MinOf),
                    "max_of" => pair(ScalarPlan::MaxOf),
                    "scalar" => {
                        let inner = self.vector(arg(c, 0)?.unparen(), Some(&Arc::from("scalar")))?;
                        let invariant = inner.invariant;
                        Ok(Planned { it: ScalarPlan::FromVector(Box::new(inner.wrapped())), invariant })
                    }
                    other => Err(QueryError::Execution(format!("unknown scalar function {other:?}"))),
                }
            }
            _ => Err(QueryError::Execution(format!("expected a scalar, got a {}", expr.value_type().documented()))),
        }
    }

    pub(crate) fn scalars(&self, args: &[Expr]) -> Result<(Vec<ScalarPlan>, bool), QueryError> {
        let mut invariant = true;
        let mut list = Vec::with_capacity(args.len());
        for a in args {
            let s = self.scalar(a.unparen())?;
            invariant &= s.invariant;
            list.push(s.it);
        }
        Ok((list, invariant))
    }
}

/// A length of time that cannot be computed; as Prometheus says it, with the bytes from and to.
fn bad_duration(span: Span, why: &str) -> QueryError {
    QueryError::Bad(format!("invalid parameter \"query\": {}:{}: {why}", span.start, span.end))
}

pub(crate) fn arg(c: &Call, at: usize) -> Result<&Expr, QueryError> {
    c.args.get(at).ok_or_else(|| QueryError::Execution(format!("{}() lacks argument {}", c.function.name, at + 1)))
}
