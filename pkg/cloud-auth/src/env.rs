//! The environment as a parameter.

use std::sync::Arc;

/// Gives variables of the environment.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;
