//! One condition on one label.

use std::fmt;
use std::sync::Arc;

/// How a [`Matcher`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchType {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends
    Regex,
    /// `!~`, anchored at both ends
    NotRegex,
}

impl MatchType {
    /// The operator as written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// `name op "value"`; a series without the label is matched as if the label were `""`.
#[derive(Clone)]
pub struct Matcher {
    kind: MatchType,
    name: Arc<str>,
    value: Arc<str>,
    regex: Option<Arc<re2::Matcher>>,
}

/// A matcher's regular expression does not compile.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{source}")]
pub struct MatcherError {
    #[from]
    source: re2::Error,
}

impl Matcher {
    /// Makes a matcher; regular expressions have RE2's syntax and are anchored.
    ///
    /// # Errors
    /// When the expression is invalid or compiles to more than the size limit.
    pub fn new(kind: MatchType, name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Result<Self, MatcherError> {
        let value = value.into();
        let regex = match kind {
            MatchType::Regex | MatchType::NotRegex => Some(Arc::new(re2::Matcher::new(&value)?)),
            MatchType::Equal | MatchType::NotEqual => None,
        };
        Ok(Self { kind, name: name.into(), value, regex })
    }

    /// `name="value"`.
    pub fn equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { kind: MatchType::Equal, name: name.into(), value: value.into(), regex: None }
    }

    /// `name!="value"`.
    pub fn not_equal(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { kind: MatchType::NotEqual, name: name.into(), value: value.into(), regex: None }
    }

    /// How the value is compared.
    pub fn kind(&self) -> MatchType {
        self.kind
    }

    /// The name of the label that is compared.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The literal or expression compared with.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The compiled expression of `=~` and `!~`.
    pub fn regex(&self) -> Option<&re2::Matcher> {
        self.regex.as_deref()
    }

    /// Whether a label value satisfies this matcher; a missing label is `""`.
    pub fn matches(&self, value: &str) -> bool {
        match (self.kind, &self.regex) {
            (MatchType::Equal, _) => *self.value == *value,
            (MatchType::NotEqual, _) => *self.value != *value,
            (MatchType::Regex, Some(regex)) => regex.matches(value),
            (MatchType::NotRegex, Some(regex)) => !regex.matches(value),
            (MatchType::Regex | MatchType::NotRegex, None) => unreachable!("`new` compiles the expression"),
        }
    }

    /// Whether a series without the label satisfies this matcher.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// The values this matcher can accept when they are few and known: the literal of `=`, the alternation of `=~`.
    pub fn set_matches(&self) -> Option<Vec<&str>> {
        match self.kind {
            MatchType::Equal => Some(vec![&self.value]),
            MatchType::Regex => self.regex.as_ref()?.literals().map(|l| l.iter().map(String::as_str).collect()),
            MatchType::NotEqual | MatchType::NotRegex => None,
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.name, &self.value) == (other.kind, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.kind, &self.name, &self.value).hash(state);
    }
}

/// `name=~"value"`, quoted as PromQL reads it back.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if crate::is_legacy_label_name(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&crate::quote(&self.name))?;
        }
        write!(f, "{}{}", self.kind.as_str(), crate::quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
