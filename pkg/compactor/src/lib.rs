//! `aion compact`: merges, deduplicates, downsamples, retains and deletes the blocks of a bucket, alone or beside others.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod backlog;
mod clean;
mod commit;
mod compactor;
mod component;
mod config;
mod coverage;
mod decision;
mod downsample_tool;
mod downsampling;
mod engine;
mod error;
mod failpoints;
mod flags;
mod group;
mod http;
mod lease;
mod merge_engine;
mod metrics;
mod output;
mod pass;
mod plan;
mod planning;
mod policy;
mod progress;
mod quarantine;
mod recovery;
mod retention;
mod run_task;
mod settings;
mod snapshot;
mod status;
mod sync;
mod task;
mod unfinished;

pub use component::{Compact, run};
pub use config::Config;
pub use downsample_tool::DOWNSAMPLE_TOOL;
pub use failpoints::failpoints;
pub use flags::command;

#[cfg(test)]
#[path = "../tests/sim/mod.rs"]
mod sim;
