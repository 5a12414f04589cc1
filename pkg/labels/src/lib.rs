//! Label sets and matchers.
