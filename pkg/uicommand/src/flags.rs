//! The flags of `aion ui`.

use flags::{Command, Flag};
use transport::flags::{COMMON, HTTP};

const UI: &[Flag] = &[
    Flag::text(
        "url",
        "http://127.0.0.1:9090",
        "Address of the Prometheus, Thanos querier or aion that the pages are about, with the path before /api/v1 if there is one.",
    ),
    Flag::text(
        "url.http-client-file",
        "",
        "Path to YAML file with the configuration of the HTTP client for the server: authentication, TLS, headers.",
    )
    .placeholder("<file-path>"),
    Flag::text("url.http-client", "", "Configuration of the HTTP client for the server, instead of a file.")
        .placeholder("<content>"),
    Flag::duration(
        "url.timeout",
        "2m",
        "Longest time until the server begins to answer, and between two parts of its answer.",
    ),
    Flag::size("url.max-request-bytes", "10MiB", "Largest request that is passed on."),
    Flag::text("web.route-prefix", "", "Prefix for pages and API; they are served below it only."),
    Flag::text("web.external-prefix", "", "Prefix that browsers have to use, where a reverse proxy takes one away."),
    Flag::text(
        "web.prefix-header",
        "",
        "Name of the request header in which a reverse proxy tells the external prefix.",
    ),
];

/// The common HTTP flags, on loopback: the pages show what their server knows to everybody who reaches them.
const LOOPBACK: &[Flag] = &{
    let mut flags = [Flag::switch("", ""); HTTP.len()];
    flags.copy_from_slice(HTTP);
    flags[ADDRESS].default = "127.0.0.1:10903";
    flags
};
/// The place of `--http-address` among the HTTP flags.
const ADDRESS: usize = 0;

/// The command line of `aion ui`.
pub fn command() -> Command {
    Command {
        name: "ui",
        about: "Serve the web interface for any server with Prometheus' HTTP API: only reads are passed on to it.",
        flags: vec![COMMON, LOOPBACK, UI],
        args: None,
    }
}

#[cfg(test)]
mod tests {
    use flags::Outcome;

    #[test]
    fn the_default_is_loopback() {
        let outcome = flags::parse(&super::command(), [], "").unwrap();
        let Outcome::Run(parsed) = outcome else { panic!("{outcome:?}") };
        assert_eq!(parsed.text("http-address"), "127.0.0.1:10903");
    }
}
