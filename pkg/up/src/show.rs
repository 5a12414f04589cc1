//! What is said on the terminal.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// Where the parts listen.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The querier: the page and PromQL over all data.
    pub page: SocketAddr,
    /// The server: its pages and targets, remote write.
    pub server: SocketAddr,
    /// This machine's metrics.
    pub host: SocketAddr,
    /// The compactor's page.
    pub compactor: Option<SocketAddr>,
}

/// Writes a line; a terminal that has gone away is no failure.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// The addresses of `found`, one a line, each with what it is for.
pub(crate) fn addresses(found: &Addresses, dir: &Path, config: &Path) -> String {
    let Addresses { page, server, host, compactor } = found;
    let mut out = format!("All files are in {}.\n\n", dir.display());
    let mut row = |url: String, what: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {url:<42}{what}");
    };
    row(format!("http://{page}/"), "queries over all data; in Grafana a data source of type Prometheus");
    row(format!("http://{server}/"), &format!("the server; it scrapes what {} says", config.display()));
    row(format!("http://{server}/api/v1/write"), "remote write is taken here");
    row(format!("http://{host}/metrics"), "this machine, under the names of node_exporter");
    if let Some(compactor) = compactor {
        row(format!("http://{compactor}/"), "the compactor: blocks, and what is done with them");
    }
    out
}

/// Lines to copy.
pub(crate) fn tries(page: SocketAddr) -> String {
    format!(
        "Try:\n  curl -s 'http://{page}/api/v1/query' -d 'query=up'\n  \
         curl -s 'http://{page}/api/v1/query' -d 'query=sum by (mode) (rate(node_cpu_seconds_total[1m]))'\n"
    )
}

/// The command lines of the parts alone.
pub(crate) fn lines(lines: &[String]) -> String {
    let mut out = "The same as processes of their own, on one machine or several:\n".to_owned();
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newcomer_sees() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let found = Addresses { page: at(10902), server: at(9090), host: at(9100), compactor: Some(at(4)) };
        let text = addresses(&found, Path::new("./aion-data"), Path::new("./aion-data/prometheus.yml"));
        for part in ["./aion-data/prometheus.yml", "http://127.0.0.1:10902/ ", "http://127.0.0.1:9100/metrics "] {
            assert!(text.contains(part), "{text}");
        }
        assert!(tries(at(10902)).contains("'http://127.0.0.1:10902/api/v1/query' -d 'query=up'"));
        assert!(lines(&["aion store".to_owned()]).ends_with("\n  aion store\n"));
    }
}
