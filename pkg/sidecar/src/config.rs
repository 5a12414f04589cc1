//! What the flags mean, checked once.

use std::path::PathBuf;
use std::time::Duration;

use bucket::shipper::Verify;
use flags::Parsed;
use model::redact_urls;
use remote::RemoteReadOptions;
use storeapi::StoreLimits;
use transport::http::{ClientConfig, HttpClient, WebConfig};
use transport::{ConfigError, RequestLog, ServeOptions};

use crate::reloader::{Method, ReloaderOptions};

/// Settings of a sidecar.
#[derive(Debug, Clone)]
pub struct Config {
    /// HTTP listener.
    pub http: ServeOptions,
    /// Authentication and headers of the HTTP listener.
    pub web: WebConfig,
    /// gRPC listener.
    pub grpc: ServeOptions,
    /// `--request.logging-config`.
    pub request_log: RequestLog,
    /// `--prometheus.url`.
    pub prometheus_url: String,
    /// The client for it.
    pub http_client: HttpClient,
    /// `--prometheus.ready_timeout`.
    pub ready_timeout: Duration,
    /// `--prometheus.get_config_interval`.
    pub config_interval: Duration,
    /// `--prometheus.get_config_timeout`.
    pub config_timeout: Duration,
    /// `--tsdb.path`.
    pub tsdb_path: PathBuf,
    /// `--min-time`; a relative one is counted from the time of each look.
    pub min_time: String,
    /// The bucket's YAML; `None` = no uploads.
    pub objstore: Option<String>,
    /// Where it comes from, a file or the flag, for errors in it.
    pub objstore_origin: String,
    /// `--shipper.meta-file-name`.
    pub meta_file_name: String,
    /// `--shipper.upload-compacted`.
    pub upload_compacted: bool,
    /// `--shipper.ignore-unequal-block-size`.
    pub ignore_unequal_block_size: bool,
    /// `--shipper.allow-out-of-order-uploads`.
    pub allow_out_of_order: bool,
    /// `--shipper.upload-concurrency`; 0 = the bucket's default.
    pub upload_concurrency: usize,
    /// `--hash-func=SHA256`.
    pub hash: bool,
    /// `--shipper.verify`.
    pub verify: Verify,
    /// From the start of one pass of uploads to the next.
    pub ship_interval: Duration,
    /// How long the last pass may take, at the end.
    pub last_pass_timeout: Duration,
    /// `--store.limits.*`.
    pub limits: StoreLimits,
    /// `--store.max-request-bytes`.
    pub request_bytes_max: u64,
    /// `--store.max-request-bytes-total`.
    pub requests_bytes_max: u64,
    /// Limits of remote reads.
    pub read: RemoteReadOptions,
    /// What the reloader watches.
    pub reloader: ReloaderOptions,
}

impl Config {
    /// Reads the flags and the files they name.
    ///
    /// # Errors
    /// [`ConfigError`], naming the flag.
    pub fn new(parsed: &Parsed) -> Result<Self, ConfigError> {
        let (http, web) = transport::flags::http_server(parsed)?;
        let duration = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        let http_client = ClientConfig::parse(&parsed.content("prometheus.http-client")?.unwrap_or_default())
            .and_then(ClientConfig::build)
            .map_err(|e| ConfigError(format!("{}: {e}", parsed.origin("prometheus.http-client"))))?;
        let url = parsed.text("prometheus.url");
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(ConfigError(format!("--prometheus.url: {:?} is no http or https URL", redact_urls(url))));
        }
        let meta_file_name = parsed.text("shipper.meta-file-name").to_owned();
        if meta_file_name.is_empty() || meta_file_name.contains(['/', '\\']) {
            return Err(ConfigError(format!("--shipper.meta-file-name: {meta_file_name:?} is no file name")));
        }
        if parsed.content("request.logging-config")?.is_some() {
            tracing::warn!(flag = "request.logging-config", "requests are logged at level debug, whatever this says");
        }
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
            http,
            web,
            grpc: transport::flags::grpc_server(parsed)?,
            request_log: transport::flags::request_log(parsed)?,
            prometheus_url: url.to_owned(),
            http_client,
            ready_timeout: duration("prometheus.ready_timeout"),
            config_interval: duration("prometheus.get_config_interval"),
            config_timeout: duration("prometheus.get_config_timeout"),
            tsdb_path: parsed.text("tsdb.path").into(),
            min_time: parsed.text("min-time").to_owned(),
            objstore: parsed.content("objstore.config")?.filter(|yaml| !yaml.trim().is_empty()),
            objstore_origin: parsed.origin("objstore.config"),
            meta_file_name,
            upload_compacted: parsed.switch("shipper.upload-compacted"),
            ignore_unequal_block_size: parsed.switch("shipper.ignore-unequal-block-size"),
            allow_out_of_order: parsed.switch("shipper.allow-out-of-order-uploads"),
            upload_concurrency: usize::try_from(parsed.count("shipper.upload-concurrency")).unwrap_or(0).min(64),
            hash: parsed.text("hash-func") == "SHA256",
            verify: if parsed.text("shipper.verify") == "full" { Verify::Full } else { Verify::Index },
            ship_interval: Duration::from_secs(30),
            last_pass_timeout: Duration::from_secs(20),
            limits: StoreLimits {
                series: parsed.count("store.limits.request-series"),
                samples: parsed.count("store.limits.request-samples"),
            },
            request_bytes_max: parsed.size_bytes("store.max-request-bytes"),
            requests_bytes_max: parsed.size_bytes("store.max-request-bytes-total"),
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
    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
        match flags::parse(&crate::command(), args, "0") {
            Ok(flags::Outcome::Run(parsed)) => Config::new(&parsed).map_err(|e| e.to_string()),
            Ok(_) => Err("no run".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        assert_eq!(
            (c.ready_timeout.as_secs(), c.config_interval.as_secs(), c.meta_file_name.as_str()),
            (600, 30, "thanos.shipper.json")
        );
        assert!(c.objstore.is_none() && !c.upload_compacted && !c.hash && c.reloader.config_file.is_none());
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
