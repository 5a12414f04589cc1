//! Syntax tree to text, letter for letter as Prometheus prints it: positions in annotations count in this text where a
//! query was rewritten.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter, Write as _};

use labels::{METRIC_NAME, MatchType, Matcher};

use crate::{
    Aggregate, At, Binary, Cardinality, DurationExpr, Expr, Matching, MatrixSelector, NumberLiteral, StringLiteral,
    Subquery, VectorSelector,
};

/// As Go quotes it, but U+FFFD (a byte such as `\xff` in a string becomes it) is escaped: plain, it is refused where
/// the text is parsed again.
fn quote(text: &str) -> String {
    labels::quote(text).replace('\u{fffd}', "\\ufffd")
}

impl StringLiteral {
    /// The literal in double quotes, as Go writes it.
    pub fn quoted(&self) -> Cow<'_, str> {
        match &self.quoted {
            Some(quoted) => Cow::Borrowed(quoted),
            None => Cow::Owned(quote(&self.value)),
        }
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(e) => e.fmt(f),
            Self::String(e) => f.write_str(&e.quoted()),
            Self::Paren(e) => write!(f, "({})", e.expr),
            Self::Unary(e) => write!(f, "{}{}", if e.negative { '-' } else { '+' }, e.expr),
            Self::Binary(e) => write!(f, "{} {} {}", e.lhs, Operator(e), e.rhs),
            Self::Call(e) => {
                write!(f, "{}(", e.function.name)?;
                for (i, arg) in e.args.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    arg.fmt(f)?;
                }
                f.write_char(')')
            }
            Self::Aggregate(e) => {
                write!(f, "{}(", AggregateHead(e))?;
                if let Some(param) = &e.param {
                    write!(f, "{param}, ")?;
                }
                write!(f, "{})", e.expr)
            }
            Self::Vector(e) => e.fmt(f),
            Self::Matrix(e) => e.fmt(f),
            Self::Subquery(e) => write!(f, "{}{}", e.expr, SubquerySuffix(e)),
        }
    }
}

impl Display for NumberLiteral {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            // Through ns, as the reference rounds: 0.1 s are 100 ms, not 99.
            let ms = (self.value * 1e9) as i64 / 1_000_000;
            return f.write_str(&model::format_duration(ms));
        }
        f.write_str(&format_float(self.value))
    }
}

/// A float without exponent, as Go's `FormatFloat(v, 'f', -1, 64)`.
pub(crate) fn format_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// A float with an exponent where it is very small or large, as Go's `%v`.
fn format_float_short(value: f64) -> String {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return format_float(value);
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `sum by (a) `, the part before the parenthesis.
pub(crate) struct AggregateHead<'a>(pub &'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.without {
            write!(f, " without ({}) ", LabelList(&self.0.grouping))?;
        } else if !self.0.grouping.is_empty() {
            write!(f, " by ({}) ", LabelList(&self.0.grouping))?;
        }
        Ok(())
    }
}

struct LabelList<'a>(&'a [String]);

impl Display for LabelList<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, label) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if labels::is_legacy_label_name(label) {
                f.write_str(label)?;
            } else {
                f.write_str(&quote(label))?;
            }
        }
        Ok(())
    }
}

/// `+ on (a) group_left (b)`, what stands between the operands.
pub(crate) struct Operator<'a>(pub &'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.as_str())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => matching.fmt(f),
            None => Ok(()),
        }
    }
}

/// With a space before each part.
impl Display for Matching {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !self.labels.is_empty() || self.on || group.is_some() {
            write!(f, " {} ({})", if self.on { "on" } else { "ignoring" }, LabelList(&self.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", LabelList(&self.include))?;
        }
        match (self.fill_left, self.fill_right) {
            (Some(l), Some(r)) if l == r => write!(f, " fill ({})", format_float_short(l)),
            (left, right) => {
                if let Some(l) = left {
                    write!(f, " fill_left ({})", format_float_short(l))?;
                }
                if let Some(r) = right {
                    write!(f, " fill_right ({})", format_float_short(r))?;
                }
                Ok(())
            }
        }
    }
}

/// As inside braces: `name=~"value"`.
fn format_matcher(m: &Matcher) -> String {
    let mut out = if labels::is_legacy_label_name(m.name()) { m.name().to_owned() } else { quote(m.name()) };
    out.push_str(m.kind().as_str());
    out.push_str(&quote(m.value()));
    out
}

/// Name and matchers without modifiers. The selector without any condition, which only the second argument of `info`
/// can be, is written `{}` so that the text parses again.
struct Bare<'a>(&'a VectorSelector);

impl Display for Bare<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_deref().unwrap_or("");
        let is_name = |m: &Matcher| {
            m.name() == METRIC_NAME && m.kind() == MatchType::Equal && m.value() == name && !name.is_empty()
        };
        let mut matchers: Vec<String> = self.0.matchers.iter().filter(|m| !is_name(m)).map(format_matcher).collect();
        matchers.sort();
        f.write_str(name)?;
        if matchers.is_empty() && !name.is_empty() {
            return Ok(());
        }
        write!(f, "{{{}}}", matchers.join(","))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}{}", Bare(self), AtSuffix(self.at), extended(self), OffsetSuffix(&self.offset))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let v = &self.vector;
        write!(f, "{}[{}]{}{}{}", Bare(v), self.range, extended(v), AtSuffix(v.at), OffsetSuffix(&v.offset))
    }
}

fn extended(v: &VectorSelector) -> &'static str {
    match (v.anchored, v.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    }
}

/// `[1h:5m] @ 3.000 offset 5m`.
pub(crate) struct SubquerySuffix<'a>(pub &'a Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        if let Some(step) = &self.0.step {
            step.fmt(f)?;
        }
        write!(f, "]{}{}", AtSuffix(self.0.at), OffsetSuffix(&self.0.offset))
    }
}

struct AtSuffix(Option<At>);

impl Display for AtSuffix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(At::Start) => f.write_str(" @ start()"),
            Some(At::End) => f.write_str(" @ end()"),
            Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
        }
    }
}

struct OffsetSuffix<'a>(&'a DurationExpr);

impl Display for OffsetSuffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationExpr::Literal(0) => Ok(()),
            offset => write!(f, " offset {offset}"),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(ms) => f.write_str(&model::format_duration(*ms)),
            Self::Number(value) => f.write_str(&format_float(*value)),
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Sign { negative, expr } => write!(f, "{}{expr}", if *negative { "-" } else { "" }),
            Self::Whole(inner, _) => inner.fmt(f),
            Self::Binary { op, lhs, rhs, .. } => write!(f, "{lhs} {} {rhs}", op.as_str()),
            Self::MinOf(a, b) => write!(f, "min_of({a}, {b})"),
            Self::MaxOf(a, b) => write!(f, "max_of({a}, {b})"),
            Self::Paren(inner) => write!(f, "({inner})"),
        }
    }
}
