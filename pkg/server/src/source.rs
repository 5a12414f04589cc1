//! What queries read: the database as it is.

use std::sync::Arc;

use promql::{QuerySource, ReadOptions};
use storage::{Result, SeriesSource};

/// The database for every request. It has no replicas, tenants or shards to choose from.
#[derive(Debug, Clone)]
pub struct Local(pub Arc<dyn SeriesSource>);

impl QuerySource for Local {
    fn for_request(&self, _: &ReadOptions) -> Result<Arc<dyn SeriesSource>> {
        Ok(self.0.clone())
    }
}
