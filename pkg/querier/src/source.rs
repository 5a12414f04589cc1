//! What one request reads from: the fan-out, with replicas put together.

use std::sync::Arc;

use dedup::Method;
use promql::{QuerySource, ReadOptions};
use queryapi::Reading;
use storage::{Result, SeriesSource};
use storeapi::StoreLimits;

use crate::fanout::FanOut;

/// Makes a source per request.
#[derive(Debug, Clone)]
pub struct Sources {
    pub fanout: FanOut,
    pub replica_labels: Arc<[String]>,
    pub method: Method,
    /// Of what is read for one selector, as of a Series call.
    pub limits: StoreLimits,
}

impl QuerySource for Sources {
    fn for_request(&self, options: &ReadOptions) -> Result<Arc<dyn SeriesSource>> {
        let source = Arc::new(self.fanout.choosing(options.store_matchers.clone()));
        let Self { replica_labels, method, limits, .. } = self.clone();
        Reading { source, replica_labels, method, limits }.for_request(options)
    }
}
