//! What a component gets from outside.

use std::fmt;
use std::sync::Arc;

use model::{Clock, SystemClock};
use objstore::Bucket;
use rand::SeedableRng;
use rand::rngs::StdRng;
use service::Failpoints;
use telemetry::Metrics;

/// The value of an environment variable.
pub type Env = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Random numbers, another at each call.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Everything that a component gets from outside, so that a test can give all of it.
#[derive(Clone)]
pub struct Deps {
    /// Time of day; timers are tokio's, which tests can pause.
    pub clock: Arc<dyn Clock>,
    /// Names of blocks and of lease holders.
    pub random: Random,
    /// Secrets in bucket configurations, placeholders in files that are expanded, the host's name.
    pub env: Env,
    /// Where a test may stop the program.
    pub failpoints: Failpoints,
    /// Where metrics go; names the program's version too.
    pub metrics: Metrics,
    /// A bucket that is used whatever the configuration says; `None` = the configured one is opened.
    pub bucket: Option<Bucket>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").field("clock", &self.clock).field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl Deps {
    /// Those of the process: its clock, its environment, the failpoint that `AION_FAILPOINT` names.
    pub fn of_program(metrics: Metrics) -> Self {
        // Shells know the host's name and seldom tell their children.
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
        let env: Env =
            Arc::new(move |name| std::env::var(name).ok().or_else(|| if name == "HOSTNAME" { host() } else { None }));
        Self { failpoints: Failpoints::from_env(&*env), env, ..Self::isolated(metrics) }
    }

    /// The system's clock and random numbers, and nothing of the environment.
    pub fn isolated(metrics: Metrics) -> Self {
        Self {
            clock: Arc::new(SystemClock),
            random: Arc::new(rand::random),
            env: Arc::new(|_| None),
            failpoints: Failpoints::none(),
            metrics,
            bucket: None,
        }
    }

    /// A generator with a random seed.
    pub fn rng(&self) -> StdRng {
        StdRng::seed_from_u64((self.random)() as u64)
    }

    /// A name that no other process has or had: of host, process and a random number.
    pub fn process_name(&self, program: &str) -> String {
        let host = (self.env)("HOSTNAME").unwrap_or_else(|| program.to_owned());
        format!("{host}-{}-{:016x}", std::process::id(), (self.random)() as u64)
    }
}
