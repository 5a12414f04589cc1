//! A job at work: its configuration, and what is made of it once for all targets.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use transport::http::{ClientConfig, HttpClient};

use crate::accept;
use crate::config::{ScrapeConfig, ScrapeProtocol};
use crate::failure_log::FailureLog;
use crate::histograms::HistogramLimits;
use crate::ingestion::Ingestion;
use crate::metrics::ScrapeMetrics;
use crate::options::{Deps, Options, StartTimes};
use crate::series_labels::{LabelLimits, LabelRules};
use crate::target::Target;

/// What all jobs share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) deps: Deps,
    pub(crate) metrics: ScrapeMetrics,
    pub(crate) interner: Arc<crate::families::Interner>,
    /// The server stops.
    pub(crate) shutdown: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) config: ScrapeConfig,
    client: HttpClient,
    /// The `Accept` header, of targets whose native histograms are not wanted and of those whose are.
    accept: [Arc<str>; 2],
    pub(crate) shared: Arc<Shared>,
    pub(crate) fallback: Option<textparse::Format>,
    pub(crate) failures: Option<Arc<FailureLog>>,
}

impl Job {
    /// What `config` says, by a client of its [`Self::http`].
    pub(crate) fn new(
        config: ScrapeConfig,
        client: HttpClient,
        shared: Arc<Shared>,
        failures: Option<Arc<FailureLog>>,
    ) -> Self {
        Self {
            accept: [
                accept::accept(&config, shared.options.start_times != StartTimes::Ignored).into(),
                accept::accept(&config, true).into(),
            ],
            fallback: config.fallback_scrape_protocol.map(format),
            config,
            client,
            shared,
            failures,
        }
    }

    /// What a client is built of.
    pub(crate) fn http(config: &ScrapeConfig) -> ClientConfig {
        config.http.clone().keeping_encodings()
    }

    /// The client of jobs with an equal configuration of HTTP.
    pub(crate) fn shared_client(&self) -> HttpClient {
        self.client.clone()
    }

    /// The client for a target. Each that is asked by a socket has its own: connections are kept by the host of the URL.
    pub(crate) fn client(&self, target: &Target) -> HttpClient {
        let Some(path) = target.unix_socket.clone() else { return self.client.clone() };
        let made = Self::http(&self.config).through_socket(path).build_early();
        made.unwrap_or_else(|e| {
            // It is built of the same proxy and durations as the job's own.
            tracing::error!(job = self.config.job_name, url = target.url, error = %e, "no client for a socket");
            self.client.clone()
        })
    }

    /// The `Accept` header of a target.
    pub(crate) fn accept(&self, target: &Target) -> Arc<str> {
        let [plain, native] = &self.accept;
        if target.native_histograms { native.clone() } else { plain.clone() }
    }

    /// How bodies of a target are taken, for a scrape at `time_ms`.
    pub(crate) fn ingestion<'a>(&'a self, target: &'a Target, time_ms: i64, previous_ms: i64) -> Ingestion<'a> {
        let (config, options) = (&self.config, &self.shared.options);
        Ingestion {
            labels: LabelRules {
                target: &target.public,
                honors_labels: config.honor_labels,
                rules: &config.metric_relabel_configs,
                names: config.metric_name_validation_scheme,
                limits: LabelLimits::of(config),
            },
            histograms: HistogramLimits::new(
                config.native_histogram_bucket_limit,
                config.native_histogram_min_bucket_factor,
            ),
            parser: self.parser_options(target),
            takes_native: target.native_histograms,
            sample_limit: config.sample_limit,
            honors_timestamps: config.honor_timestamps,
            tracks_timestamps: config.track_timestamps_staleness,
            start_times: options.start_times,
            metadata: options.metadata,
            type_and_unit_labels: options.type_and_unit_labels,
            time_ms,
            time_max_ms: self.shared.deps.clock.now_ms().saturating_add(options.future_max_ms),
            previous_ms,
        }
    }

    fn parser_options(&self, target: &Target) -> textparse::Options {
        let options = &self.shared.options;
        textparse::Options {
            exemplars: options.exemplars,
            start_timestamps: options.start_times != StartTimes::Ignored,
            ignore_native_histograms: !target.native_histograms,
            convert_classic_histograms: target.converts_classic,
            keep_classic_histograms: target.classic_histograms,
        }
    }

    /// Whether more than the usual series tell of each scrape.
    pub(crate) fn has_extra_metrics(&self) -> bool {
        self.config.extra_scrape_metrics || self.shared.options.extra_metrics
    }

    /// Whether series of a target mean the same under another configuration, so that its cache can be kept.
    pub(crate) fn reads_like(&self, other: &ScrapeConfig) -> bool {
        let c = &self.config;
        c.honor_labels == other.honor_labels
            && c.metric_relabel_configs == other.metric_relabel_configs
            && c.metric_name_validation_scheme == other.metric_name_validation_scheme
            && LabelLimits::of(c) == LabelLimits::of(other)
    }
}

fn format(protocol: ScrapeProtocol) -> textparse::Format {
    match protocol {
        ScrapeProtocol::PrometheusProto => textparse::Format::Protobuf,
        ScrapeProtocol::PrometheusText0_0_4 | ScrapeProtocol::PrometheusText1_0_0 => textparse::Format::Text,
        ScrapeProtocol::OpenMetricsText0_0_1 | ScrapeProtocol::OpenMetricsText1_0_0 => textparse::Format::OpenMetrics,
    }
}
