//! Compactors over one bucket in simulated time. After each operation on the bucket a seeded chooser decides whose turn is
//! next, who dies, who sleeps and for how long; after each change the invariants are checked.
//!
//! `AION_SIM_SEEDS` is how many seeds each of the [`random`] worlds is run with, and how many pairs of [`forced`] deaths
//! are tried; `AION_SIM_SEED` runs one seed of the random worlds alone.

mod check;
mod engine;
mod forced;
mod gate;
mod random;
mod script;
mod steps;
mod store;
mod world;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The start of a window of two weeks.
const BASE: i64 = 1_700_006_400_000 / (14 * DAY) * (14 * DAY);
/// The kind of work of whoever finishes what another decided.
const RECOVERY: &str = "recovery";

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `future` in simulated time.
fn simulate<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(future)
}
