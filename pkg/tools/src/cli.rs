//! The command lines of `aion tools`.

use flags::{Arg, Command, Parsed};

use crate::promqltest;

/// `aion tools promqltest FILE…`.
pub fn promqltest_command() -> Command {
    Command {
        name: "tools promqltest",
        about: "Run PromQL test scripts (Prometheus' promqltest language) against this engine.",
        flags: vec![],
        args: Some(Arg { name: "file", help: "Test scripts.", min: 1, max: usize::MAX }),
    }
}

/// Runs the scripts, prints each failing and each skipped eval and a last line `N passed, N failed`. True when none
/// failed.
///
/// # Errors
/// A script that cannot be read or parsed, an output that cannot be written.
pub async fn run_promqltest(parsed: &Parsed) -> anyhow::Result<bool> {
    promqltest::command(parsed.args(), &mut std::io::stdout()).await
}
