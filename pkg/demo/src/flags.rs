//! The flags of `aion demo`.

use flags::{Command, Flag};

const DEMO: &[Flag] = &[
    Flag::text(
        "dir",
        "",
        "Folder for the bucket and all other files; kept afterwards, a later run goes on with it. Default: a temporary folder, removed afterwards.",
    )
    .placeholder("<folder>"),
    Flag::count("days", "90", "Days of history. Has no effect in a folder that has a history."),
    Flag::switch_on("compact", "Start a compactor: it goes on merging the replicas' blocks and making downsampled ones."),
];

/// The command line of `aion demo`.
pub fn command() -> Command {
    Command {
        name: "demo",
        about: "As up, with 90 days of history of two clusters whose replicas go on scraping: an incident, a cardinality explosion and a gap to look for.",
        flags: vec![up::QUIET, DEMO, up::ADDRESSES],
        args: None,
    }
}
