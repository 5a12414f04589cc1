//! What databases are opened with.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};

use model::{Clock, FakeClock};
use parking_lot::Mutex;
use service::Failpoints;
use telemetry::Metrics;

use super::super::super::options::{TsdbDeps, TsdbOptions};
use super::super::super::tsdb::Tsdb;

/// What a database is given, the same with each run of a seed.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) clock: Arc<FakeClock>,
    pub(super) options: TsdbOptions,
    ids: Arc<AtomicU64>,
}

impl Given {
    pub(super) fn new(clock: Arc<FakeClock>, options: TsdbOptions) -> Self {
        Self { clock, options, ids: Arc::new(AtomicU64::new(1)) }
    }

    pub(super) fn deps(&self) -> TsdbDeps {
        let ids = self.ids.clone();
        let random = move || u128::from(ids.fetch_add(1, Ordering::Relaxed));
        TsdbDeps::new(self.clock.clone() as Arc<dyn Clock>, Metrics::new(), Arc::new(random))
    }

    pub(super) async fn open(&self, dir: &Path) -> Arc<Tsdb> {
        let tsdb = Tsdb::open(dir, self.options.clone(), self.deps()).await.unwrap();
        tsdb.replayed().await;
        tsdb
    }

    /// The replay begins when the second value is dropped: what is written before is the same with each run.
    pub(super) async fn open_early(&self, dir: &Path) -> (Arc<Tsdb>, mpsc::Sender<()>) {
        let (begin, wait) = mpsc::channel();
        let wait = Mutex::new(wait);
        let is_begin = move |place: &str| {
            if place == "tsdb.replay.begin" {
                _ = wait.lock().recv();
            }
            false
        };
        let deps = TsdbDeps { failpoints: Failpoints::hook(is_begin), ..self.deps() };
        (Tsdb::open(dir, self.options.clone(), deps).await.unwrap(), begin)
    }
}
