//! `aion compact`: merges, deduplicates, downsamples, retains and deletes the blocks of a bucket, alone or beside others.

#![allow(dead_code, reason = "the subcommand that runs these parts is not wired up yet")]

pub mod coverage;
pub mod downsampling;
pub mod group;
pub mod output;
pub mod plan;
pub mod policy;
pub mod quarantine;
pub mod retention;

mod backlog;
mod clean;
mod commit;
mod compactor;
mod engine;
mod error;
mod lease;
mod merge_engine;
mod metrics;
mod register;
mod run;
mod schedule;
mod settings;
mod snapshot;
mod status;
mod task;

pub use clean::Cleaned;
pub use commit::{Commit, Kind};
pub use compactor::{Compactor, Deps};
pub use engine::{Depth, Engine, EngineError, NextId, RunOptions};
pub use error::Error;
pub use merge_engine::MergeEngine;
pub use metrics::CompactMetrics;
pub use schedule::Pass;
pub use settings::Settings;

#[cfg(test)]
mod sim;
