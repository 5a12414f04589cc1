//! Lifecycle of a component.
