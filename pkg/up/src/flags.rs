//! The flags of `aion up`, and those that `aion demo` shares.

use assembly::OBJSTORE;
use flags::{Command, Flag};
use transport::flags::COMMON;

pub(crate) const PAGE: &str = "http-address";
pub(crate) const SERVER: &str = "server.http-address";
pub(crate) const HOST: &str = "host.http-address";

/// Where the parts listen. A default address that is in use gives way to any free port, one that is given must be free.
pub const ADDRESSES: &[Flag] = &[
    Flag::text(
        PAGE,
        "127.0.0.1:10902",
        "Address of the page and the HTTP API over all data; any free port is taken when the default one is in use.",
    ),
    Flag::text(
        SERVER,
        "127.0.0.1:9090",
        "Address of the server: its pages, its targets, remote write; any free port is taken when the default one is in use.",
    ),
    Flag::text(
        HOST,
        "127.0.0.1:9100",
        "Address of this machine's metrics; any free port is taken when the default one is in use.",
    ),
];

const UP: &[Flag] = &[
    Flag::text(
        "dir",
        "./aion-data",
        "Folder for all files: the server's data, the bucket unless another is configured, caches.",
    ),
    Flag::text(
        "config.file",
        "",
        "Prometheus configuration file of the server. Default: prometheus.yml in --dir, which is written at the first start and then yours to change.",
    ),
    Flag::switch_on("compact", "Merge and downsample the blocks of the bucket."),
    Flag::duration("retention.resolution-raw", "0d", "How long the bucket keeps raw samples. 0d = for ever."),
    Flag::duration(
        "retention.resolution-5m",
        "0d",
        "How long the bucket keeps samples of resolution 5 minutes. 0d = for ever.",
    ),
    Flag::duration(
        "retention.resolution-1h",
        "0d",
        "How long the bucket keeps samples of resolution 1 hour. 0d = for ever.",
    ),
];

/// The common flags, with a log that leaves the screen to the addresses.
pub const QUIET: &[Flag] = &{
    let mut flags = [Flag::switch("", ""); COMMON.len()];
    flags.copy_from_slice(COMMON);
    flags[LOG_LEVEL].default = "warn";
    flags
};
/// The place of `--log.level` among the common flags.
const LOG_LEVEL: usize = 0;

/// The command line of `aion up`.
pub fn command() -> Command {
    Command {
        name: "up",
        about: "Start a server that scrapes itself and this machine, a bucket on disk, a store, a compactor and a querier, in one process.",
        flags: vec![QUIET, UP, ADDRESSES, OBJSTORE],
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
