//! How much is taken, and how long is waited.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How much discovery in clusters takes, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Objects of one page of a list.
    pub page_objects: usize,
    /// Bytes of one page.
    pub page_bytes_max: usize,
    /// Bytes of one change of a watch, which holds one object.
    pub event_bytes_max: usize,
    /// Objects of one watch.
    pub objects_max: usize,
    /// Wait for the headers of an answer, and for the rest of a page.
    pub request_timeout: Duration,
    /// How long a watch lasts, at least; at most it lasts twice as long. One that is silent for longer is given up.
    pub watch_duration: Duration,
    /// Pause after a first failure; it grows.
    pub retry_min: Duration,
    /// Longest pause.
    pub retry_max: Duration,
}

impl Default for Limits {
    /// Pages of 500 objects and 128 MiB, objects of 16 MiB (etcd takes 1.5 MiB), a million of them; 30 s for an answer, 2 to 4
    /// minutes for a watch, pauses of 1 to 30 s.
    fn default() -> Self {
        Self {
            page_objects: 500,
            page_bytes_max: 128 << 20,
            event_bytes_max: 16 << 20,
            objects_max: 1_000_000,
            request_timeout: Duration::from_secs(30),
            watch_duration: Duration::from_secs(120),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
        }
    }
}

/// Random numbers, another at each call.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) Arc<dyn Fn() -> u128 + Send + Sync>);

impl Random {
    /// A number from 0 to 1, without 1.
    pub(crate) fn part(&self) -> f64 {
        ((self.0)() % 1_000_000) as f64 / 1e6
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
