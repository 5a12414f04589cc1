//! `aion compact`: merges, deduplicates, downsamples, retains and deletes the blocks of a bucket, alone or beside others.

#![allow(missing_docs, reason = "a component, not a library for others")]

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
mod component;
mod config;
mod engine;
mod error;
mod failpoints;
mod flags;
mod http;
mod lease;
mod merge_engine;
mod metrics;
mod progress;
mod register;
mod run;
mod schedule;
mod settings;
mod snapshot;
mod status;
mod task;
mod unfinished;

pub use clean::Cleaned;
pub use commit::{Commit, Kind};
pub use compactor::{Compactor, Deps};
pub use component::{Compact, run};
pub use config::Config;
pub use engine::{Depth, Engine, EngineError, NextId, RunOptions};
pub use error::Error;
pub use failpoints::failpoints;
pub use flags::command;
pub use merge_engine::MergeEngine;
pub use metrics::CompactMetrics;
pub use schedule::Pass;
pub use settings::Settings;

#[cfg(test)]
mod sim;
