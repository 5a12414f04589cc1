//! What the flags mean, checked once.

mod data;
mod limits;
mod receivers;
mod scraping;
#[cfg(test)]
mod tests;
mod values;

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::ApiOptions;
use assembly::{BucketConfig, Deps, Error, GrpcConfig, HttpConfig, StoreConfig};
use bucket::shipper::Verify;
use flags::Parsed;
use labels::{MatchType, Matcher};
use notifier::NotifierOptions;
use promql::{EngineOptions, Passes};
use transport::http::Prefixes;

pub use self::data::{AgentConfig, TsdbConfig};
use self::data::{agent, check_mode, tsdb};
pub use self::limits::Limits;
use self::limits::limits;
pub use self::receivers::{OtlpReceiverConfig, ReceiverConfig, RemoteReadConfig};
use self::receivers::{otlp, receiver, remote_read};
pub use self::scraping::ScrapeConfig;
use self::scraping::scrape;
use self::values::{count, duration};
use crate::features::Features;
use crate::memory::available_bytes;

#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    /// `None` = no gRPC listener.
    pub grpc: Option<GrpcConfig>,
    pub config_file: PathBuf,
    /// How often the configuration's files are looked at; `None` = only when it is asked for.
    pub auto_reload: Option<Duration>,
    pub external_url: String,
    pub features: Features,
    pub admin: bool,
    pub receiver: ReceiverConfig,
    pub otlp: OtlpReceiverConfig,
    pub remote_read: RemoteReadConfig,
    pub tsdb: TsdbConfig,
    pub agent: AgentConfig,
    pub scrape: ScrapeConfig,
    pub notifier: NotifierOptions,
    pub rules: rules::Options,
    /// How long what is left may be sent for at the end.
    pub flush_deadline: Duration,
    pub engine: EngineOptions,
    pub api: ApiOptions,
    pub limits: Limits,
    /// Where blocks are shipped to; none configured = they stay here.
    pub bucket: BucketConfig,
    pub ship: ShipConfig,
    pub store: StoreConfig,
    pub notifications_subscribers_max: usize,
    pub search_results_max: usize,
}

/// How blocks are shipped.
#[derive(Debug, Clone)]
pub struct ShipConfig {
    pub upload_compacted: bool,
    pub meta_file_name: String,
    pub verify: Verify,
}

impl assembly::Config for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn grpc(&self) -> Option<&GrpcConfig> {
        self.grpc.as_ref()
    }

    fn from_flags(parsed: &Parsed, deps: &Deps) -> Result<Self, Error> {
        check_mode(parsed)?;
        let (features, warnings) = Features::parse(&parsed.list("enable-feature"));
        for warning in warnings {
            tracing::warn!("--enable-feature: {warning}");
        }
        let limits = limits(parsed, available_bytes(Path::new("/")))?;
        let engine = engine(parsed, features)?;
        let upload_concurrency = usize::try_from(parsed.count("shipper.upload-concurrency")).unwrap_or(0);
        let meta_file_name = parsed.text("shipper.meta-file-name").to_owned();
        if meta_file_name.is_empty() || meta_file_name.contains(['/', '\\']) {
            return Err(Error::flag("shipper.meta-file-name", format!("{meta_file_name:?} is no file name")));
        }
        let grpc = parsed.text_opt("grpc-address").map(|_| GrpcConfig::from_flags(parsed)).transpose()?;
        let external_url = parsed.text("web.external-url").to_owned();
        let http = http(parsed, &external_url)?;
        Ok(Self {
            rules: rules_options(parsed, features, reached_at(&external_url, &http, deps)),
            http,
            grpc,
            config_file: parsed.text("config.file").into(),
            auto_reload: parsed.switch("config.auto-reload").then(|| duration(parsed, "config.auto-reload-interval")),
            external_url,
            features,
            admin: parsed.switch("web.enable-admin-api"),
            receiver: receiver(parsed)?,
            otlp: otlp(parsed, features)?,
            remote_read: remote_read(parsed),
            tsdb: tsdb(parsed)?,
            agent: agent(parsed)?,
            scrape: scrape(parsed)?,
            flush_deadline: duration(parsed, "storage.remote.flush-deadline"),
            notifier: NotifierOptions {
                queue_capacity: count(parsed, "alertmanager.notification-queue-capacity"),
                batch_size: count(parsed, "alertmanager.notification-batch-size"),
                drain: parsed.switch("alertmanager.drain-notification-queue-on-shutdown"),
                ..NotifierOptions::default()
            },
            api: ApiOptions {
                engine: engine.clone(),
                auto_downsampling: false,
                dynamic_lookback: false,
                request_bytes_max: parsed.size_bytes("query.max-bytes"),
                parameters_max: count(parsed, "query.max-parameters"),
                recent_queries_max: count(parsed, "query.recent-queries"),
                start_time_ms: deps.clock.now_ms(),
                component: "server".to_owned(),
                origins: origins(parsed)?,
                ..ApiOptions::default()
            },
            engine,
            limits,
            bucket: BucketConfig { upload_concurrency, ..BucketConfig::from_flags(parsed)? },
            ship: ShipConfig {
                upload_compacted: parsed.switch("shipper.upload-compacted"),
                meta_file_name,
                verify: if parsed.text("shipper.verify") == "full" { Verify::Full } else { Verify::Index },
            },
            store: StoreConfig::from_flags(parsed),
            notifications_subscribers_max: count(parsed, "web.max-notifications-subscribers"),
            search_results_max: count(parsed, "web.search.max-limit"),
        })
    }
}

/// The URL that alerts link to; where its host is not given, by the name of this one.
fn reached_at(external_url: &str, http: &HttpConfig, deps: &Deps) -> String {
    let external_url = external_url.trim_end_matches('/');
    if !external_url.is_empty() && !external_url.starts_with('/') {
        return external_url.to_owned();
    }
    let host = (deps.env)("HOSTNAME").filter(|host| !host.is_empty()).unwrap_or_else(|| "localhost".to_owned());
    let address = http.addresses.first().map_or("", String::as_str);
    format!("http://{host}:{}{external_url}", address.rsplit_once(':').map_or("9090", |(_, port)| port))
}

fn rules_options(parsed: &Parsed, features: Features, external_url: String) -> rules::Options {
    let path_prefix = url::Url::parse(&external_url).map_or_else(|_| String::new(), |url| url.path().to_owned());
    rules::Options {
        path_prefix: path_prefix.trim_end_matches('/').to_owned(),
        external_url,
        outage_tolerance_ms: parsed.duration_ms("rules.alert.for-outage-tolerance"),
        for_grace_period_ms: parsed.duration_ms("rules.alert.for-grace-period"),
        resend_delay_ms: parsed.duration_ms("rules.alert.resend-delay"),
        concurrent_max: if features.concurrent_rules { count(parsed, "rules.max-concurrent-evals") } else { 0 },
        series_max: count(parsed, "limits.rule-series"),
        ..rules::Options::default()
    }
}

/// `None` where all pages may read.
fn origins(parsed: &Parsed) -> Result<Option<Matcher>, Error> {
    let pattern = parsed.text("web.cors.origin");
    if pattern == ".*" {
        return Ok(None);
    }
    let origins = Matcher::new(MatchType::Regex, "origin", pattern);
    origins.map(Some).map_err(|e| Error::flag("web.cors.origin", e))
}

fn http(parsed: &Parsed, external_url: &str) -> Result<HttpConfig, Error> {
    let path = match external_url {
        "" => String::new(),
        // Of the URL Prometheus needs no more than the path.
        path if path.starts_with('/') => path.trim_end_matches('/').to_owned(),
        url => match url::Url::parse(url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url.path().trim_end_matches('/').to_owned(),
            Ok(_) => return Err(Error::flag("web.external-url", format!("{url:?} is no http or https URL"))),
            Err(e) => return Err(Error::flag("web.external-url", e)),
        },
    };
    let route = parsed.text_opt("web.route-prefix").unwrap_or(&path).to_owned();
    let mut http = HttpConfig::from_flags(parsed)?;
    http.prefixes = Prefixes::new(&route, &path, "");
    Ok(http)
}

fn engine(parsed: &Parsed, features: Features) -> Result<EngineOptions, Error> {
    let passes = Passes::ALL.without(parsed.list("query.disable-pass"));
    Ok(EngineOptions {
        lookback_ms: parsed.duration_ms("query.lookback-delta").max(1),
        max_samples: count(parsed, "query.max-samples"),
        timeout_ms: parsed.duration_ms("query.timeout").max(0) as u64,
        max_concurrent: count(parsed, "query.max-concurrency"),
        max_query_bytes: parsed.size_bytes("query.max-bytes"),
        threads: count(parsed, "query.threads"),
        delayed_name_removal: features.delayed_name_removal,
        type_and_unit_labels: features.type_and_unit_labels,
        use_start_timestamps: features.use_start_timestamps,
        parse: promql_syntax::ParseOptions {
            experimental_functions: features.experimental_functions,
            extended_range_selectors: features.extended_range_selectors,
            fill_modifiers: features.fill_modifiers,
            ..promql_syntax::ParseOptions::STABLE
        },
        passes: passes.map_err(|e| Error::flag("query.disable-pass", e))?,
        ..EngineOptions::default()
    })
}
