//! What an answer says beside its value: warnings (data may be missing or wrong) and infos (the query may be wrong).

use std::fmt;

/// How grave an [`Annotation`] is. In the HTTP answer the two go to `warnings` and `infos`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The answer may be incomplete or wrong.
    Warning,
    /// The answer is right, the question looks odd.
    Info,
}

/// A warning or info. `text` is complete: PromQL's carry their class and position, `PromQL warning: … (1:5)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Annotation {
    /// Whether the answer may be wrong (warning) or the question looks odd (info).
    pub severity: Severity,
    /// The message, complete with its class and position.
    pub text: String,
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Warnings and infos in the order they came, each message once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations {
    list: Vec<Annotation>,
}

impl Annotations {
    /// More than this many distinct annotations are counted, not kept: a bad query over a million series must not fill
    /// memory with its complaints.
    pub const KEPT_MAX: usize = 1000;

    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Annotation { severity: Severity::Warning, text: text.into() });
    }

    /// Adds an info.
    pub fn info(&mut self, text: impl Into<String>) {
        self.add(Annotation { severity: Severity::Info, text: text.into() });
    }

    /// Adds one annotation, unless it is there already.
    pub fn add(&mut self, annotation: Annotation) {
        if self.list.len() < Self::KEPT_MAX && !self.list.contains(&annotation) {
            self.list.push(annotation);
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Annotations) {
        for annotation in other.list {
            self.add(annotation);
        }
    }

    /// Whether there is neither a warning nor an info.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Warnings and infos in the order they came.
    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.list.iter()
    }

    /// The messages of one severity, at most `limit` (0 = all); past it a line says how many were left out.
    pub fn texts(&self, severity: Severity, limit: usize) -> Vec<String> {
        let all: Vec<_> = self.list.iter().filter(|a| a.severity == severity).map(|a| a.text.clone()).collect();
        if limit == 0 || all.len() <= limit {
            return all;
        }
        let left_out = all.len() - limit;
        let kind = if severity == Severity::Warning { "warning" } else { "info" };
        let mut kept: Vec<_> = all.into_iter().take(limit).collect();
        kept.push(format!("{left_out} more {kind} annotations omitted"));
        kept
    }
}
