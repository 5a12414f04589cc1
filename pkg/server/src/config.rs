//! What the flags mean, checked once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use api::ApiOptions;
use assembly::{BucketConfig, Deps, Error, GrpcConfig, HttpConfig, store_limits};
use bucket::shipper::Verify;
use flags::Parsed;
use promql::EngineOptions;
use remote::receive::MessageType;
use storage::append::LabelLimits;
use storeapi::StoreLimits;
use transport::http::Prefixes;

use crate::features::Features;
use crate::memory::{Share, available_bytes};

/// What Prometheus keeps where no flag says otherwise.
const RETENTION_DEFAULT: Duration = Duration::from_secs(15 * 24 * 3600);

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
    pub remote_read: RemoteReadConfig,
    pub tsdb: TsdbConfig,
    pub scrape: ScrapeConfig,
    pub engine: EngineOptions,
    pub api: ApiOptions,
    pub limits: Limits,
    /// Where blocks are shipped to; none configured = they stay here.
    pub bucket: BucketConfig,
    pub ship: ShipConfig,
    pub store_limits: StoreLimits,
    /// Bytes of one StoreAPI request; 0 = no limit.
    pub request_bytes_max: u64,
    /// Bytes of all StoreAPI requests together; 0 = no limit.
    pub requests_bytes_max: u64,
    pub notifications_subscribers_max: usize,
    pub search_results_max: usize,
}

/// Remote write, the receiving end.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    pub enabled: bool,
    /// Protobuf messages that are taken.
    pub messages: Vec<MessageType>,
    /// A request after decompression.
    pub request_bytes_max: usize,
}

/// Remote read, the serving end; 0 = no limit.
#[derive(Debug, Clone)]
pub struct RemoteReadConfig {
    pub samples_max: u64,
    pub concurrent_max: usize,
    pub frame_bytes_max: usize,
}

/// The data directory.
#[derive(Debug, Clone)]
pub struct TsdbConfig {
    pub path: PathBuf,
    pub lockfile: bool,
    /// Zero = no limit, where a size is given.
    pub retention: Duration,
    /// 0 = no limit.
    pub retention_bytes: u64,
    /// Of the file system; 0 = no limit.
    pub retention_percent: f64,
    pub delay_compact_file: Option<PathBuf>,
    pub wal_sync_interval: Duration,
    pub wal_segment_bytes: u64,
    /// `None` = not compressed; `snappy` or `zstd`.
    pub wal_compression: Option<String>,
    pub block_range: Duration,
    /// Zero = by the retention.
    pub block_range_max: Duration,
    pub block_segment_bytes: u64,
    pub reload_interval: Duration,
    pub samples_per_chunk: usize,
    pub overlapping_compaction: bool,
}

/// What the scrape manager gets from flags.
#[derive(Debug, Clone)]
pub struct ScrapeConfig {
    pub discovery_interval: Duration,
    /// Scrapes that are late by no more than this are dated as planned; zero = none is.
    pub timestamp_tolerance: Duration,
    /// Where a job sets no `body_size_limit`; 0 = no limit.
    pub body_bytes_max: u64,
}

/// What the process and its head may hold; 0 = no limit.
#[derive(Debug, Clone)]
pub struct Limits {
    pub memory_bytes: u64,
    pub series: usize,
    pub series_per_metric: usize,
    pub series_per_job: usize,
    pub labels: LabelLimits,
    /// All queries together.
    pub query_bytes_total: u64,
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
        if parsed.switch("agent") {
            let why = "there is no agent mode yet: run without it, or with a Prometheus as agent";
            return Err(Error::flag("agent", why));
        }
        if parsed.switch("web.enable-otlp-receiver") {
            return Err(Error::flag("web.enable-otlp-receiver", "there is no OTLP receiver yet: send remote write"));
        }
        let (features, warnings) = Features::parse(&parsed.list("enable-feature"));
        for warning in warnings {
            tracing::warn!("--enable-feature: {warning}");
        }
        let limits = limits(parsed, available_bytes(Path::new("/")))?;
        let engine = engine(parsed, features);
        let upload_concurrency = usize::try_from(parsed.count("shipper.upload-concurrency")).unwrap_or(0);
        let meta_file_name = parsed.text("shipper.meta-file-name").to_owned();
        if meta_file_name.is_empty() || meta_file_name.contains(['/', '\\']) {
            return Err(Error::flag("shipper.meta-file-name", format!("{meta_file_name:?} is no file name")));
        }
        let grpc = parsed.text_opt("grpc-address").map(|_| GrpcConfig::from_flags(parsed)).transpose()?;
        let external_url = parsed.text("web.external-url").to_owned();
        Ok(Self {
            http: http(parsed, &external_url)?,
            grpc,
            config_file: parsed.text("config.file").into(),
            auto_reload: parsed.switch("config.auto-reload").then(|| duration(parsed, "config.auto-reload-interval")),
            external_url,
            features,
            admin: parsed.switch("web.enable-admin-api"),
            receiver: receiver(parsed)?,
            remote_read: RemoteReadConfig {
                samples_max: parsed.count("storage.remote.read-sample-limit"),
                concurrent_max: count(parsed, "storage.remote.read-concurrent-limit"),
                frame_bytes_max: count(parsed, "storage.remote.read-max-bytes-in-frame"),
            },
            tsdb: tsdb(parsed)?,
            scrape: ScrapeConfig {
                discovery_interval: duration(parsed, "scrape.discovery-reload-interval"),
                timestamp_tolerance: match parsed.switch("scrape.adjust-timestamps") {
                    true => duration(parsed, "scrape.timestamp-tolerance"),
                    false => Duration::ZERO,
                },
                body_bytes_max: parsed.size_bytes("limits.scrape-body-bytes"),
            },
            api: ApiOptions {
                engine: engine.clone(),
                auto_downsampling: false,
                dynamic_lookback: false,
                request_bytes_max: parsed.size_bytes("query.max-bytes"),
                parameters_max: count(parsed, "query.max-parameters"),
                start_time_ms: deps.clock.now_ms(),
                component: "server".to_owned(),
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
            store_limits: store_limits(parsed),
            request_bytes_max: parsed.size_bytes("store.max-request-bytes"),
            requests_bytes_max: parsed.size_bytes("store.max-request-bytes-total"),
            notifications_subscribers_max: count(parsed, "web.max-notifications-subscribers"),
            search_results_max: count(parsed, "web.search.max-limit"),
        })
    }
}

fn duration(parsed: &Parsed, flag: &str) -> Duration {
    Duration::from_millis(parsed.duration_ms(flag).max(0) as u64)
}

fn count(parsed: &Parsed, flag: &str) -> usize {
    usize::try_from(parsed.count(flag)).unwrap_or(usize::MAX)
}

fn http(parsed: &Parsed, external_url: &str) -> Result<HttpConfig, Error> {
    let path = match external_url {
        "" => String::new(),
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

fn receiver(parsed: &Parsed) -> Result<ReceiverConfig, Error> {
    const FLAG: &str = "web.remote-write-receiver.accepted-protobuf-messages";
    let known = MessageType::ALL.map(MessageType::as_str).join(", ");
    let parse = |name: &String| {
        MessageType::parse(name).ok_or_else(|| Error::flag(FLAG, format!("{name:?} is none of {known}")))
    };
    let messages = parsed.list(FLAG).iter().map(parse).collect::<Result<_, _>>()?;
    Ok(ReceiverConfig {
        enabled: parsed.switch("web.enable-remote-write-receiver"),
        messages,
        request_bytes_max: usize::try_from(parsed.size_bytes("limits.write-request-bytes")).unwrap_or(usize::MAX),
    })
}

fn tsdb(parsed: &Parsed) -> Result<TsdbConfig, Error> {
    let segment = parsed.size_bytes("storage.tsdb.wal-segment-size");
    if !(10 << 20..=256 << 20).contains(&segment) {
        return Err(Error::flag("storage.tsdb.wal-segment-size", "must be from 10MiB to 256MiB"));
    }
    let (time, bytes) =
        (duration(parsed, "storage.tsdb.retention.time"), parsed.size_bytes("storage.tsdb.retention.size"));
    let percent = parsed.number("storage.tsdb.retention.percentage");
    if !(0.0..=100.0).contains(&percent) {
        return Err(Error::flag("storage.tsdb.retention.percentage", "must be from 0 to 100"));
    }
    let block_range = duration(parsed, "storage.tsdb.min-block-duration");
    if block_range < Duration::from_secs(60) {
        return Err(Error::flag("storage.tsdb.min-block-duration", "must be at least 1m"));
    }
    Ok(TsdbConfig {
        path: parsed.text("storage.tsdb.path").into(),
        lockfile: !parsed.switch("storage.tsdb.no-lockfile"),
        retention: if time.is_zero() && bytes == 0 && percent == 0.0 { RETENTION_DEFAULT } else { time },
        retention_bytes: bytes,
        retention_percent: percent,
        delay_compact_file: parsed.text_opt("storage.tsdb.delay-compact-file.path").map(PathBuf::from),
        wal_sync_interval: duration(parsed, "storage.tsdb.wal-sync-interval"),
        wal_segment_bytes: segment,
        wal_compression: parsed
            .switch("storage.tsdb.wal-compression")
            .then(|| parsed.text("storage.tsdb.wal-compression-type").to_owned()),
        block_range,
        block_range_max: duration(parsed, "storage.tsdb.max-block-duration"),
        block_segment_bytes: parsed.size_bytes("storage.tsdb.max-block-chunk-segment-size"),
        reload_interval: duration(parsed, "storage.tsdb.block-reload-interval"),
        samples_per_chunk: count(parsed, "storage.tsdb.samples-per-chunk").clamp(2, 32_000),
        overlapping_compaction: parsed.switch("storage.tsdb.allow-overlapping-compaction"),
    })
}

fn limits(parsed: &Parsed, available_bytes: u64) -> Result<Limits, Error> {
    let share = |flag: &str| Share::parse(parsed.text(flag)).map_err(|e| Error::flag(flag, e));
    let memory_bytes = share("limits.memory")?.of(available_bytes);
    let whole = if memory_bytes == 0 { available_bytes } else { memory_bytes };
    let bytes = |flag: &str| usize::try_from(parsed.size_bytes(flag)).unwrap_or(usize::MAX);
    Ok(Limits {
        memory_bytes,
        series: count(parsed, "limits.series"),
        series_per_metric: count(parsed, "limits.series-per-metric"),
        series_per_job: count(parsed, "limits.series-per-job"),
        labels: LabelLimits {
            labels_max: count(parsed, "limits.labels"),
            name_bytes_max: bytes("limits.label-name-bytes"),
            value_bytes_max: bytes("limits.label-value-bytes"),
        },
        query_bytes_total: share("query.max-bytes-total")?.of(whole),
    })
}

fn engine(parsed: &Parsed, features: Features) -> EngineOptions {
    EngineOptions {
        lookback_ms: parsed.duration_ms("query.lookback-delta").max(1),
        max_samples: count(parsed, "query.max-samples"),
        timeout_ms: parsed.duration_ms("query.timeout").max(0) as u64,
        max_concurrent: count(parsed, "query.max-concurrency"),
        max_query_bytes: parsed.size_bytes("query.max-bytes"),
        delayed_name_removal: features.delayed_name_removal,
        type_and_unit_labels: features.type_and_unit_labels,
        parse: promql_syntax::ParseOptions {
            experimental_functions: features.experimental_functions,
            extended_range_selectors: features.extended_range_selectors,
            fill_modifiers: features.fill_modifiers,
            ..promql_syntax::ParseOptions::STABLE
        },
        ..EngineOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use assembly::Config as _;
    use telemetry::Metrics;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        match flags::parse(&crate::command(), args.iter().map(|a| (*a).to_owned()), "v") {
            Ok(flags::Outcome::Run(parsed)) => Config::from_flags(&parsed, &deps).map_err(|e| e.to_string()),
            Ok(flags::Outcome::Print(text)) => Err(text),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn defaults_are_prometheus() {
        let c = config(&[]).unwrap();
        assert_eq!(c.http.addresses, ["0.0.0.0:9090"]);
        assert_eq!((c.config_file.to_str(), c.tsdb.path.to_str()), (Some("prometheus.yml"), Some("data/")));
        assert_eq!((c.tsdb.retention, c.tsdb.wal_sync_interval), (RETENTION_DEFAULT, Duration::from_secs(1)));
        assert_eq!((c.engine.lookback_ms, c.engine.timeout_ms, c.engine.max_concurrent), (300_000, 120_000, 20));
        assert_eq!(c.receiver.messages, [MessageType::V1]);
        assert!(c.grpc.is_none() && !c.admin && !c.receiver.enabled && c.http.lifecycle == Some(false));
        assert!(c.limits.memory_bytes > 0 && c.limits.query_bytes_total < c.limits.memory_bytes);
    }

    #[test]
    fn flags_become_settings() {
        let c = config(&[
            "--web.listen-address=127.0.0.1:1",
            "--web.listen-address=127.0.0.1:2",
            "--web.external-url=http://example.org/aion/",
            "--storage.tsdb.retention.size=1GB",
            "--grpc-address=127.0.0.1:3",
            "--limits.memory=1GiB",
            "--query.max-bytes-total=50%",
            "--no-storage.tsdb.wal-compression",
        ])
        .unwrap();
        assert_eq!(c.http.addresses, ["127.0.0.1:1", "127.0.0.1:2"]);
        assert!(!c.http.prefixes.is_root());
        assert_eq!((c.tsdb.retention, c.tsdb.retention_bytes), (Duration::ZERO, 1 << 30));
        assert_eq!(c.grpc.unwrap().address, "127.0.0.1:3");
        assert_eq!((c.limits.memory_bytes, c.limits.query_bytes_total), (1 << 30, 1 << 29));
        assert_eq!(c.tsdb.wal_compression, None);
    }

    #[test]
    fn contradictions_are_refused() {
        for (args, text) in [
            (&["--agent"][..], "--agent: there is no agent mode yet"),
            (&["--web.external-url=ftp://x"], "no http or https URL"),
            (&["--limits.memory=120%"], "--limits.memory: \"120%\" is no percentage"),
            (&["--storage.tsdb.wal-segment-size=1MiB"], "from 10MiB to 256MiB"),
            (
                &["--web.remote-write-receiver.accepted-protobuf-messages=x"],
                "is none of io.prometheus.write.v2.Request, prometheus.WriteRequest",
            ),
            (&["--shipper.meta-file-name=a/b"], "is no file name"),
            (&["--web.read-timeout=0s"], "--web.read-timeout: must be longer than 0"),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
