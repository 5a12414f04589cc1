//! One cluster, whose watches are shared by all who want the same objects.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::limits::{Limits, Random};
use crate::metrics::Metrics;
use crate::server::ApiServer;
use crate::store::Store;
use crate::watch::{Wanted, Watch};

/// One cluster, seen with one set of rights.
#[derive(Debug)]
pub struct Cluster {
    server: Arc<dyn ApiServer>,
    limits: Limits,
    random: Random,
    pub(crate) metrics: Metrics,
    watches: Mutex<HashMap<Wanted, Weak<Shared>>>,
}

/// A watch that ends when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    metrics: Metrics,
    _end: DropGuard,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.metrics.watches(self.store.resource, -1);
    }
}

impl Cluster {
    /// A cluster that nothing is watched in yet.
    pub(crate) fn new(server: Arc<dyn ApiServer>, limits: Limits, random: Random, metrics: Metrics) -> Self {
        Self { server, limits, random, metrics, watches: Mutex::default() }
    }

    /// The watch of these objects; it begins with the first who wants it.
    pub(crate) fn watch(&self, wanted: &Wanted) -> Arc<Shared> {
        let mut watches = self.watches.lock();
        watches.retain(|_, watch| watch.strong_count() > 0);
        if let Some(shared) = watches.get(wanted).and_then(Weak::upgrade) {
            return shared;
        }
        let store = Arc::new(Store::new(wanted.resource, self.limits.objects_max, self.metrics.clone()));
        let watch = Watch {
            server: self.server.clone(),
            wanted: wanted.clone(),
            store: store.clone(),
            limits: self.limits,
            random: self.random.clone(),
            metrics: self.metrics.clone(),
        };
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(watch.run()));
        self.metrics.watches(wanted.resource, 1);
        let shared = Arc::new(Shared { store, metrics: self.metrics.clone(), _end: end.drop_guard() });
        watches.insert(wanted.clone(), Arc::downgrade(&shared));
        shared
    }
}
