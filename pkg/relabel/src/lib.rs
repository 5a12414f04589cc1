//! Relabel rules.
