//! Rules evaluated over series in memory, in simulated time.

#![allow(clippy::unwrap_used, reason = "tests")]

mod alerting;
mod clock;
mod files;
mod large;
mod mutated;
mod recording;
mod reload;
mod restoring;
mod running;
mod together;
mod world;
