//! `aion tools`: one-shot commands.

pub mod promqltest;

mod cli;

pub use cli::{promqltest_command, run_promqltest};
