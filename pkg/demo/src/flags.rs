//! The flags of `aion demo`.

use flags::{Command, Flag};
use transport::flags::COMMON;

const DEMO: &[Flag] = &[
    Flag::text(
        "dir",
        "",
        "Folder for the bucket and all other files; kept afterwards. Default: a temporary folder, removed afterwards.",
    )
    .placeholder("<folder>"),
    Flag::count("days", "15", "Days of history."),
    Flag::text(
        "http-address",
        "127.0.0.1:10902",
        "Address of the querier's page and HTTP API; any free port is taken when this one is in use.",
    ),
    Flag::switch_on(
        "compact",
        "Start a compactor: it merges the replicas into blocks of two days, and makes downsampled ones.",
    ),
    Flag::switch_on("prometheus", "Start a live Prometheus with a sidecar when a prometheus is on PATH."),
];

/// The common flags, with a log that leaves the screen to the addresses.
const QUIET: &[Flag] = &{
    let mut flags = [Flag::switch("", ""); COMMON.len()];
    flags.copy_from_slice(COMMON);
    flags[LOG_LEVEL].default = "warn";
    flags
};
/// The place of `--log.level` among the common flags.
const LOG_LEVEL: usize = 0;

/// The command line of `aion demo`.
pub fn command() -> Command {
    Command {
        name: "demo",
        about: "Start a bucket with history, the replicas that go on with it, a store, a compactor, a querier and, where prometheus is on PATH, a live Prometheus with a sidecar, in one process.",
        flags: vec![QUIET, DEMO],
        args: None,
    }
}

#[cfg(test)]
mod tests {
    use flags::Outcome;

    use super::*;

    #[test]
    fn the_log_is_quiet_unless_asked() {
        let level = |args: &[&str]| match flags::parse(&command(), args.iter().map(|a| (*a).to_owned()), "") {
            Ok(Outcome::Run(parsed)) => parsed.text("log.level").to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!((level(&[]).as_str(), level(&["--log.level=info"]).as_str()), ("warn", "info"));
    }
}
