//! RE2 syntax (as Go's regexp understands it) on Rust's regex automata, with fast paths for label matching.
