//! The syntax tree. Every node knows its place in the query text, so that warnings and errors can point at it.

use std::sync::Arc;

use labels::Matcher;

/// A half-open range of byte offsets in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// Where it begins in the query, bytes.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The type of an expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number for each step, without labels.
    Scalar,
    /// A set of series with one sample each per step.
    Vector,
    /// A set of series with a range of samples each per step.
    Matrix,
    /// A string; only literals have this type.
    String,
}

impl ValueType {
    /// As the HTTP API names the type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }

    /// As parse errors name the type: `instant vector`, `range vector`, `scalar`, `string`.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }
}

/// Any expression, with its place in the query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, and durations used as numbers (`5m` is 300).
    Number(NumberLiteral),
    /// A string literal, `"text"`.
    String(StringLiteral),
    /// An expression in parentheses, `(expr)`.
    Paren(Box<Paren>),
    /// An expression with a sign, `-expr` or `+expr`.
    Unary(Box<Unary>),
    /// `a + on (x) group_left (y) b`.
    Binary(Box<Binary>),
    /// A function call, `rate(x[5m])`.
    Call(Box<Call>),
    /// An aggregation, `sum by (x) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `name{l="v"} offset 5m @ 3`.
    Vector(Box<VectorSelector>),
    /// `name{l="v"}[5m] offset 5m @ 3`; offset and `@` live in the inner selector.
    Matrix(Box<MatrixSelector>),
    /// `expr[1h:5m] offset 5m @ 3`.
    Subquery(Box<Subquery>),
}

/// A number literal, durations as seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// The value of the literal.
    pub value: f64,
    /// Written as a duration: the printer writes it so again.
    pub is_duration: bool,
    /// Where it stands in the query.
    pub span: Span,
}

/// A string; only literals have this type.
#[derive(Debug, Clone, PartialEq)]
pub struct StringLiteral {
    /// The string with quotes and escapes resolved.
    pub value: String,
    /// As it is to be written where its bytes are no UTF-8, with quotes; `value` has U+FFFD in place of those bytes.
    pub quoted: Option<Box<str>>,
    /// Where it stands in the query.
    pub span: Span,
}

/// Parentheses, kept for printing and for positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// The expression in the parentheses.
    pub expr: Expr,
    /// Where it stands in the query, its parentheses included.
    pub span: Span,
}

/// An expression with a sign before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// True for `-`, false for `+`.
    pub negative: bool,
    /// The expression that the sign is before.
    pub expr: Expr,
    /// Where it stands in the query.
    pub span: Span,
}

/// A binary operator, between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the operators")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    /// `</`, drops observations above a bound from native histograms.
    TrimUpper,
    /// `>/`, drops observations below a bound from native histograms.
    TrimLower,
    And,
    Or,
    Unless,
}

/// How many series of each side may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// One series of each side: neither `group_left` nor `group_right`.
    #[default]
    OneToOne,
    /// Many series of the left side with one of the right side, `group_left`.
    ManyToOne,
    /// One series of the left side with many of the right side, `group_right`.
    OneToMany,
    /// Any number on both sides, as set operators take them.
    ManyToMany,
}

/// How series of two vectors are matched: `on`, `ignoring`, `group_left`, `group_right`, `fill`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// How many series of each side may match.
    pub cardinality: Cardinality,
    /// True for `on`, false for `ignoring` and for neither.
    pub on: bool,
    /// The label names of `on` or `ignoring`, as written.
    pub labels: Vec<String>,
    /// Labels of `group_left`/`group_right` to copy from the "one" side.
    pub include: Vec<String>,
    /// `fill`/`fill_left`: value for a missing left sample.
    pub fill_left: Option<f64>,
    /// `fill`/`fill_right`: value for a missing right sample.
    pub fill_right: Option<f64>,
}

/// A binary operator with its two operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// Which operator it is.
    pub op: BinaryOp,
    /// The expression before the operator.
    pub lhs: Expr,
    /// The expression after the operator.
    pub rhs: Expr,
    /// Present when both sides are vectors.
    pub matching: Option<Matching>,
    /// `bool`: comparisons give 0 or 1 in place of filtering.
    pub return_bool: bool,
    /// Where it stands in the query.
    pub span: Span,
}

/// A call of one of [`crate::FUNCTIONS`].
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The signature of the function that is called.
    pub function: &'static crate::Function,
    /// Arguments; defaults of optional ones are left out here.
    pub args: Vec<Expr>,
    /// Where it stands in the query.
    pub span: Span,
}

/// An aggregation operator, before the parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the operators")]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    Quantile,
    CountValues,
    LimitK,
    LimitRatio,
}

/// An aggregation of the series of an expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// Which operator it is.
    pub op: AggregateOp,
    /// The expression whose series are aggregated.
    pub expr: Expr,
    /// `k`, `q` or label of topk, quantile, count_values and the like.
    pub param: Option<Expr>,
    /// The label names of `by` or `without`, as written.
    pub grouping: Vec<String>,
    /// True for `without`, false for `by` and for neither.
    pub without: bool,
    /// Where it stands in the query.
    pub span: Span,
}

/// The time that an `@` modifier pins a selector to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// `@ 1234.5`: a fixed time, ms since the epoch.
    Time(i64),
    /// `@ start()`: the first step of the query.
    Start,
    /// `@ end()`: the last step of the query.
    End,
}

/// A length of time in a range, a step or an offset: known, or to be computed from the query's step and range.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// ms; negative only in offsets.
    Literal(i64),
    /// `step()`: the query's own step, 0 in instant queries.
    Step,
    /// `range()`: end − start of the query.
    Range,
    /// A duration with a sign, `-d` or `+d`.
    Sign {
        /// True for `-`, false for `+`.
        negative: bool,
        /// The expression that the sign is before.
        expr: Box<DurationExpr>,
    },
    /// `a + b` and so on, with `+ - * / % ^`.
    Binary {
        /// Which operator it is.
        op: BinaryOp,
        /// The expression before the operator.
        lhs: Box<DurationExpr>,
        /// The expression after the operator.
        rhs: Box<DurationExpr>,
        /// Where it stands in the query.
        span: Span,
    },
    /// All of a length that is to be computed, and its place.
    Whole(Box<DurationExpr>, Span),
    /// `min_of(a, b)`: the smaller of two.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`: the larger of two.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// A bare number, in seconds where it stands for a length, a factor beside `*` and `/`.
    Number(f64),
    /// A duration in parentheses, `(d)`.
    Paren(Box<DurationExpr>),
}

/// An instant selector, `name{matchers} offset d @ t`.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; then the last of `matchers` is the one for it. A name
    /// quoted inside the braces is only among `matchers`.
    pub name: Option<String>,
    /// All conditions, the one on `__name__` included.
    pub matchers: Arc<[Matcher]>,
    /// `offset`; [`DurationExpr::Literal`] 0 without one.
    pub offset: DurationExpr,
    /// The time of an `@` modifier, if there is one.
    pub at: Option<At>,
    /// Whether `anchored` follows the range (extended range selectors).
    pub anchored: bool,
    /// Whether `smoothed` follows the range (extended range selectors).
    pub smoothed: bool,
    /// Where it stands in the query, its modifiers included.
    pub span: Span,
}

/// A range selector, `name{matchers}[range]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The instant selector before the brackets.
    pub vector: VectorSelector,
    /// The length of the range, in the brackets.
    pub range: DurationExpr,
    /// Where it stands in the query, its modifiers included.
    pub span: Span,
}

/// A range over an expression's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// The expression that is evaluated at each of the subquery's steps.
    pub expr: Expr,
    /// The length of the range, in the brackets.
    pub range: DurationExpr,
    /// The step; `None` = the default evaluation interval.
    pub step: Option<DurationExpr>,
    /// How far back in time it looks, `offset`; zero without.
    pub offset: DurationExpr,
    /// The time of an `@` modifier, if there is one.
    pub at: Option<At>,
    /// Where it stands in the query, its modifiers included.
    pub span: Span,
}

impl Expr {
    /// The node's place in the query.
    pub fn span(&self) -> Span {
        match self {
            Self::Number(e) => e.span,
            Self::String(e) => e.span,
            Self::Paren(e) => e.span,
            Self::Unary(e) => e.span,
            Self::Binary(e) => e.span,
            Self::Call(e) => e.span,
            Self::Aggregate(e) => e.span,
            Self::Vector(e) => e.span,
            Self::Matrix(e) => e.span,
            Self::Subquery(e) => e.span,
        }
    }

    /// The type of the node's value.
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Number(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Paren(e) => e.expr.value_type(),
            Self::Unary(e) => e.expr.value_type(),
            Self::Binary(e) => match (e.lhs.value_type(), e.rhs.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
            Self::Call(e) => e.function.returns,
            Self::Aggregate(_) | Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) | Self::Subquery(_) => ValueType::Matrix,
        }
    }

    /// The node without parentheses around it.
    pub fn unparen(&self) -> &Expr {
        match self {
            Self::Paren(e) => e.expr.unparen(),
            other => other,
        }
    }
}

impl BinaryOp {
    /// As it is written in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterEqual => ">=",
            Self::LessEqual => "<=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// `== != > < >= <=`.
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Greater | Self::Less | Self::GreaterEqual | Self::LessEqual)
    }

    /// Whether it is `and`, `or` or `unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

impl AggregateOp {
    /// As it is written in a query.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Count => "count",
            Self::Min => "min",
            Self::Max => "max",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::TopK => "topk",
            Self::BottomK => "bottomk",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
            Self::LimitK => "limitk",
            Self::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before the expression.
    pub fn has_param(self) -> bool {
        matches!(
            self,
            Self::TopK | Self::BottomK | Self::Quantile | Self::CountValues | Self::LimitK | Self::LimitRatio
        )
    }
}

/// What the parser leaves behind while it moves an expression.
pub(crate) fn placeholder() -> Expr {
    Expr::Number(NumberLiteral { value: 0.0, is_duration: false, span: Span::default() })
}
