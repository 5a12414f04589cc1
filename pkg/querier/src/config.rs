//! What the flags mean, checked once.

use std::sync::Arc;
use std::time::Duration;

use assembly::{Deps, Error, GrpcConfig, HttpConfig, store_limits};
use dedup::Method;
use discovery::dns::is_dynamic;
use flags::Parsed;
use labels::Labels;
use promql::{EngineOptions, Passes};
use queryapi::{QueueOptions, TenantLimits, Tenants};
use relabel::Rule;
use storage::PartialResponse;
use storeapi::StoreLimits;
use transport::grpc::Compression;
use transport::http::Prefixes;

use crate::endpoints::{Mode, Spec, load_sd, parse_sd};
use crate::tenant_file::TenantFile;

/// Prometheus' names of what can be enabled.
const FEATURES: [&str; 5] = [
    "promql-experimental-functions",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
];

#[derive(Debug, Clone)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    pub endpoints: Vec<Spec>,
    /// What entries of files start from: the client flags.
    pub endpoint_base: Spec,
    /// `--endpoint.sd-config-file`, read again every `sd_interval`.
    pub sd_file: Option<String>,
    pub sd_interval: Duration,
    /// `--store.sd-files`, read again every `sd_targets_interval`.
    pub sd_targets: Vec<String>,
    pub sd_targets_interval: Duration,
    pub dns_interval: Duration,
    pub unhealthy_timeout: Duration,
    /// How long one Info call may take.
    pub info_timeout: Duration,
    /// How long a store may send nothing; 0 = for ever.
    pub response_timeout: Duration,
    pub replica_labels: Arc<[String]>,
    pub method: Method,
    pub selector_labels: Labels,
    pub relabel: Arc<[Rule]>,
    pub limits: StoreLimits,
    pub engine: EngineOptions,
    pub queue: QueueOptions,
    /// `--query.tenant-limits-file`, whose limits are among those of `queue`.
    pub(crate) tenant_file: Option<Arc<TenantFile>>,
    /// `--query.mode=distributed`.
    pub distributed: bool,
    pub partition_labels: Arc<[String]>,
    /// `--query.evaluate-at-store`.
    pub at_store: bool,
    /// Bytes of all queries together; 0 = no limit.
    pub bytes_total_max: u64,
    pub api: api::ApiOptions,
    pub metric_labels: Vec<String>,
}

impl assembly::Config for Config {
    fn from_flags(parsed: &Parsed, deps: &Deps) -> Result<Self, Error> {
        let compression = match parsed.text("grpc-compression") {
            "snappy" => Compression::Snappy,
            _ => Compression::None,
        };
        let tls = transport::flags::grpc_client_tls(parsed);
        let base = Spec { address: String::new(), strict: false, mode: Mode::Each, tls, compression };
        let mut endpoints = endpoints(parsed, &base)?;
        endpoints.extend(sd_config(parsed, &base)?);
        let relabel = match parsed.content("selector.relabel-config")? {
            Some(yaml) => relabel::parse_rules(&yaml)
                .map_err(|e| Error::Config(format!("{}: {e}", parsed.origin("selector.relabel-config"))))?,
            None => Vec::new(),
        };
        let route_prefix = parsed.text_opt("web.route-prefix").unwrap_or(parsed.text("web.external-prefix"));
        let mut http = HttpConfig::from_flags(parsed)?;
        http.prefixes =
            Prefixes::new(route_prefix, parsed.text("web.external-prefix"), parsed.text("web.prefix-header"));
        let replica_labels: Vec<String> =
            parsed.list("query.replica-label").iter().flat_map(|l| l.split(',')).map(|l| l.trim().to_owned()).collect();
        let partition_labels: Vec<String> = parsed
            .list("query.partition-label")
            .iter()
            .flat_map(|l| l.split(','))
            .map(|l| l.trim().to_owned())
            .collect();
        if let Some(both) = partition_labels.iter().find(|l| replica_labels.contains(l)) {
            return Err(Error::Config(format!(
                "--query.partition-label={both} is a --query.replica-label as well: replicas are one series, partitions are not"
            )));
        }
        let engine = engine(parsed)?;
        let limits = TenantLimits {
            running_max: parsed.count("query.tenant-max-concurrent") as usize,
            waiting_max: parsed.count("query.tenant-max-queued") as usize,
            bytes_max: parsed.size_bytes("query.tenant-max-bytes"),
            ..TenantLimits::default()
        };
        let tenants = Arc::new(Tenants::new(limits));
        let tenant_file = match parsed.text_opt("query.tenant-limits-file") {
            Some(path) => {
                let file = TenantFile::open(path.into(), limits, tenants.clone());
                Some(Arc::new(file.map_err(|e| Error::flag("query.tenant-limits-file", e))?))
            }
            None => None,
        };
        let millis = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        Ok(Self {
            http,
            grpc: GrpcConfig::from_flags(parsed)?,
            endpoints,
            endpoint_base: base,
            sd_file: parsed.text_opt("endpoint.sd-config-file").map(str::to_owned),
            sd_interval: millis("endpoint.sd-config-reload-interval"),
            sd_targets: parsed.list("store.sd-files"),
            sd_targets_interval: millis("store.sd-interval"),
            dns_interval: millis("store.sd-dns-interval"),
            unhealthy_timeout: millis("store.unhealthy-timeout"),
            info_timeout: millis("endpoint.info-timeout"),
            response_timeout: millis("store.response-timeout"),
            replica_labels: replica_labels.into(),
            method: if parsed.text("deduplication.func") == "chain" { Method::Chain } else { Method::Penalty },
            selector_labels: promql_syntax::parse_flag_labels("selector-label", &parsed.list("selector-label"))
                .map_err(Error::Config)?,
            relabel: relabel.into(),
            limits: store_limits(parsed),
            queue: QueueOptions {
                running_max: engine.max_concurrent,
                waiting_max: parsed.count("query.max-queued") as usize,
                timeout_ms: engine.timeout_ms,
                tenants,
            },
            tenant_file,
            distributed: parsed.text("query.mode") == "distributed",
            partition_labels: partition_labels.into(),
            at_store: parsed.switch("query.evaluate-at-store"),
            engine: engine.clone(),
            bytes_total_max: parsed.size_bytes("query.max-bytes-total"),
            api: api(parsed, engine, deps.clock.now_ms()),
            metric_labels: parsed.list("query.conn-metric.label"),
        })
    }

    fn http(&self) -> &HttpConfig {
        &self.http
    }

    fn grpc(&self) -> Option<&GrpcConfig> {
        Some(&self.grpc)
    }
}

fn engine(parsed: &Parsed) -> Result<EngineOptions, Error> {
    let features: Vec<String> =
        parsed.list("enable-feature").iter().flat_map(|f| f.split(',')).map(|f| f.trim().to_owned()).collect();
    for feature in &features {
        if !FEATURES.contains(&feature.as_str()) {
            tracing::warn!(feature, "unknown feature has no effect");
        }
    }
    let has = |name: &str| features.iter().any(|f| f == name);
    let lookback_ms = match parsed.duration_ms("query.lookback-delta") {
        0 => 300_000,
        ms => ms,
    };
    let passes = Passes::ALL.without(parsed.list("query.disable-pass"));
    Ok(EngineOptions {
        lookback_ms,
        max_samples: parsed.count("query.max-samples") as usize,
        timeout_ms: parsed.duration_ms("query.timeout").max(0) as u64,
        max_concurrent: parsed.count("query.max-concurrent") as usize,
        max_query_bytes: parsed.size_bytes("query.max-bytes"),
        max_series: parsed.count("query.max-series"),
        threads: parsed.count("query.threads") as usize,
        max_label_bytes: usize::try_from(parsed.size_bytes("query.max-label-bytes")).unwrap_or(usize::MAX),
        default_subquery_step_ms: parsed.duration_ms("query.default-evaluation-interval").max(1),
        delayed_name_removal: has("promql-delayed-name-removal"),
        parse: promql_syntax::ParseOptions {
            experimental_functions: has("promql-experimental-functions"),
            extended_range_selectors: has("promql-extended-range-selectors"),
            fill_modifiers: has("promql-binop-fill-modifiers"),
            max_regex_bytes: usize::try_from(parsed.size_bytes("query.max-regex-bytes")).unwrap_or(usize::MAX),
            ..promql_syntax::ParseOptions::STABLE
        },
        passes: passes.map_err(|e| Error::flag("query.disable-pass", e))?,
        ..EngineOptions::default()
    })
}

fn api(parsed: &Parsed, engine: EngineOptions, start_time_ms: i64) -> api::ApiOptions {
    let partial = |flag: &str| match parsed.switch(flag) {
        true => PartialResponse::Warn,
        false => PartialResponse::Abort,
    };
    api::ApiOptions {
        engine,
        partial_response: partial("query.partial-response"),
        rules_partial_response: partial("rule.partial-response"),
        targets_partial_response: partial("target.partial-response"),
        metadata_partial_response: partial("metric-metadata.partial-response"),
        exemplars_partial_response: partial("exemplar.partial-response"),
        status_partial_response: partial("status.partial-response"),
        dynamic_lookback: parsed.switch("query.dynamic-lookback-delta"),
        instant_max_resolution_ms: parsed.duration_ms("query.instant.default.max_source_resolution").max(0),
        auto_downsampling: parsed.switch("query.auto-downsampling"),
        default_step_ms: parsed.duration_ms("query.default-step").max(1),
        default_metadata_range_ms: parsed.duration_ms("query.metadata.default-time-range").max(0),
        tenant_header: parsed.text("query.tenant-header").to_owned(),
        default_tenant: parsed.text("query.default-tenant-id").to_owned(),
        tenant_label: parsed.text("query.tenant-label-name").to_owned(),
        enforce_tenancy: parsed.switch("query.enforce-tenancy"),
        disable_cors: parsed.switch("web.disable-cors"),
        request_bytes_max: parsed.size_bytes("query.max-bytes"),
        parameters_max: parsed.count("query.max-parameters") as usize,
        recent_queries_max: parsed.count("query.recent-queries") as usize,
        start_time_ms,
        ..api::ApiOptions::default()
    }
}

/// The endpoints of `--endpoint.sd-config`. Those of its file are read by the component; here a bad file ends the start.
fn sd_config(parsed: &Parsed, base: &Spec) -> Result<Vec<Spec>, Error> {
    let (inline, file) = (parsed.text_opt("endpoint.sd-config"), parsed.text_opt("endpoint.sd-config-file"));
    if inline.is_some() && file.is_some() {
        let both = "both --endpoint.sd-config and --endpoint.sd-config-file are given, use one";
        return Err(Error::Config(both.into()));
    }
    if let Some(path) = file {
        load_sd(path, base).map_err(|e| Error::flag("endpoint.sd-config-file", e))?;
    }
    inline.map_or(Ok(Vec::new()), |yaml| parse_sd(yaml, base).map_err(|e| Error::flag("endpoint.sd-config", e)))
}

fn endpoints(parsed: &Parsed, base: &Spec) -> Result<Vec<Spec>, Error> {
    let kinds = [
        ("endpoint", false, Mode::Each),
        ("store", false, Mode::Each),
        ("rule", false, Mode::Each),
        ("metadata", false, Mode::Each),
        ("exemplar", false, Mode::Each),
        ("target", false, Mode::Each),
        ("endpoint-group", false, Mode::Group),
        ("endpoint-strict", true, Mode::Each),
        ("store-strict", true, Mode::Each),
        ("endpoint-group-strict", true, Mode::Group),
    ];
    let mut specs: Vec<Spec> = Vec::new();
    for (flag, strict, mode) in kinds {
        for address in parsed.list(flag) {
            if address.is_empty() {
                return Err(Error::Config(format!("static store address in --{flag} cannot be empty")));
            }
            if strict && mode == Mode::Each && is_dynamic(&address) {
                let why =
                    "is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode";
                return Err(Error::Config(format!("{address} {why}")));
            }
            // Groups are DNS names by nature.
            let address = match mode {
                Mode::Group if !is_dynamic(&address) => format!("dns+{address}"),
                _ => address,
            };
            match specs.iter().find(|s| s.address == address && s.strict == strict) {
                Some(_) if matches!(flag, "endpoint" | "endpoint-strict") => {
                    return Err(Error::Config(format!("address {address} is duplicated for --{flag} flag")));
                }
                Some(_) => {}
                None => specs.push(Spec { address, strict, mode, ..base.clone() }),
            }
        }
    }
    Ok(specs)
}

#[cfg(test)]
mod tests {
    use telemetry::Metrics;

    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        let deps = Deps::isolated(Metrics::new());
        assembly::configured::<crate::Querier>(args.iter().copied(), &deps).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        assert_eq!((c.engine.lookback_ms, c.engine.timeout_ms, c.engine.max_concurrent), (300_000, 120_000, 20));
        assert_eq!(c.api.partial_response, PartialResponse::Warn);
        assert!(c.endpoints.is_empty() && c.replica_labels.is_empty() && c.http.prefixes.is_root());
    }

    #[test]
    fn flags_become_settings() {
        let c = config(&[
            "--endpoint=a:1",
            "--endpoint-strict=b:2",
            "--endpoint-group=c:3",
            "--query.replica-label=replica,prometheus_replica",
            "--query.replica-label=rule_replica",
            "--selector-label=site=\"eu\"",
            "--web.route-prefix=/aion/",
            "--no-query.partial-response",
            "--query.disable-pass=share-selectors",
            "--query.disable-pass=fold-constants",
        ])
        .unwrap();
        let off = |name: &&str| !c.engine.passes.has(name);
        assert_eq!(Passes::names().filter(off).collect::<Vec<_>>(), ["fold-constants", "share-selectors"]);
        let shown: Vec<_> = c.endpoints.iter().map(|s| (s.address.as_str(), s.strict, s.mode)).collect();
        assert_eq!(shown, [("a:1", false, Mode::Each), ("dns+c:3", false, Mode::Group), ("b:2", true, Mode::Each)]);
        assert_eq!(*c.replica_labels, ["replica", "prometheus_replica", "rule_replica"]);
        assert_eq!((c.selector_labels.get("site"), c.http.prefixes.is_root()), (Some("eu"), false));
        assert_eq!(c.api.partial_response, PartialResponse::Abort);
    }

    #[test]
    fn contradictions_are_refused() {
        for (args, text) in [
            (&["--endpoint=a:1", "--endpoint=a:1"][..], "duplicated"),
            (&["--endpoint-strict=dns+a:1"], "not permitted under strict mode"),
            (&["--selector-label=x"], "name=\"value\""),
            (&["--selector-label=x=y"], "--selector-label: \"x=y\" has no value in Go's quotes"),
            (&["--endpoint.sd-config={endpoints: [{}]}"], "without address"),
            (&["--selector.relabel-config=- {action: nonsense}"], "--selector.relabel-config"),
            (&["--grpc-server-tls-cert=/none"], "--grpc-server-tls-key"),
            (&["--query.disable-pass=fold"], "--query.disable-pass: no pass of the planner is called \"fold\""),
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
