//! What the parser accepts.

/// Experimental parts of the language, and limits. The default is Prometheus': everything experimental off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions marked experimental, `limitk`, `limit_ratio`.
    pub experimental_functions: bool,
    /// Allow `anchored` and `smoothed` (feature `promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// Allow `fill`, `fill_left` and `fill_right` (feature `promql-binop-fill-modifiers`).
    pub fill_modifiers: bool,
    /// Longest query accepted, in bytes.
    pub max_length: usize,
    /// The most memory that the compiled regular expressions of a query may take, in bytes; 0 = no limit.
    pub max_regex_bytes: usize,
    /// Deepest nesting of parentheses, calls and signs accepted. Parser and users of the tree recurse so deep.
    pub max_nesting: usize,
    /// Highest tree accepted; `a + b + c …` counts one level for each operator.
    pub max_depth: usize,
}

impl ParseOptions {
    /// All that is experimental is allowed; lengths have their default limits.
    pub const ALL: Self =
        Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true, ..Self::STABLE };

    /// What Prometheus allows without feature flags; lengths have their default limits.
    pub const STABLE: Self = Self {
        experimental_functions: false,
        extended_range_selectors: false,
        fill_modifiers: false,
        max_length: 1 << 20,
        max_regex_bytes: 64 << 20,
        max_nesting: 200,
        max_depth: 1000,
    };
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self::STABLE
    }
}
