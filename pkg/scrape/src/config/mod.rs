//! What a Prometheus configuration says about scraping: the section `global`, and each entry of `scrape_configs` with what
//! it inherits from there. The keys that discover targets stand beside these; the crate `config` reads them.

mod global;
mod job;
mod names;

pub use global::{FeatureDefaults, GlobalConfig};
pub use job::ScrapeConfig;
pub use names::{EscapingScheme, ScrapeProtocol, ValidationScheme};

/// The protocols that are asked for, unless the configuration names some.
pub const DEFAULT_PROTOCOLS: [ScrapeProtocol; 4] = [
    ScrapeProtocol::OpenMetricsText1_0_0,
    ScrapeProtocol::OpenMetricsText0_0_1,
    ScrapeProtocol::PrometheusText1_0_0,
    ScrapeProtocol::PrometheusText0_0_4,
];

/// As [`DEFAULT_PROTOCOLS`], for jobs that take native histograms.
pub const DEFAULT_PROTOCOLS_NATIVE: [ScrapeProtocol; 5] = [
    ScrapeProtocol::PrometheusProto,
    ScrapeProtocol::OpenMetricsText1_0_0,
    ScrapeProtocol::OpenMetricsText0_0_1,
    ScrapeProtocol::PrometheusText1_0_0,
    ScrapeProtocol::PrometheusText0_0_4,
];

/// Refuses a list without protocols, or with one twice.
fn check_protocols(protocols: &[ScrapeProtocol]) -> Result<(), String> {
    if protocols.is_empty() {
        return Err("scrape_protocols cannot be empty".to_owned());
    }
    let twice = protocols.iter().enumerate().find(|(i, protocol)| protocols[..*i].contains(protocol));
    twice.map_or(Ok(()), |(_, protocol)| Err(format!("duplicated protocol in scrape_protocols: {}", protocol.name())))
}
