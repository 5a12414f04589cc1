//! `aion tools`: one-shot commands.

#![allow(missing_docs, reason = "a program's commands, not a library for others")]

pub mod bucket;
pub mod output;
pub mod promqltest;
pub mod promtool;

mod cli;
mod error;

pub use cli::{Call, Tools, promqltest_command, run, run_promqltest};
pub(crate) use error::Error;
