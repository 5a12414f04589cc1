//! Named places where a test may stop the program.

use std::fmt;
use std::sync::Arc;

/// The variable that names the place to abort at.
pub const ENV: &str = "AION_FAILPOINT";

/// A hook of [`Failpoints`] ended the step at the place of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failpoint {0}")]
pub struct Failpoint(pub String);

/// What happens at named places: nothing (the default), the end of the process, or what a test's hook says.
#[derive(Clone, Default)]
pub struct Failpoints {
    abort_at: Option<Arc<str>>,
    hook: Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>,
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failpoints").field("abort_at", &self.abort_at).finish_non_exhaustive()
    }
}

impl Failpoints {
    /// Nothing happens at any place.
    pub fn none() -> Self {
        Self::default()
    }

    /// Aborts the process, as `kill -9` would, at the place that `AION_FAILPOINT` names.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Self {
        Self { abort_at: env(ENV).filter(|name| !name.is_empty()).map(Into::into), hook: None }
    }

    /// Calls `hook` with each place's name; the step ends with a [`Failpoint`] where it gives true.
    pub fn hook(hook: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { abort_at: None, hook: Some(Arc::new(hook)) }
    }

    /// To be called at the place called `name`.
    ///
    /// # Errors
    /// [`Failpoint`] if the hook says so.
    pub fn hit(&self, name: &str) -> Result<(), Failpoint> {
        if self.abort_at.as_deref() == Some(name) {
            std::process::abort();
        }
        match &self.hook {
            Some(hook) if hook(name) => Err(Failpoint(name.to_owned())),
            _ => Ok(()),
        }
    }
}
