//! What handlers share.

use std::ops::Deref;
use std::sync::Arc;

use crate::active::ActiveQueries;
use crate::state::ApiState;

/// The API's state, one for all handlers.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub state: ApiState,
    pub active: ActiveQueries,
}

impl Shared {
    pub fn new(state: ApiState) -> Self {
        let active = ActiveQueries::new(&state.metrics, state.options.engine.max_concurrent);
        Self(Arc::new(Inner { state, active }))
    }
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
