//! What a query is planned into: operators with their arguments, before any data is read.

use std::sync::{Arc, OnceLock};

use labels::Matcher;
use promql_syntax::{AggregateOp, BinaryOp, Matching, Span};

use crate::functions::dates::DateKernel;
use crate::functions::math::MathKernel;
use crate::functions::native::NativeKernel;
use crate::functions::sort::SortOrder;
use crate::kernel::RangeKernel;
use crate::select_plan::{SelectPlan, Shown, is_metadata_label};

/// What a vector or matrix expression turns into.
#[derive(Debug)]
pub(crate) enum Plan {
    Select(Arc<SelectPlan>),
    /// `timestamp(selector)`, `start_timestamp(selector)`: the samples' own times.
    SampleTime(Arc<SelectPlan>, Shown),
    /// A range selector at the top of an instant query.
    Matrix(Arc<SelectPlan>, i64),
    /// A subquery at the top of an instant query.
    Subquery(Box<SubqueryPlan>),
    /// A function of a range.
    Range(Box<RangePlan>),
    Absent(Box<Plan>, labels::Labels),
    /// A function of each value.
    Math(Called<MathKernel>, Box<Plan>, Vec<ScalarPlan>),
    /// A calendar function of each value.
    Date(Called<DateKernel>, Box<Plan>),
    /// Values replaced by step times (`timestamp` of an expression).
    StepTime(Box<Plan>),
    /// Nothing, but the argument's errors still count.
    Nothing(Box<Plan>),
    /// A function of each native histogram.
    Native(Box<NativePlan>),
    Negate(Box<Plan>),
    Vector(ScalarPlan),
    /// `sort`, `sort_desc` and those by label.
    Sort(Box<SortPlan>),
    LabelReplace(Box<Plan>, Box<crate::functions::labels::Replace>),
    LabelJoin(Box<Plan>, Box<crate::functions::labels::Join>),
    /// The functions of classic histograms: `histogram_quantile`, `histogram_quantiles`, `histogram_fraction`.
    Buckets(Box<BucketsPlan>),
    Info(Box<InfoPlan>),
    Aggregate(Box<AggregatePlan>),
    Binary(Box<BinaryPlan>),
    WithScalar(Box<WithScalarPlan>),
    /// Evaluated at one step, the same at all.
    Invariant(Box<Plan>),
    /// Evaluated once, for all places that have the same one.
    Shared(Arc<SharedPlan>),
}

/// A function with its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Called<K> {
    pub name: &'static str,
    pub kernel: K,
}

/// What several places of a query have.
#[derive(Debug)]
pub(crate) struct SharedPlan {
    pub number: u32,
    /// Set before any data is read.
    pub plan: OnceLock<Plan>,
}

impl SharedPlan {
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.get()
    }
}

#[derive(Debug)]
pub(crate) struct NativePlan {
    pub function: Called<NativeKernel>,
    /// The function looks at more than count and sum.
    pub reads_buckets: bool,
    pub inner: Plan,
}

#[derive(Debug)]
pub(crate) struct SortPlan {
    pub name: &'static str,
    pub order: SortOrder,
    pub inner: Plan,
    /// The values are the same at every step.
    pub is_pinned: bool,
    pub span: Span,
}

/// What a scalar expression turns into.
#[derive(Debug)]
pub(crate) enum ScalarPlan {
    Const(f64),
    Time,
    /// A calendar function of the step's time.
    Date(Called<DateKernel>),
    Negate(Box<ScalarPlan>),
    Binary(BinaryOp, Box<ScalarPlan>, Box<ScalarPlan>),
    MinOf(Box<ScalarPlan>, Box<ScalarPlan>),
    MaxOf(Box<ScalarPlan>, Box<ScalarPlan>),
    FromVector(Box<Plan>),
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
    pub name: &'static str,
    pub kernel: &'static RangeKernel,
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
    pub name: &'static str,
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
    /// Label names, sorted and each once.
    pub grouping: Vec<String>,
    pub without: bool,
    /// Place of the whole aggregation, and of what it aggregates.
    pub span: Span,
    pub inner_span: Span,
}

impl AggregatePlan {
    /// Whether the result is the same if the series that it is of keep the names that they are to lose.
    pub fn ignores_names(&self) -> bool {
        use AggregateOp::{Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum};
        let folds = matches!(self.op, Sum | Avg | Count | Min | Max | Group | Stddev | Stdvar);
        let shows_names = self.without || self.grouping.iter().any(|g| is_metadata_label(g));
        folds && !shows_names && self.inner.distinct_without_name()
    }
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
    pub span: Span,
}

/// A planned query, by the type of its result.
#[derive(Debug)]
pub(crate) enum Root {
    Vector(Plan),
    Scalar(ScalarPlan),
    String(String),
}

impl Plan {
    /// Whether series stay told apart when their metric names are dropped.
    pub fn distinct_without_name(&self) -> bool {
        match self {
            Self::Select(s) | Self::SampleTime(s, _) | Self::Matrix(s, _) => s.single_name(),
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
            | Self::Invariant(inner) => inner.distinct_without_name(),
            Self::Native(n) => n.inner.distinct_without_name(),
            Self::Sort(s) => s.inner.distinct_without_name(),
            Self::Shared(s) => s.plan().is_some_and(Self::distinct_without_name),
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
            Self::Select(_) | Self::SampleTime(..) | Self::Matrix(..) | Self::Vector(_) | Self::Absent(..) => false,
            Self::Subquery(s) => s.inner.may_split(delayed),
            Self::Range(_) | Self::Nothing(_) => false,
            Self::Math(_, inner, _) | Self::Date(_, inner) | Self::StepTime(inner) | Self::Negate(inner) => {
                inner.may_split(delayed) || (!delayed && !inner.distinct_without_name())
            }
            Self::Native(n) => n.inner.may_split(delayed) || (!delayed && !n.inner.distinct_without_name()),
            Self::Invariant(inner) => inner.may_split(delayed),
            Self::Sort(s) => s.inner.may_split(delayed),
            Self::Shared(s) => s.plan().is_none_or(|plan| plan.may_split(delayed)),
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
