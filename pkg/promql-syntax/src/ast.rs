//! The syntax tree. Every node knows its place in the query text, so that warnings and errors can point at it.

use std::sync::Arc;

use labels::Matcher;

/// A half-open range of byte offsets in the query text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// The type of an expression's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// A set of series with one sample each per step.
    Vector,
    /// A set of series with a range of samples each per step.
    Matrix,
    /// A text.
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

/// Any expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// `1.5`, and durations used as numbers (`5m` is 300).
    Number(NumberLiteral),
    /// `"text"`.
    String(StringLiteral),
    /// `(expr)`.
    Paren(Box<Paren>),
    /// `-expr`, `+expr`.
    Unary(Box<Unary>),
    /// `a + on (x) group_left (y) b`.
    Binary(Box<Binary>),
    /// `rate(x[5m])`.
    Call(Box<Call>),
    /// `sum by (x) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `name{l="v"} offset 5m @ 3`.
    Vector(Box<VectorSelector>),
    /// `name{l="v"}[5m] offset 5m @ 3`; offset and `@` live in the inner selector.
    Matrix(Box<MatrixSelector>),
    /// `expr[1h:5m] offset 5m @ 3`.
    Subquery(Box<Subquery>),
}

/// A number.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberLiteral {
    /// The value.
    pub value: f64,
    /// Written as a duration: the printer writes it so again.
    pub is_duration: bool,
    /// Place.
    pub span: Span,
}

/// A text.
#[derive(Debug, Clone, PartialEq)]
pub struct StringLiteral {
    /// Unquoted.
    pub value: String,
    /// Place.
    pub span: Span,
}

/// Parentheses, kept for printing and for positions.
#[derive(Debug, Clone, PartialEq)]
pub struct Paren {
    /// Inside.
    pub expr: Expr,
    /// Place, with the parentheses.
    pub span: Span,
}

/// A sign.
#[derive(Debug, Clone, PartialEq)]
pub struct Unary {
    /// True for `-`, false for `+`.
    pub negative: bool,
    /// Operand.
    pub expr: Expr,
    /// Place.
    pub span: Span,
}

/// A binary operator.
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
    /// One to one.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// `on`/`ignoring`, `group_left`/`group_right`, `fill…`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matching {
    /// See [`Cardinality`].
    pub cardinality: Cardinality,
    /// True for `on`, false for `ignoring` and for neither.
    pub on: bool,
    /// Labels of `on`/`ignoring`.
    pub labels: Vec<String>,
    /// Labels of `group_left`/`group_right` to copy from the "one" side.
    pub include: Vec<String>,
    /// `fill`/`fill_left`: value for a missing left sample.
    pub fill_left: Option<f64>,
    /// `fill`/`fill_right`: value for a missing right sample.
    pub fill_right: Option<f64>,
}

/// Two operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Left operand.
    pub lhs: Expr,
    /// Right operand.
    pub rhs: Expr,
    /// Present when both sides are vectors.
    pub matching: Option<Matching>,
    /// `bool`: comparisons give 0 or 1 in place of filtering.
    pub return_bool: bool,
    /// Place.
    pub span: Span,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Signature, from [`crate::functions`].
    pub function: &'static crate::Function,
    /// Arguments; defaults of optional ones are left out here.
    pub args: Vec<Expr>,
    /// Place.
    pub span: Span,
}

/// An aggregation operator.
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

/// An aggregation.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: Expr,
    /// `k`, `q` or label of topk, quantile, count_values and the like.
    pub param: Option<Expr>,
    /// Labels of `by`/`without`.
    pub grouping: Vec<String>,
    /// True for `without`.
    pub without: bool,
    /// Place.
    pub span: Span,
}

/// The `@` modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// `@ 1234.5`, in ms.
    Time(i64),
    /// `@ start()`.
    Start,
    /// `@ end()`.
    End,
}

/// A length of time in a range, a step or an offset: known, or to be computed from the query's step and range.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExpr {
    /// ms; negative only in offsets.
    Literal(i64),
    /// `step()`.
    Step,
    /// `range()`: end − start of the query.
    Range,
    /// `-d`, `+d`.
    Sign {
        /// True for `-`.
        negative: bool,
        /// Operand.
        expr: Box<DurationExpr>,
    },
    /// `a + b` and so on, with `+ - * / % ^`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Left operand.
        lhs: Box<DurationExpr>,
        /// Right operand.
        rhs: Box<DurationExpr>,
        /// Place.
        span: Span,
    },
    /// All of a length that is to be computed, and its place.
    Whole(Box<DurationExpr>, Span),
    /// `min_of(a, b)`.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
    /// A bare number, in seconds where it stands for a length, a factor beside `*` and `/`.
    Number(f64),
    /// `(d)`.
    Paren(Box<DurationExpr>),
}

/// An instant selector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The metric name when it was written before the braces; then the last of `matchers` is the one for it. A name
    /// quoted inside the braces is only among `matchers`.
    pub name: Option<String>,
    /// All conditions, the one on `__name__` included.
    pub matchers: Arc<[Matcher]>,
    /// `offset`; [`DurationExpr::Literal`] 0 without one.
    pub offset: DurationExpr,
    /// `@`.
    pub at: Option<At>,
    /// `anchored` (extended range selectors).
    pub anchored: bool,
    /// `smoothed` (extended range selectors).
    pub smoothed: bool,
    /// Place, modifiers included.
    pub span: Span,
}

/// A range selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// Its series.
    pub vector: VectorSelector,
    /// The window's length.
    pub range: DurationExpr,
    /// Place, modifiers included.
    pub span: Span,
}

/// A range over an expression's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// Evaluated at each step.
    pub expr: Expr,
    /// The window's length.
    pub range: DurationExpr,
    /// The step; `None` = the default evaluation interval.
    pub step: Option<DurationExpr>,
    /// `offset`.
    pub offset: DurationExpr,
    /// `@`.
    pub at: Option<At>,
    /// Place, modifiers included.
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
    /// As written.
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

    /// `and or unless`.
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

impl AggregateOp {
    /// As written.
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
