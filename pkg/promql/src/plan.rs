//! From syntax tree to plan: durations, `@` and offsets resolved, functions looked up, step-invariant parts marked.

use std::cell::Cell;
use std::sync::Arc;

use labels::Matcher;
use model::Grid;
use promql_syntax::{AggregateOp, At, BinaryOp, Call, DurationExpr, Expr, Matching, Span, ValueType, VectorSelector};

use crate::functions::math::MathFn;
use crate::functions::over_time::RangeFn;
use crate::functions::{dates::DateFn, sort::SortOrder};
use crate::wanted::Wanted;
use crate::{EngineOptions, QueryError};

/// What a vector or matrix expression turns into.
#[derive(Debug)]
pub(crate) enum Plan {
    /// An instant selector.
    Select(Arc<SelectPlan>),
    /// `timestamp(selector)`: the samples' own times.
    SampleTime(Arc<SelectPlan>),
    /// A range selector at the top of an instant query.
    Matrix(Arc<SelectPlan>, i64),
    /// A subquery at the top of an instant query.
    Subquery(Box<SubqueryPlan>),
    /// A function of a range.
    Range(Box<RangePlan>),
    /// `absent_over_time`.
    Absent(Box<Plan>, labels::Labels),
    /// A function of each value.
    Math(MathFn, Box<Plan>, Vec<ScalarPlan>),
    /// A calendar function of each value.
    Date(DateFn, Box<Plan>),
    /// Values replaced by step times (`timestamp` of an expression).
    StepTime(Box<Plan>),
    /// Nothing, but the argument's errors still count: functions of native histograms over floats.
    Nothing(Box<Plan>),
    /// `-x`.
    Negate(Box<Plan>),
    /// `vector(s)`.
    Vector(ScalarPlan),
    /// `sort` and kin.
    Sort(SortOrder, Box<Plan>, Span),
    /// `label_replace`.
    LabelReplace(Box<Plan>, Box<crate::functions::labels::Replace>),
    /// `label_join`.
    LabelJoin(Box<Plan>, Box<crate::functions::labels::Join>),
    /// `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
    Buckets(Box<BucketsPlan>),
    /// `info`.
    Info(Box<InfoPlan>),
    /// Aggregation.
    Aggregate(Box<AggregatePlan>),
    /// Vector with vector.
    Binary(Box<BinaryPlan>),
    /// Vector with scalar.
    WithScalar(Box<WithScalarPlan>),
    /// Evaluated at one step, the same at all.
    Invariant(Box<Plan>),
}

/// What a scalar expression turns into.
#[derive(Debug)]
pub(crate) enum ScalarPlan {
    Const(f64),
    /// `time()`.
    Time,
    /// A calendar function of the step's time.
    Date(DateFn),
    Negate(Box<ScalarPlan>),
    Binary(BinaryOp, Box<ScalarPlan>, Box<ScalarPlan>),
    MinOf(Box<ScalarPlan>, Box<ScalarPlan>),
    MaxOf(Box<ScalarPlan>, Box<ScalarPlan>),
    /// `scalar(v)`.
    FromVector(Box<Plan>),
}

/// Which series, and which instants or ranges of them.
#[derive(Debug)]
pub(crate) struct SelectPlan {
    pub matchers: Arc<[Matcher]>,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
    pub anchored: bool,
    pub smoothed: bool,
    /// The range of the subquery that it is in, ms.
    pub within_ms: Option<i64>,
    /// The function or aggregation around it, a hint to the source.
    pub hint: Option<Arc<str>>,
    pub span: Span,
}

#[derive(Debug)]
pub(crate) struct SubqueryPlan {
    pub inner: Plan,
    pub range_ms: i64,
    pub step_ms: i64,
    pub offset_ms: i64,
    pub at_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) enum RangeInput {
    Select(Arc<SelectPlan>, i64),
    Subquery(SubqueryPlan),
}

#[derive(Debug)]
pub(crate) struct RangePlan {
    pub function: RangeFn,
    pub input: RangeInput,
    pub args: Vec<ScalarPlan>,
    /// Place of the range argument.
    pub span: Span,
    /// Place of the first argument, which annotations about a quantile name.
    pub first_span: Span,
}

#[derive(Debug)]
pub(crate) enum BucketsFn {
    Quantile(ScalarPlan, Span),
    Quantiles(String, Vec<(ScalarPlan, Span)>),
    Fraction(ScalarPlan, ScalarPlan),
}

#[derive(Debug)]
pub(crate) struct BucketsPlan {
    pub function: BucketsFn,
    pub inner: Plan,
    pub span: Span,
}

#[derive(Debug)]
pub(crate) struct InfoPlan {
    pub inner: Plan,
    /// Matchers of the second argument; `None` without one.
    pub matchers: Option<Arc<[Matcher]>>,
    pub at_ms: Option<i64>,
    pub offset_ms: i64,
}

#[derive(Debug)]
pub(crate) enum AggregateParam {
    None,
    Scalar(ScalarPlan, Span),
    Label(String),
}

#[derive(Debug)]
pub(crate) struct AggregatePlan {
    pub op: AggregateOp,
    pub inner: Plan,
    pub param: AggregateParam,
    /// Sorted.
    pub grouping: Vec<String>,
    pub without: bool,
}

#[derive(Debug)]
pub(crate) struct BinaryPlan {
    pub op: BinaryOp,
    pub lhs: Plan,
    pub rhs: Plan,
    pub matching: Matching,
    pub return_bool: bool,
    pub span: Span,
}

#[derive(Debug)]
pub(crate) struct WithScalarPlan {
    pub op: BinaryOp,
    pub vector: Plan,
    pub scalar: ScalarPlan,
    /// The scalar is the left operand.
    pub scalar_left: bool,
    pub return_bool: bool,
}

/// A planned query.
#[derive(Debug)]
pub(crate) enum Root {
    Vector(Plan),
    Scalar(ScalarPlan),
    String(String),
}

/// A part of the plan, and whether it has the same value at every step.
struct Planned<T> {
    it: T,
    invariant: bool,
}

impl Planned<Plan> {
    fn wrapped(self) -> Plan {
        if self.invariant { Plan::Invariant(Box::new(self.it)) } else { self.it }
    }
}

impl Plan {
    /// Whether series stay told apart when their metric names are dropped.
    pub fn distinct_without_name(&self) -> bool {
        match self {
            Self::Select(s) | Self::SampleTime(s) | Self::Matrix(s, _) => s.single_name(),
            Self::Subquery(s) => s.inner.distinct_without_name(),
            Self::Range(r) => match &r.input {
                RangeInput::Select(s, _) => s.single_name(),
                RangeInput::Subquery(s) => s.inner.distinct_without_name(),
            },
            Self::Math(_, inner, _)
            | Self::Date(_, inner)
            | Self::StepTime(inner)
            | Self::Nothing(inner)
            | Self::Negate(inner)
            | Self::Invariant(inner)
            | Self::Sort(_, inner, _) => inner.distinct_without_name(),
            Self::Vector(_) | Self::Absent(..) => true,
            Self::WithScalar(w) => w.vector.distinct_without_name(),
            Self::Aggregate(a) => match a.op {
                AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                    a.inner.distinct_without_name()
                }
                _ => a.without || !a.grouping.iter().any(|g| is_metadata_label(g)),
            },
            Self::LabelReplace(..) | Self::LabelJoin(..) | Self::Buckets(_) | Self::Info(_) | Self::Binary(_) => false,
        }
    }

    /// Whether one series may come in several parts over disjoint steps.
    pub fn may_split(&self, delayed: bool) -> bool {
        match self {
            Self::Select(_) | Self::SampleTime(_) | Self::Matrix(..) | Self::Vector(_) | Self::Absent(..) => false,
            Self::Subquery(s) => s.inner.may_split(delayed),
            Self::Range(_) => false,
            Self::Math(_, inner, _) | Self::Date(_, inner) | Self::StepTime(inner) | Self::Negate(inner) => {
                inner.may_split(delayed) || (!delayed && !inner.distinct_without_name())
            }
            Self::Nothing(_) => false,
            Self::Invariant(inner) | Self::Sort(_, inner, _) => inner.may_split(delayed),
            Self::WithScalar(w) => w.vector.may_split(delayed) || (!delayed && !w.vector.distinct_without_name()),
            Self::Aggregate(a) => match a.op {
                AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK | AggregateOp::LimitRatio => {
                    a.inner.may_split(delayed)
                }
                _ => false,
            },
            Self::LabelReplace(..) | Self::LabelJoin(..) | Self::Buckets(_) | Self::Info(_) | Self::Binary(_) => true,
        }
    }
}

impl SelectPlan {
    fn single_name(&self) -> bool {
        self.matchers
            .iter()
            .any(|m| m.name() == labels::METRIC_NAME && m.kind() == labels::MatchType::Equal && !m.value().is_empty())
    }
}

/// Labels that say what a metric is and go when its values become something else.
pub(crate) fn is_metadata_label(name: &str) -> bool {
    METADATA_LABELS.contains(&name)
}

/// See [`is_metadata_label`].
pub(crate) const METADATA_LABELS: [&str; 3] = [labels::METRIC_NAME, "__type__", "__unit__"];

/// Plans a query.
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

#[derive(Clone, Copy)]
struct Planner<'a> {
    times: Grid,
    options: &'a EngineOptions,
    /// The range of the innermost subquery around, ms.
    within_ms: Option<i64>,
    /// Memory of the expressions that were compiled so far.
    regex_bytes: &'a Cell<usize>,
}

type Hint<'h> = Option<&'h Arc<str>>;

impl Planner<'_> {
    fn at(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            // Far beyond any data; offsets and ranges, 292 years at most, cannot overflow from there.
            At::Time(t) => t.clamp(i64::MIN / 4, i64::MAX / 4),
            At::Start => self.times.start_ms,
            At::End => self.times.end_ms,
        })
    }

    fn duration_ms(&self, d: &DurationExpr, negative_allowed: bool) -> Result<i64, QueryError> {
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

    fn seconds(&self, d: &DurationExpr) -> Result<f64, QueryError> {
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

    fn select(&self, v: &VectorSelector, hint: Hint<'_>) -> Result<SelectPlan, QueryError> {
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

    fn subquery(&self, s: &promql_syntax::Subquery, hint: Hint<'_>) -> Result<SubqueryPlan, QueryError> {
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

    fn vector(&self, expr: &Expr, hint: Hint<'_>) -> Result<Planned<Plan>, QueryError> {
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

    fn aggregate(&self, a: &promql_syntax::Aggregate) -> Result<Planned<Plan>, QueryError> {
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

    fn binary(&self, b: &promql_syntax::Binary) -> Result<Planned<Plan>, QueryError> {
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

    fn scalar(&self, expr: &Expr) -> Result<Planned<ScalarPlan>, QueryError> {
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

    fn scalars(&self, args: &[Expr]) -> Result<(Vec<ScalarPlan>, bool), QueryError> {
        let mut invariant = true;
        let mut list = Vec::with_capacity(args.len());
        for a in args {
            let s = self.scalar(a.unparen())?;
            invariant &= s.invariant;
            list.push(s.it);
        }
        Ok((list, invariant))
    }

    fn call(&self, c: &Call) -> Result<Planned<Plan>, QueryError> {
        let name = c.function.name;
        let hint: Arc<str> = Arc::from(name);
        if let Some(at) = c.args.iter().position(|a| matches!(a.unparen(), Expr::Matrix(_) | Expr::Subquery(_)))
            && c.function.args.get(at).is_some_and(|t| *t == ValueType::Matrix)
        {
            return self.range_call(c, at, &hint);
        }
        if let Some(f) = DateFn::named(name) {
            let Some(a) = c.args.first() else {
                return Ok(Planned { it: Plan::Vector(ScalarPlan::Date(f)), invariant: false });
            };
            let inner = self.vector(a.unparen(), Some(&hint))?.wrapped();
            return Ok(Planned { it: Plan::Date(f, Box::new(inner)), invariant: false });
        }
        let string = |at: usize| match c.args.get(at).map(|a| a.unparen()) {
            Some(Expr::String(s)) => Ok(s.value.clone()),
            _ => Err(QueryError::Execution(format!("argument {} of {name}() must be a string literal", at + 1))),
        };
        let vector_at = |at: usize| self.vector(arg(c, at)?.unparen(), Some(&hint));
        match name {
            "vector" => {
                let s = self.scalar(arg(c, 0)?.unparen())?;
                Ok(Planned { it: Plan::Vector(s.it), invariant: s.invariant })
            }
            "timestamp" => {
                let inner = vector_at(0)?;
                if let Plan::Select(select) = &inner.it {
                    return Ok(Planned { it: Plan::SampleTime(select.clone()), invariant: inner.invariant });
                }
                Ok(Planned { it: Plan::StepTime(Box::new(inner.wrapped())), invariant: false })
            }
            "absent" => {
                let inner = vector_at(0)?;
                let labels = absent_labels(arg(c, 0)?.unparen());
                Ok(Planned { it: Plan::Absent(Box::new(inner.it), labels), invariant: inner.invariant })
            }
            "sort" | "sort_desc" => {
                let inner = vector_at(0)?;
                let order = SortOrder::Value { descending: name == "sort_desc" };
                Ok(Planned { it: Plan::Sort(order, Box::new(inner.it), c.span), invariant: inner.invariant })
            }
            "sort_by_label" | "sort_by_label_desc" => {
                let inner = vector_at(0)?;
                let labels = (1..c.args.len()).map(string).collect::<Result<_, _>>()?;
                let order = SortOrder::Labels { labels, descending: name == "sort_by_label_desc" };
                Ok(Planned { it: Plan::Sort(order, Box::new(inner.it), c.span), invariant: inner.invariant })
            }
            "label_replace" => {
                let inner = vector_at(0)?;
                let replace = crate::functions::labels::Replace::new(&string(1)?, string(2)?, string(3)?, &string(4)?)?;
                self.count_regex(replace.program_bytes())?;
                Ok(Planned {
                    it: Plan::LabelReplace(Box::new(inner.it), Box::new(replace)),
                    invariant: inner.invariant,
                })
            }
            "label_join" => {
                let inner = vector_at(0)?;
                let sources = (3..c.args.len()).map(string).collect::<Result<_, _>>()?;
                let join = crate::functions::labels::Join::new(string(1)?, string(2)?, sources)?;
                Ok(Planned { it: Plan::LabelJoin(Box::new(inner.it), Box::new(join)), invariant: inner.invariant })
            }
            "histogram_quantile" | "histogram_fraction" | "histogram_quantiles" => self.buckets(c, &hint),
            "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev" | "histogram_stdvar"
            | "start_timestamp" => {
                let inner = vector_at(0)?;
                Ok(Planned { it: Plan::Nothing(Box::new(inner.it)), invariant: inner.invariant })
            }
            "info" => {
                let matchers = match c.args.get(1).map(|a| a.unparen()) {
                    Some(Expr::Vector(v)) => Some(v.matchers.clone()),
                    Some(_) => {
                        return Err(QueryError::Execution("info() needs a selector as its second argument".to_owned()));
                    }
                    None => None,
                };
                let (at_ms, offset_ms) = self.info_time(arg(c, 0)?)?;
                let inner = vector_at(0)?;
                let invariant = inner.invariant && at_ms.is_some();
                let inner = if invariant { inner.it } else { inner.wrapped() };
                let plan = InfoPlan { inner, matchers, at_ms, offset_ms };
                Ok(Planned { it: Plan::Info(Box::new(plan)), invariant })
            }
            _ => {
                let Some(f) = MathFn::named(name) else {
                    return Err(QueryError::Execution(format!("unknown function {name:?}")));
                };
                let inner = vector_at(0)?;
                let (args, args_invariant) = self.scalars(&c.args[1..])?;
                let invariant = inner.invariant && args_invariant;
                let inner = if invariant { inner.it } else { inner.wrapped() };
                Ok(Planned { it: Plan::Math(f, Box::new(inner), args), invariant })
            }
        }
    }

    fn count_regex(&self, bytes: usize) -> Result<(), QueryError> {
        self.regex_bytes.set(self.regex_bytes.get().saturating_add(bytes));
        let max = self.options.parse.max_regex_bytes;
        if max > 0 && self.regex_bytes.get() > max {
            return Err(QueryError::Limit(format!(
                "regular expressions of label_replace() take more than {max} bytes when compiled (--query.max-regex-bytes)"
            )));
        }
        Ok(())
    }

    fn buckets(&self, c: &Call, hint: &Arc<str>) -> Result<Planned<Plan>, QueryError> {
        let scalar = |at: usize| {
            let a = arg(c, at)?.unparen();
            Ok::<_, QueryError>((self.scalar(a)?, a.span()))
        };
        let (vector_at, function, mut invariant) = match c.function.name {
            "histogram_quantile" => {
                let (q, span) = scalar(0)?;
                (1, BucketsFn::Quantile(q.it, span), q.invariant)
            }
            "histogram_fraction" => {
                let ((lower, _), (upper, _)) = (scalar(0)?, scalar(1)?);
                (2, BucketsFn::Fraction(lower.it, upper.it), lower.invariant && upper.invariant)
            }
            _ => {
                let label = match arg(c, 1)?.unparen() {
                    Expr::String(s) => s.value.clone(),
                    _ => return Err(QueryError::Execution("histogram_quantiles() needs a label name".to_owned())),
                };
                let mut invariant = true;
                let mut list = Vec::new();
                for at in 2..c.args.len() {
                    let (q, span) = scalar(at)?;
                    invariant &= q.invariant;
                    list.push((q.it, span));
                }
                (0, BucketsFn::Quantiles(label, list), invariant)
            }
        };
        let inner_expr = arg(c, vector_at)?.unparen();
        let inner = self.vector(inner_expr, Some(hint))?;
        invariant &= inner.invariant;
        let inner = if invariant { inner.it } else { inner.wrapped() };
        Ok(Planned { it: Plan::Buckets(Box::new(BucketsPlan { function, inner, span: inner_expr.span() })), invariant })
    }

    fn range_call(&self, c: &Call, at: usize, hint: &Arc<str>) -> Result<Planned<Plan>, QueryError> {
        let name = c.function.name;
        let Some(function) = RangeFn::named(name) else {
            return Err(QueryError::Execution(format!("unknown function {name:?}")));
        };
        let range_arg = c.args[at].unparen();
        let mut invariant = function != RangeFn::PredictLinear;
        let input = match range_arg {
            Expr::Matrix(m) => {
                let select = self.select(&m.vector, Some(hint))?;
                check_extended(&select, name)?;
                invariant &= select.at_ms.is_some();
                RangeInput::Select(Arc::new(select), self.duration_ms(&m.range, false)?)
            }
            Expr::Subquery(s) => {
                let sub = self.subquery(s, Some(hint))?;
                invariant &= sub.at_ms.is_some();
                RangeInput::Subquery(sub)
            }
            _ => return Err(QueryError::Execution(format!("{name}() needs a range"))),
        };
        let mut args = Vec::new();
        for (i, a) in c.args.iter().enumerate() {
            if i != at {
                let s = self.scalar(a.unparen())?;
                invariant &= s.invariant;
                args.push(s.it);
            }
        }
        let plan = RangePlan { function, input, args, span: range_arg.span(), first_span: c.args[0].unparen().span() };
        if function == RangeFn::AbsentOverTime {
            let labels = absent_labels(range_arg);
            let inner = Plan::Range(Box::new(RangePlan { function: RangeFn::PresentOverTime, ..plan }));
            return Ok(Planned { it: Plan::Absent(Box::new(inner), labels), invariant });
        }
        Ok(Planned { it: Plan::Range(Box::new(plan)), invariant })
    }

    /// The `@` and offset of the first selector in `info`'s first argument; they hold for the info series too.
    fn info_time(&self, expr: &Expr) -> Result<(Option<i64>, i64), QueryError> {
        Ok(self.first_selector_time(expr)?.unwrap_or((None, 0)))
    }

    fn first_selector_time(&self, expr: &Expr) -> Result<Option<(Option<i64>, i64)>, QueryError> {
        let own = |v: &VectorSelector| Ok(Some((self.at(v.at), self.duration_ms(&v.offset, true)?)));
        match expr {
            Expr::Vector(v) => own(v),
            Expr::Matrix(m) => own(&m.vector),
            Expr::Paren(p) => self.first_selector_time(&p.expr),
            Expr::Unary(u) => self.first_selector_time(&u.expr),
            Expr::Aggregate(a) => self.first_selector_time(&a.expr),
            Expr::Binary(b) => match self.first_selector_time(&b.lhs)? {
                Some(found) => Ok(Some(found)),
                None => self.first_selector_time(&b.rhs),
            },
            Expr::Call(c) => {
                for a in &c.args {
                    if let Some(found) = self.first_selector_time(a)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            Expr::Subquery(s) => Ok(match self.first_selector_time(&s.expr)? {
                Some((None, offset)) => Some((self.at(s.at), offset + self.duration_ms(&s.offset, true)?)),
                found => found,
            }),
            Expr::Number(_) | Expr::String(_) => Ok(None),
        }
    }
}

/// A length of time that cannot be computed; as Prometheus says it, with the bytes from and to.
fn bad_duration(span: Span, why: &str) -> QueryError {
    QueryError::Bad(format!("invalid parameter \"query\": {}:{}: {why}", span.start, span.end))
}

fn arg(c: &Call, at: usize) -> Result<&Expr, QueryError> {
    c.args.get(at).ok_or_else(|| QueryError::Execution(format!("{}() lacks argument {}", c.function.name, at + 1)))
}

fn check_extended(select: &SelectPlan, function: &str) -> Result<(), QueryError> {
    let refuse = |kind: &str, allowed: &[&str]| {
        if allowed.contains(&function) {
            return Ok(());
        }
        let list = allowed.join(", ");
        Err(QueryError::Execution(format!("{kind} modifier can only be used with: {list} - not with {function}")))
    };
    if select.anchored {
        refuse("anchored", &["changes", "delta", "increase", "rate", "resets"])
    } else if select.smoothed {
        refuse("smoothed", &["delta", "increase", "rate"])
    } else {
        Ok(())
    }
}

/// The labels that a selector's equality matchers pin down, for `absent`.
fn absent_labels(expr: &Expr) -> labels::Labels {
    let matchers = match expr {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.vector.matchers,
        _ => return labels::Labels::empty(),
    };
    let mut builder = labels::Builder::new();
    let mut seen = std::collections::HashSet::new();
    for m in matchers.iter().filter(|m| m.name() != labels::METRIC_NAME) {
        if m.kind() == labels::MatchType::Equal && seen.insert(m.name()) {
            builder.set(m.name(), m.value());
        } else {
            builder.remove(m.name());
        }
    }
    builder.build()
}

/// Go's `math.Min`: NaN wins.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a.is_infinite() && a < 0.0 || b.is_infinite() && b < 0.0 {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else {
        a.min(b)
    }
}

/// Go's `math.Max`: NaN wins, except over +Inf.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}
