//! What the flags mean, checked once.

use std::path::PathBuf;
use std::time::Duration;

use assembly::{BucketConfig, Deps, Error, GrpcConfig, HttpConfig, StoreConfig};
use bucket::shipper::Verify;
use flags::Parsed;
use model::redact_urls;
use remote::RemoteReadOptions;
use transport::http::{ClientConfig, HttpClient};

use crate::reloader::{Method, ReloaderOptions};

#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    /// Where blocks are uploaded to; none configured = no uploads.
    pub bucket: BucketConfig,
    pub prometheus_url: String,
    pub http_client: HttpClient,
    /// How long Prometheus may take to be ready at the start.
    pub ready_timeout: Duration,
    /// How often Prometheus is asked for its configuration.
    pub config_interval: Duration,
    pub config_timeout: Duration,
    pub tsdb_path: PathBuf,
    /// RFC 3339 or a duration; a relative one is counted from the time of each poll.
    pub min_time: String,
    pub meta_file_name: String,
    pub upload_compacted: bool,
    pub ignore_unequal_block_size: bool,
    pub allow_out_of_order: bool,
    /// Whether uploaded files are hashed into `meta.json`.
    pub hash: bool,
    pub verify: Verify,
    /// From the start of one pass of uploads to the next.
    pub ship_interval: Duration,
    /// How long the last pass may take, at the end.
    pub last_pass_timeout: Duration,
    pub store: StoreConfig,
    pub read: RemoteReadOptions,
    pub reloader: ReloaderOptions,
}

impl assembly::Config for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn grpc(&self) -> Option<&GrpcConfig> {
        Some(&self.grpc)
    }

    fn from_flags(parsed: &Parsed, _deps: &Deps) -> Result<Self, Error> {
        let duration = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        let http_client = ClientConfig::parse(&parsed.content("prometheus.http-client")?.unwrap_or_default())
            .and_then(ClientConfig::build)
            .map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("prometheus.http-client"))))?;
        let url = parsed.text("prometheus.url");
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(Error::flag("prometheus.url", format!("{:?} is no http or https URL", redact_urls(url))));
        }
        let meta_file_name = parsed.text("shipper.meta-file-name").to_owned();
        if meta_file_name.is_empty() || meta_file_name.contains(['/', '\\']) {
            return Err(Error::flag("shipper.meta-file-name", format!("{meta_file_name:?} is no file name")));
        }
        let upload_concurrency = usize::try_from(parsed.count("shipper.upload-concurrency")).unwrap_or(0);
        let path = |flag: &str| parsed.text_opt(flag).map(PathBuf::from);
        let reloader = ReloaderOptions {
            config_file: path("reloader.config-file"),
            output_file: path("reloader.config-envsubst-file"),
            rule_dirs: parsed.list("reloader.rule-dir").into_iter().map(PathBuf::from).collect(),
            watch_interval: duration("reloader.watch-interval"),
            retry_interval: duration("reloader.retry-interval"),
            method: match parsed.text("reloader.method") {
                "signal" => Method::Signal { process_name: parsed.text("reloader.process-name").to_owned() },
                _ => Method::Http,
            },
            ..ReloaderOptions::default()
        };
        Ok(Self {
            http: HttpConfig::from_flags(parsed)?,
            grpc: GrpcConfig::from_flags(parsed)?,
            bucket: BucketConfig { upload_concurrency, ..BucketConfig::from_flags(parsed)? },
            prometheus_url: url.to_owned(),
            http_client,
            ready_timeout: duration("prometheus.ready_timeout"),
            config_interval: duration("prometheus.get_config_interval"),
            config_timeout: duration("prometheus.get_config_timeout"),
            tsdb_path: parsed.text("tsdb.path").into(),
            min_time: parsed.text("min-time").to_owned(),
            meta_file_name,
            upload_compacted: parsed.switch("shipper.upload-compacted"),
            ignore_unequal_block_size: parsed.switch("shipper.ignore-unequal-block-size"),
            allow_out_of_order: parsed.switch("shipper.allow-out-of-order-uploads"),
            hash: parsed.text("hash-func") == "SHA256",
            verify: if parsed.text("shipper.verify") == "full" { Verify::Full } else { Verify::Index },
            ship_interval: Duration::from_secs(30),
            last_pass_timeout: Duration::from_secs(20),
            store: StoreConfig::from_flags(parsed),
            read: RemoteReadOptions {
                concurrency: usize::try_from(parsed.count("prometheus.remote-read-concurrency")).unwrap_or(usize::MAX),
                ..RemoteReadOptions::default()
            },
            reloader,
        })
    }
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        assembly::configured::<crate::Sidecar>(args.iter().copied(), &deps).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        assert_eq!(
            (c.ready_timeout.as_secs(), c.config_interval.as_secs(), c.meta_file_name.as_str()),
            (600, 30, "thanos.shipper.json")
        );
        assert!(c.bucket.yaml.is_empty() && !c.upload_compacted && !c.hash && c.reloader.config_file.is_none());
        assert_eq!(c.reloader.watch_interval.as_secs(), 180);
    }

    #[test]
    fn refuses() {
        for (args, want) in [
            (["--prometheus.url=ftp://x"], "no http or https URL"),
            (["--shipper.meta-file-name=a/b"], "is no file name"),
            (["--prometheus.http-client=nonsense: 1"], "--prometheus.http-client"),
            (["--reloader.method=post"], "none of http, signal"),
        ] {
            let error = config(&args).unwrap_err();
            assert!(error.contains(want), "{error}");
        }
    }
}
