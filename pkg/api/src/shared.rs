//! What handlers share.

use std::ops::Deref;
use std::sync::Arc;

use model::Annotations;
use transport::http::answers::ErrorKind;

use crate::active::ActiveQueries;
use crate::error::ApiError;
use crate::ledger::Ledger;
use crate::server::ServerParts;
use crate::state::ApiState;

/// The API's state, one for all handlers.
#[derive(Debug, Clone)]
pub(crate) struct Shared(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub state: ApiState,
    pub active: ActiveQueries,
    pub ledger: Ledger,
}

impl Shared {
    pub fn new(state: ApiState) -> Self {
        let active = ActiveQueries::new(&state.metrics, state.options.engine.max_concurrent);
        let ledger = Ledger::new(state.options.recent_queries_max, state.clock.clone());
        Self(Arc::new(Inner { state, active, ledger }))
    }

    /// What a server has beyond a querier.
    ///
    /// # Errors
    /// There is none: the route is not served.
    pub fn server(&self) -> Result<&ServerParts, ApiError> {
        self.state.server.as_ref().ok_or_else(|| {
            let text = format!("the {} component does not serve this", self.state.options.component);
            ApiError::new(ErrorKind::NotFound, text)
        })
    }

    /// Warnings of an answer, and before them those that every answer carries now.
    pub fn warned(&self, warnings: Vec<String>) -> Annotations {
        let mut annotations = Annotations::new();
        let standing = self.state.server.as_ref().map(|server| (server.warnings)()).unwrap_or_default();
        standing.into_iter().chain(warnings).for_each(|text| annotations.warn(text));
        annotations
    }
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
