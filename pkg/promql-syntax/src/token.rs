//! The words of the language.

use crate::AggregateOp;
use labels::quote;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tok {
    Eof,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    Number,
    Duration,
    Text,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `=`, in matchers of equality.
    Assign,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Equal,
    NotEqual,
    LessEqual,
    Less,
    GreaterEqual,
    Greater,
    TrimUpper,
    TrimLower,
    RegexMatch,
    RegexNotMatch,
    At,
    And,
    Or,
    Unless,
    Atan2,
    Aggregator(AggregateOp),
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

/// A token and its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub tok: Tok,
    pub start: usize,
    pub end: usize,
}

impl Tok {
    /// The keyword that `word` is, in any case; `inf` and `nan` are numbers.
    pub fn keyword(word: &str) -> Option<Self> {
        use AggregateOp as A;
        // The longest keyword has twelve bytes: longer words need no lowering.
        if word.len() > 12 {
            return None;
        }
        Some(match word.to_ascii_lowercase().as_str() {
            "and" => Self::And,
            "or" => Self::Or,
            "unless" => Self::Unless,
            "atan2" => Self::Atan2,
            "sum" => Self::Aggregator(A::Sum),
            "avg" => Self::Aggregator(A::Avg),
            "count" => Self::Aggregator(A::Count),
            "min" => Self::Aggregator(A::Min),
            "max" => Self::Aggregator(A::Max),
            "group" => Self::Aggregator(A::Group),
            "stddev" => Self::Aggregator(A::Stddev),
            "stdvar" => Self::Aggregator(A::Stdvar),
            "topk" => Self::Aggregator(A::TopK),
            "bottomk" => Self::Aggregator(A::BottomK),
            "count_values" => Self::Aggregator(A::CountValues),
            "quantile" => Self::Aggregator(A::Quantile),
            "limitk" => Self::Aggregator(A::LimitK),
            "limit_ratio" => Self::Aggregator(A::LimitRatio),
            "offset" => Self::Offset,
            "smoothed" => Self::Smoothed,
            "anchored" => Self::Anchored,
            "by" => Self::By,
            "without" => Self::Without,
            "on" => Self::On,
            "ignoring" => Self::Ignoring,
            "group_left" => Self::GroupLeft,
            "group_right" => Self::GroupRight,
            "fill" => Self::Fill,
            "fill_left" => Self::FillLeft,
            "fill_right" => Self::FillRight,
            "bool" => Self::Bool,
            "inf" | "nan" => Self::Number,
            other => return Self::duration_keyword(other).or_else(|| Self::preprocessor(other)),
        })
    }

    /// The words allowed in duration expressions, lowercase.
    pub fn duration_keyword(word: &str) -> Option<Self> {
        Some(match word {
            "step" => Self::Step,
            "range" => Self::Range,
            "max_of" => Self::MaxOf,
            "min_of" => Self::MinOf,
            _ => return None,
        })
    }

    fn preprocessor(word: &str) -> Option<Self> {
        match word {
            "start" => Some(Self::Start),
            "end" => Some(Self::End),
            _ => None,
        }
    }

    /// Whether the word can be a metric's name where an expression may start.
    pub fn is_metric_name(self) -> bool {
        matches!(
            self,
            Self::Aggregator(_)
                | Self::By
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Identifier
                | Self::And
                | Self::Or
                | Self::Unless
                | Self::MetricIdentifier
                | Self::Offset
                | Self::Without
                | Self::Start
                | Self::End
                | Self::Step
                | Self::Range
                | Self::Anchored
                | Self::Smoothed
                | Self::MaxOf
                | Self::MinOf
        )
    }

    /// Whether the word can be a label's name in `by (…)` and the like.
    pub fn is_grouping_label(self) -> bool {
        match self {
            Self::Without => false,
            Self::Bool | Self::GroupLeft | Self::GroupRight | Self::Ignoring | Self::On | Self::Atan2 => true,
            other => other.is_metric_name(),
        }
    }

    /// Whether an expression can start with this token.
    pub fn starts_expression(self) -> bool {
        self.is_metric_name()
            || matches!(
                self,
                Self::Number | Self::Duration | Self::Text | Self::LeftParen | Self::LeftBrace | Self::Add | Self::Sub
            )
    }

    fn is_operator(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Sub
                | Self::Mul
                | Self::Div
                | Self::Mod
                | Self::Pow
                | Self::Equal
                | Self::NotEqual
                | Self::LessEqual
                | Self::Less
                | Self::GreaterEqual
                | Self::Greater
                | Self::TrimUpper
                | Self::TrimLower
                | Self::RegexMatch
                | Self::RegexNotMatch
                | Self::At
                | Self::And
                | Self::Or
                | Self::Unless
                | Self::Atan2
        )
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::By
                | Self::GroupLeft
                | Self::GroupRight
                | Self::Fill
                | Self::FillLeft
                | Self::FillRight
                | Self::Ignoring
                | Self::Offset
                | Self::Smoothed
                | Self::Anchored
                | Self::On
                | Self::Without
        )
    }
}

impl Token {
    /// As error messages name the token; `text` is what was written.
    pub fn describe(self, text: &str) -> String {
        let kind = match self.tok {
            Tok::Eof => return "end of input".to_owned(),
            tok if tok.is_operator() => return format!("<op:{text}>"),
            tok if tok.is_keyword() => return format!("<{text}>"),
            Tok::Aggregator(_) => return format!("<aggr:{text}>"),
            Tok::Identifier => return format!("identifier {}", quote(text)),
            Tok::MetricIdentifier => return format!("metric identifier {}", quote(text)),
            Tok::Text => "string ",
            Tok::Number => "number ",
            Tok::Duration => "duration ",
            _ => "",
        };
        if text.len() > 10 {
            let head: String = text.chars().take(10).collect();
            return format!("{kind}{}...", quote(&head));
        }
        format!("{kind}{}", quote(text))
    }
}
