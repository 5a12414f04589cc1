//! `aion tools check healthy|ready`.

use flags::{Flag, Parsed};
use service::tool::Deps;

use super::super::common::Outcome;
use super::{HTTP_CONFIG, client};

pub(crate) const FLAGS: &[Flag] = &[
    Flag::text("url", "http://localhost:9090", "The URL for the Prometheus server.").placeholder("<URL>"),
    HTTP_CONFIG,
    Flag::duration("timeout", "10s", "The longest time for the answer."),
];

/// Asks the probe at `path`.
pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>, path: &str) -> Outcome {
    match client(parsed, parsed.text("url"))?.plain(path).await {
        Ok(said) => {
            deps.print_error(&format!("  SUCCESS:  {}\n", promclient::excerpt(&said)))?;
            Ok(0)
        }
        Err(e) => {
            deps.print_error(&format!("  FAILED: {e}\n"))?;
            Ok(1)
        }
    }
}
