//! The headers of a scrape, as Prometheus sends them.

use crate::config::{DEFAULT_PROTOCOLS, DEFAULT_PROTOCOLS_NATIVE, ScrapeConfig, ScrapeProtocol};

/// The weight of the first protocol is one more than there are protocols, in tenths.
const WEIGHT: usize = 6;

/// What is asked for, the most wanted first. `wants_protobuf`: native histograms or start times are wanted, so that
/// protobuf comes first unless the configuration has its own list.
pub(crate) fn accept(config: &ScrapeConfig, wants_protobuf: bool) -> String {
    let protocols = match config.scrape_protocols == DEFAULT_PROTOCOLS && wants_protobuf {
        true => &DEFAULT_PROTOCOLS_NATIVE[..],
        false => &config.scrape_protocols,
    };
    let escaping = config.metric_name_escaping_scheme.name();
    let mut out = String::new();
    let mut weight = WEIGHT;
    for protocol in protocols {
        out.push_str(protocol.media_type());
        if matches!(protocol, ScrapeProtocol::PrometheusText1_0_0 | ScrapeProtocol::OpenMetricsText1_0_0) {
            out.push_str(";escaping=");
            out.push_str(escaping);
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight = weight.saturating_sub(1);
    }
    out + &format!("*/*;q=0.{weight}")
}

/// The encodings that answers may have.
pub(crate) fn accept_encoding(config: &ScrapeConfig) -> &'static str {
    if config.enable_compression { "gzip" } else { "identity" }
}

/// A timeout as the header `X-Prometheus-Scrape-Timeout-Seconds` has it.
pub(crate) fn timeout_seconds(timeout_ms: i64) -> String {
    format!("{}", timeout_ms as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GlobalConfig;

    #[test]
    fn headers() {
        let config =
            |text: &str| ScrapeConfig::from_node(&yaml::parse(text).unwrap(), &GlobalConfig::default()).unwrap();
        let plain = config("job_name: j");
        assert_eq!(
            accept(&plain, false),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(accept_encoding(&plain), "gzip");
        let native = config(
            "{job_name: j, scrape_native_histograms: true, enable_compression: false, metric_name_validation_scheme: legacy}",
        );
        let header = accept(&native, false);
        assert_eq!(header.split(";q=").count(), accept(&plain, true).split(";q=").count());
        assert!(header.starts_with(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
        ));
        assert!(header.contains(";escaping=underscores;q=0.5") && header.ends_with(",*/*;q=0.1"), "{header}");
        assert_eq!(accept_encoding(&native), "identity");
        assert_eq!((timeout_seconds(10_000), timeout_seconds(1_500)), ("10".to_owned(), "1.5".to_owned()));
    }
}
