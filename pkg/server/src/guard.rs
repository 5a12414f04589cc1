//! Keeps the process within its memory: near the limit new series are refused first, and what exploded is named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::ByteSize;
use storage::Budget;
use telemetry::{Gauge, Metrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::memory::used_bytes;

/// How often memory is looked at. The head grows by no more than some ten megabytes meanwhile.
const INTERVAL: Duration = Duration::from_millis(250);
/// Of the limit, in percent: above the first new series are refused, below the second they are taken again.
const REFUSE_ABOVE: u64 = 90;
const TAKE_BELOW: u64 = 85;

/// What the guard acts on.
pub trait Growing: std::fmt::Debug + Send + Sync {
    /// Refuses new series for this reason, or takes them again.
    fn refuse_new_series(&self, why: Option<String>);

    /// What grew most, for the log: a metric and a label, with figures.
    fn fastest_growing(&self) -> Option<String>;
}

/// Watches the memory of the process.
#[derive(Debug)]
pub struct Guard {
    limit_bytes: u64,
    root: PathBuf,
    head: Arc<dyn Growing>,
    queries: Arc<Budget>,
    refusing: Gauge,
}

impl Guard {
    /// A guard over a limit, 0 = none. `root` is where `proc` is found.
    pub fn new(
        limit_bytes: u64,
        root: PathBuf,
        head: Arc<dyn Growing>,
        queries: Arc<Budget>,
        metrics: &Metrics,
    ) -> Self {
        let limit = metrics.gauge("aion_memory_limit_bytes", "Most memory that the server may use, 0 without a limit.");
        limit.set(limit_bytes as f64);
        let refusing = metrics
            .gauge("aion_head_refuses_new_series", "Whether new series are refused, since memory is near its limit.");
        Self { limit_bytes, root, head, queries, refusing }
    }

    /// Watches until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        if self.limit_bytes == 0 {
            return shutdown.cancelled().await;
        }
        let mut refusing = false;
        while shutdown.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            refusing = self.look(refusing);
        }
    }

    /// One look; gives whether new series are refused from now on.
    fn look(&self, refusing: bool) -> bool {
        let used = used_bytes(&self.root);
        // What queries hold comes back by itself: it must not shut out series.
        let lasting = used.saturating_sub(self.queries.used_bytes());
        let percent = lasting.saturating_mul(100) / self.limit_bytes.max(1);
        match (refusing, percent) {
            (false, percent) if percent >= REFUSE_ABOVE => {
                let grew = self.head.fastest_growing().unwrap_or_else(|| "nothing in particular".to_owned());
                let (used, limit) = (ByteSize(used).to_string(), ByteSize(self.limit_bytes).to_string());
                warn!(
                    used,
                    limit,
                    grew,
                    "memory is near its limit: new series are refused, known ones go on; raise --limits.memory or drop \
                     the label with metric_relabel_configs"
                );
                let why = format!("memory is near its limit of {limit} (--limits.memory)");
                self.head.refuse_new_series(Some(why));
                self.refusing.set(1.0);
                true
            }
            (true, percent) if percent < TAKE_BELOW => {
                info!("memory is well below its limit again: new series are taken");
                self.head.refuse_new_series(None);
                self.refusing.set(0.0);
                false
            }
            _ => refusing,
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct Head(Mutex<Vec<Option<String>>>);

    impl Growing for Head {
        fn refuse_new_series(&self, why: Option<String>) {
            self.0.lock().push(why);
        }

        fn fastest_growing(&self) -> Option<String> {
            None
        }
    }

    #[test]
    fn refuses_near_the_limit_and_takes_again_well_below() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("proc/self")).unwrap();
        let (head, queries) = (Arc::new(Head::default()), Budget::unlimited());
        let guard = Guard::new(1 << 20, dir.path().to_owned(), head.clone(), queries.clone(), &Metrics::new());
        let mut refusing = false;
        let mut look = |kib: u64| {
            std::fs::write(dir.path().join("proc/self/status"), format!("RssAnon:\t{kib} kB\n")).unwrap();
            refusing = guard.look(refusing);
            refusing
        };
        assert_eq!([look(900), look(930), look(900), look(860)], [false, true, true, false]);
        let _held = queries.reserve(200 << 10).unwrap();
        assert!(!look(1000), "what queries hold does not count");
        let told = head.0.lock();
        assert_eq!(told.len(), 2);
        assert!(told[0].as_ref().unwrap().contains("1MiB (--limits.memory)") && told[1].is_none());
    }
}
