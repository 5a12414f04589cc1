//! What the flags mean, checked once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use assembly::{BucketConfig, Deps, Error, GrpcConfig, HttpConfig, StoreConfig};
use config::RemoteWriteConfig;
use flags::Parsed;
use labels::Labels;
use relabel::Rule;
use rules::ParseOptions;
use storage::PartialResponse;

use crate::alerts::LinkTemplate;
use crate::clients::{
    QuerierSets, Servers, alertmanager_of_url, alertmanagers_of_yaml, queriers_of_flags, queriers_of_yaml,
};

/// Rule groups that do not say it fail where data is missing.
pub const PARTIAL_RESPONSE: PartialResponse = PartialResponse::Abort;

#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    pub bucket: BucketConfig,
    pub data_dir: PathBuf,
    /// Labels of everything that this ruler makes.
    pub labels: Labels,
    /// Patterns of rule files.
    pub rule_files: Vec<String>,
    pub parse: ParseOptions,
    pub eval_interval: Duration,
    pub query_offset: Duration,
    pub rules: rules::Options,
    pub queriers: QuerierSets,
    pub query_by_get: bool,
    pub thanos_params: bool,
    pub query_dns_interval: Duration,
    pub alertmanagers: Vec<Servers>,
    pub alert_dns_interval: Duration,
    /// Rules for the labels of alerts; those that drop labels come first.
    pub alert_relabel: Arc<[Rule]>,
    pub link: LinkTemplate,
    pub restore_ignored_labels: Vec<String>,
    pub tsdb: TsdbConfig,
    /// Where recorded series are sent to; none = they are kept in a TSDB.
    pub remote_write: Vec<RemoteWriteConfig>,
    pub ship: ShipConfig,
    pub store: StoreConfig,
    /// All evaluations together; 0 = no limit.
    pub query_bytes_max: u64,
}

/// The TSDB of recorded series.
#[derive(Debug, Clone)]
pub struct TsdbConfig {
    pub block: Duration,
    pub retention: Duration,
    pub lockfile: bool,
    pub compressed: bool,
}

/// How blocks are shipped.
#[derive(Debug, Clone)]
pub struct ShipConfig {
    pub upload_compacted: bool,
    pub allow_out_of_order: bool,
    pub hash: bool,
    pub meta_file_name: String,
}

impl assembly::Config for Config {
    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn grpc(&self) -> Option<&GrpcConfig> {
        Some(&self.grpc)
    }

    fn from_flags(parsed: &Parsed, _: &Deps) -> Result<Self, Error> {
        let duration = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        let count = |flag: &str| usize::try_from(parsed.count(flag)).unwrap_or(usize::MAX);
        let labels = promql_syntax::parse_flag_labels("label", &parsed.list("label")).map_err(Error::Config)?;
        let meta_file_name = parsed.text("shipper.meta-file-name").to_owned();
        if meta_file_name.is_empty() || meta_file_name.contains(['/', '\\']) {
            return Err(Error::flag("shipper.meta-file-name", format!("{meta_file_name:?} is no file name")));
        }
        let query_url = parsed.text("alert.query-url");
        let link = LinkTemplate::new(query_url, parsed.text("alert.query-template"))
            .map_err(|why| Error::flag("alert.query-template", why))?;
        let block = duration("tsdb.block-duration");
        if block < Duration::from_secs(60) {
            return Err(Error::flag("tsdb.block-duration", "must be at least 1m"));
        }
        Ok(Self {
            http: HttpConfig::from_flags(parsed)?,
            grpc: GrpcConfig::from_flags(parsed)?,
            bucket: BucketConfig {
                upload_concurrency: count("shipper.upload-concurrency"),
                ..BucketConfig::from_flags(parsed)?
            },
            data_dir: parsed.text("data-dir").into(),
            labels,
            rule_files: parsed.list("rule-file"),
            parse: parse_options(parsed),
            eval_interval: duration("eval-interval"),
            query_offset: duration("rule-query-offset"),
            rules: rule_options(parsed, query_url),
            queriers: queriers(parsed)?,
            query_by_get: parsed.text("query.http-method") == "GET",
            thanos_params: !parsed.switch("query.only-prometheus-params"),
            query_dns_interval: duration("query.sd-dns-interval"),
            alertmanagers: alertmanagers(parsed)?,
            alert_dns_interval: duration("alertmanagers.sd-dns-interval"),
            alert_relabel: alert_relabel(parsed)?,
            link,
            restore_ignored_labels: parsed.list("restore-ignored-label"),
            tsdb: TsdbConfig {
                block,
                retention: duration("tsdb.retention"),
                lockfile: !parsed.switch("tsdb.no-lockfile"),
                compressed: parsed.switch("tsdb.wal-compression"),
            },
            remote_write: remote_write(parsed)?,
            ship: ShipConfig {
                upload_compacted: parsed.switch("shipper.upload-compacted"),
                allow_out_of_order: parsed.switch("shipper.allow-out-of-order-uploads"),
                hash: parsed.text("hash-func") == "SHA256",
                meta_file_name,
            },
            store: StoreConfig::from_flags(parsed),
            query_bytes_max: parsed.size_bytes("limits.query-bytes"),
        })
    }
}

fn parse_options(parsed: &Parsed) -> ParseOptions {
    let features = parsed.list("enable-feature");
    let experimental =
        features.iter().flat_map(|list| list.split(',')).any(|f| f.trim() == "promql-experimental-functions");
    let promql = promql_syntax::ParseOptions { experimental_functions: experimental, ..Default::default() };
    ParseOptions { promql, thanos: true, ..ParseOptions::default() }
}

fn rule_options(parsed: &Parsed, query_url: &str) -> rules::Options {
    let concurrent = usize::try_from(parsed.count("rule-concurrent-evaluation")).unwrap_or(usize::MAX);
    rules::Options {
        external_url: query_url.trim_end_matches('/').to_owned(),
        outage_tolerance_ms: parsed.duration_ms("for-outage-tolerance"),
        for_grace_period_ms: parsed.duration_ms("for-grace-period"),
        resend_delay_ms: parsed.duration_ms("resend-delay"),
        concurrent_max: if concurrent > 1 { concurrent } else { 0 },
        series_max: usize::try_from(parsed.count("limits.rule-series")).unwrap_or(usize::MAX),
        partial_response: PARTIAL_RESPONSE,
        ..rules::Options::default()
    }
}

fn queriers(parsed: &Parsed) -> Result<QuerierSets, Error> {
    let (addresses, files) = (parsed.list("query"), parsed.list("query.sd-files"));
    let grpc = parsed.list("grpc-query-endpoint");
    let by_flags = !(addresses.is_empty() && files.is_empty() && grpc.is_empty());
    match parsed.content("query.config")?.filter(|text| !text.trim().is_empty()) {
        Some(_) if by_flags => {
            let why = "--query, --query.sd-files and --grpc-query-endpoint cannot be given beside it";
            Err(Error::flag("query.config", why))
        }
        Some(text) => {
            queriers_of_yaml(&text).map_err(|why| Error::Config(format!("{}: {why}", parsed.origin("query.config"))))
        }
        None if by_flags => queriers_of_flags(&addresses, &files, &grpc).map_err(Error::Config),
        None => Err(Error::flag(
            "query",
            "no query configuration parameter was given: rules need a querier, give --query, --query.sd-files, \
             --query.config or --grpc-query-endpoint",
        )),
    }
}

fn alertmanagers(parsed: &Parsed) -> Result<Vec<Servers>, Error> {
    let urls = parsed.list("alertmanagers.url");
    let timeout = Duration::from_millis(parsed.duration_ms("alertmanagers.send-timeout").max(0) as u64);
    match parsed.content("alertmanagers.config")?.filter(|text| !text.trim().is_empty()) {
        Some(_) if !urls.is_empty() => {
            Err(Error::flag("alertmanagers.config", "--alertmanagers.url cannot be given beside it"))
        }
        Some(text) => alertmanagers_of_yaml(&text)
            .map_err(|why| Error::Config(format!("{}: {why}", parsed.origin("alertmanagers.config")))),
        None => urls
            .iter()
            .map(|url| alertmanager_of_url(url, timeout).map_err(|why| Error::flag("alertmanagers.url", why)))
            .collect(),
    }
}

fn alert_relabel(parsed: &Parsed) -> Result<Arc<[Rule]>, Error> {
    let mut yaml = String::new();
    for name in parsed.list("alert.label-drop") {
        if !labels::is_legacy_label_name(&name) {
            return Err(Error::flag("alert.label-drop", format!("{name:?} is no label name")));
        }
        yaml.push_str(&format!("- {{action: labeldrop, regex: {name}}}\n"));
    }
    let wrong = |e: relabel::ConfigError| Error::Config(format!("{}: {e}", parsed.origin("alert.relabel-config")));
    let mut rules = relabel::parse_rules(&yaml).map_err(wrong)?;
    let given = parsed.content("alert.relabel-config")?.unwrap_or_default();
    rules.extend(relabel::parse_rules(&given).map_err(wrong)?);
    Ok(rules.into())
}

fn remote_write(parsed: &Parsed) -> Result<Vec<RemoteWriteConfig>, Error> {
    let text = parsed.content("remote-write.config")?.unwrap_or_default();
    config::parse_remote_write(&text)
        .map_err(|why| Error::Config(format!("{}: {why}", parsed.origin("remote-write.config"))))
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        assembly::configured::<crate::Ruler>(args.iter().copied(), &deps).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&["--query=q:1"]).unwrap();
        assert_eq!(
            (c.tsdb.block.as_secs(), c.tsdb.retention.as_secs(), c.eval_interval.as_secs()),
            (7200, 172_800, 60)
        );
        assert_eq!((c.rules.concurrent_max, c.rules.partial_response), (0, PartialResponse::Abort));
        assert!(c.rule_files == ["rules/"] && c.remote_write.is_empty() && c.thanos_params && !c.query_by_get);
        let c = config(&[
            "--query=q:1",
            "--alert.label-drop=replica",
            "--alert.relabel-config=[{action: labeldrop, regex: x}]",
        ]);
        assert_eq!(c.unwrap().alert_relabel.len(), 2);
    }

    #[test]
    fn refuses() {
        for (args, wanted) in [
            (&[][..], "no query configuration parameter was given"),
            (&["--query=a", "--query.config=[]", "--query.config=[{static_configs: [b]}]"], "--query"),
            (&["--query=a", "--query=a"], "given twice"),
            (&["--query=a", "--alertmanagers.url=am"], "--alertmanagers.url"),
            (&["--query=a", "--alertmanagers.url=http://a", "--alertmanagers.config={alertmanagers: []}"], "beside it"),
            (&["--query=a", "--alert.query-template={{.X}}"], "--alert.query-template"),
            (&["--query=a", "--label=x"], "label"),
            (&["--query=a", "--tsdb.block-duration=1s"], "at least 1m"),
            (&["--query=a", "--remote-write.config=remote_write: [{}]"], "url"),
            (&["--query=a", "--alert.relabel-config=[{action: no}]"], "--alert.relabel-config"),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(wanted), "{args:?}: {error}");
        }
    }
}
