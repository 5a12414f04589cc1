//! What the scrape manager and discovery get from flags.

use std::time::Duration;

use assembly::Error;
use config::DiscoveryLimits;
use discovery::consul::ConsulLimits;
use flags::Parsed;

use super::values::duration;

/// What the scrape manager gets from flags.
#[derive(Debug, Clone)]
pub struct ScrapeConfig {
    pub discovery_interval: Duration,
    /// Scrapes that are late by no more than this are dated as planned; zero = none is.
    pub timestamp_tolerance: Duration,
    /// Where a job sets no `body_size_limit`; 0 = no limit.
    pub body_bytes_max: u64,
    /// Of targets with the same labels one alone is scraped.
    pub keep_one_twin: bool,
    pub discovery: DiscoveryLimits,
    pub kubernetes: discovery_kubernetes::Limits,
}

pub(super) fn scrape(parsed: &Parsed) -> Result<ScrapeConfig, Error> {
    Ok(ScrapeConfig {
        discovery_interval: duration(parsed, "scrape.discovery-reload-interval"),
        timestamp_tolerance: match parsed.switch("scrape.adjust-timestamps") {
            true => duration(parsed, "scrape.timestamp-tolerance"),
            false => Duration::ZERO,
        },
        body_bytes_max: parsed.size_bytes("limits.scrape-body-bytes"),
        keep_one_twin: parsed.switch("scrape.keep-one-twin"),
        discovery: discovery(parsed)?,
        kubernetes: kubernetes(parsed)?,
    })
}

/// A number that must not be 0.
fn some(flag: &'static str, value: u64) -> Result<usize, Error> {
    match usize::try_from(value).unwrap_or(usize::MAX) {
        0 => Err(Error::flag(flag, "must be greater than 0")),
        value => Ok(value),
    }
}

fn discovery(parsed: &Parsed) -> Result<DiscoveryLimits, Error> {
    let count = |flag| some(flag, parsed.count(flag));
    Ok(DiscoveryLimits {
        body_bytes_max: some("limits.discovery-body-bytes", parsed.size_bytes("limits.discovery-body-bytes"))?,
        consul: ConsulLimits { watches_max: count("limits.consul-watches")?, polls_max: count("limits.consul-polls")? },
    })
}

fn kubernetes(parsed: &Parsed) -> Result<discovery_kubernetes::Limits, Error> {
    let count = |flag| some(flag, parsed.count(flag));
    let bytes = |flag| some(flag, parsed.size_bytes(flag));
    let time = |flag: &'static str| match duration(parsed, flag) {
        Duration::ZERO => Err(Error::flag(flag, "must be longer than 0")),
        time => Ok(time),
    };
    let (retry_min, retry_max) = (time("discovery.kubernetes-retry-min")?, time("discovery.kubernetes-retry-max")?);
    if retry_max < retry_min {
        let text = "must not be shorter than --discovery.kubernetes-retry-min";
        return Err(Error::flag("discovery.kubernetes-retry-max", text));
    }
    Ok(discovery_kubernetes::Limits {
        page_objects: count("discovery.kubernetes-page-objects")?,
        page_bytes_max: bytes("limits.kubernetes-page-bytes")?,
        event_bytes_max: bytes("limits.kubernetes-object-bytes")?,
        objects_max: count("limits.kubernetes-objects")?,
        request_timeout: time("discovery.kubernetes-request-timeout")?,
        watch_duration: time("discovery.kubernetes-watch-duration")?,
        retry_min,
        retry_max,
    })
}
