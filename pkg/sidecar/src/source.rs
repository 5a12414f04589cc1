//! The live data: remote read under the external labels that the sidecar knows.

use std::sync::Arc;

use remote::{RemoteRead, RemoteReadOptions};

use crate::PrometheusState;

/// The server's series as a source, with what `state` knows at each call.
pub fn source(state: &Arc<PrometheusState>, options: RemoteReadOptions) -> RemoteRead {
    let known = state.clone();
    RemoteRead::new(state.client().clone(), move || known.identity(), options)
}
