//! Why an expression was refused.

/// In the words of Go's `regexp/syntax`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {message}: `{fragment}`")]
pub struct Error {
    /// What is wrong, worded as Go's `regexp` does.
    pub message: String,
    /// The part of the expression that is wrong.
    pub fragment: String,
}

impl Error {
    pub(crate) fn new(message: &str, fragment: &str) -> Self {
        Self { message: message.to_owned(), fragment: fragment.to_owned() }
    }

    pub(crate) fn too_large(pattern: &str) -> Self {
        let mut end = pattern.len().min(200);
        while !pattern.is_char_boundary(end) {
            end -= 1;
        }
        Self::new("expression too large", &pattern[..end])
    }
}

/// Bounds on what an expression may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the longest pattern that is taken.
    pub max_pattern_bytes: usize,
    /// Largest compiled program, in bytes.
    pub max_program_bytes: usize,
    /// Largest cache of the lazily built automaton, in bytes for each thread that matches.
    pub max_cache_bytes: usize,
    /// Levels of the highest syntax tree that is taken, so that recursion stays bounded.
    pub max_height: usize,
    /// Longest list of literals an expression is spelled out to.
    pub max_literals: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A dashboard's variable may list thousands of values.
            max_pattern_bytes: 512 << 10,
            max_program_bytes: 10 << 20,
            max_cache_bytes: 2 << 20,
            max_height: 1000,
            max_literals: 10_000,
        }
    }
}
