//! `aion tools`: one-shot commands.

pub mod bucket;
pub mod output;
pub mod promqltest;

mod cli;

pub use cli::{Call, Deps, Error, Verdict, commands, parse, promqltest_command, run, run_promqltest};
