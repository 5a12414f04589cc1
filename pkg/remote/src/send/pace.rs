//! How many shards a queue should have.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A backlog is to be gone after this time.
const CATCH_UP: Duration = Duration::from_secs(15);
/// How much of the rates before is kept at each look.
const KEPT: f64 = 0.7;
/// A change of less is none.
const TOLERANCE: f64 = 0.3;

/// What was sent, and what it took.
#[derive(Debug, Default)]
pub(super) struct Pace {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: u64,
    sending: Duration,
    /// The last request failed and is sent again.
    failing: bool,
    looked: Option<Instant>,
    /// Seconds that a row takes, and rows that come in a second.
    per_row_s: f64,
    rate: f64,
}

/// How things are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Rows that were read from the log since the look before.
    pub read: u64,
    /// Rows that wait in shards or in the log.
    pub backlog: f64,
    pub shards: usize,
    pub min: usize,
    pub max: usize,
}

impl Pace {
    /// A request has arrived.
    pub fn sent(&self, rows: usize, took: Duration) {
        let mut state = self.state.lock();
        state.rows += rows as u64;
        state.sending += took;
        state.failing = false;
    }

    /// A request was refused: that is no reason to wait.
    pub fn refused(&self) {
        self.state.lock().failing = false;
    }

    /// A request failed and is sent again.
    pub fn failed(&self) {
        self.state.lock().failing = true;
    }

    /// Whether the last request failed and is sent again.
    pub fn is_failing(&self) -> bool {
        self.state.lock().failing
    }

    /// How many shards the load asks for, and how many there should be: as many as now while requests fail, or where the
    /// change would be small.
    pub fn shards(&self, load: Load) -> (f64, usize) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let passed = state.looked.replace(now).map(|looked| (now - looked).as_secs_f64());
        let (rows, sending) = (std::mem::take(&mut state.rows), std::mem::take(&mut state.sending).as_secs_f64());
        if rows > 0 {
            let per_row_s = sending / rows as f64;
            state.per_row_s = match state.per_row_s {
                0.0 => per_row_s,
                before => before * KEPT + per_row_s * (1.0 - KEPT),
            };
        }
        let Some(passed) = passed.filter(|passed| *passed > 0.0) else { return (load.shards as f64, load.shards) };
        state.rate = state.rate * KEPT + load.read as f64 / passed * (1.0 - KEPT);
        let catching_up = load.backlog / CATCH_UP.as_secs_f64();
        let desired = state.per_row_s * (state.rate + catching_up);
        if state.failing || state.per_row_s == 0.0 {
            return (desired, load.shards);
        }
        let now = load.shards as f64;
        if desired > now * (1.0 - TOLERANCE) && desired < now * (1.0 + TOLERANCE) {
            return (desired, load.shards);
        }
        (desired, (desired.ceil().max(1.0) as usize).clamp(load.min.max(1), load.max.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(shards: usize, read: u64, backlog: f64) -> Load {
        Load { read, backlog, shards, min: 1, max: 10 }
    }

    #[tokio::test(start_paused = true)]
    async fn shards_follow_the_backlog_and_stay_while_requests_fail() {
        let pace = Pace::default();
        assert_eq!(pace.shards(load(1, 0, 0.0)).1, 1);
        let later = async || tokio::time::sleep(Duration::from_secs(2)).await;
        // A millisecond for each row: 1000 rows a second fit one shard.
        pace.sent(2000, Duration::from_secs(2));
        later().await;
        assert_eq!(pace.shards(load(1, 2000, 0.0)).1, 1);
        pace.sent(2000, Duration::from_secs(2));
        later().await;
        assert_eq!(pace.shards(load(1, 2000, 60_000.0)).1, 5);
        pace.failed();
        later().await;
        assert_eq!(pace.shards(load(5, 2000, 600_000.0)).1, 5);
        pace.sent(1, Duration::from_millis(1));
        later().await;
        assert_eq!(pace.shards(load(5, 2000, 600_000.0)).1, 10, "no more than the most");
        let mut shards = 10;
        for _ in 0..20 {
            pace.sent(200, Duration::from_millis(200));
            later().await;
            shards = pace.shards(load(shards, 200, 0.0)).1;
        }
        assert_eq!(shards, 1);
    }
}
