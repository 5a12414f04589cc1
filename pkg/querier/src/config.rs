//! What the flags mean, checked once.

use std::sync::Arc;
use std::time::Duration;

use dedup::Method;
use flags::Parsed;
use labels::Labels;
use promql::EngineOptions;
use relabel::Rule;
use storage::PartialResponse;
use storeapi::StoreLimits;
use transport::grpc::Compression;
use transport::http::{Prefixes, WebConfig};
use transport::{ConfigError, RequestLog, ServeOptions};

use crate::endpoints::{Mode, Spec, load_sd, parse_sd};
use crate::resolve::is_dynamic;

/// Prometheus' names of what can be enabled.
const FEATURES: [&str; 5] = [
    "promql-experimental-functions",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
];

/// Settings of a querier.
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
    /// Endpoints from flags.
    pub endpoints: Vec<Spec>,
    /// What entries of files start from: the client flags.
    pub endpoint_base: Spec,
    /// `--endpoint.sd-config-file`, read again and again.
    pub sd_file: Option<String>,
    /// How often.
    pub sd_interval: Duration,
    /// `--store.sd-files`.
    pub sd_targets: Vec<String>,
    /// How often.
    pub sd_targets_interval: Duration,
    /// `--store.sd-dns-interval`.
    pub dns_interval: Duration,
    /// `--store.unhealthy-timeout`.
    pub unhealthy_timeout: Duration,
    /// `--endpoint.info-timeout`.
    pub info_timeout: Duration,
    /// `--store.response-timeout`.
    pub response_timeout: Duration,
    /// `--query.replica-label`.
    pub replica_labels: Arc<[String]>,
    /// `--deduplication.func`.
    pub method: Method,
    /// `--selector-label`.
    pub selector_labels: Labels,
    /// `--selector.relabel-config`.
    pub relabel: Arc<[Rule]>,
    /// `--store.limits.…`.
    pub limits: StoreLimits,
    /// The engine's settings.
    pub engine: EngineOptions,
    /// Bytes of all queries together; 0 = no limit.
    pub bytes_total_max: u64,
    /// The API's settings.
    pub api: api::ApiOptions,
    /// `--query.conn-metric.label`.
    pub metric_labels: Vec<String>,
    /// `--web.route-prefix` and the other prefixes.
    pub prefixes: Prefixes,
    /// All flags with their values, for the API.
    pub shown_flags: Vec<(String, String)>,
}

impl Config {
    /// From a command line; `now_ms` is the start time.
    ///
    /// # Errors
    /// The first flag or file that cannot be used.
    pub fn new(parsed: &Parsed, now_ms: i64) -> Result<Self, ConfigError> {
        let (http, web) = transport::flags::http_server(parsed)?;
        let compression = match parsed.text("grpc-compression") {
            "snappy" => Compression::Snappy,
            _ => Compression::None,
        };
        let tls = transport::flags::grpc_client_tls(parsed);
        let base = Spec { address: String::new(), strict: false, mode: Mode::Each, tls, compression };
        let mut endpoints = endpoints(parsed, &base)?;
        if let (Some(_), Some(_)) = (parsed.text_opt("endpoint.sd-config"), parsed.text_opt("endpoint.sd-config-file"))
        {
            return Err(ConfigError(
                "both --endpoint.sd-config and --endpoint.sd-config-file are given, use one".into(),
            ));
        }
        if let Some(yaml) = parsed.text_opt("endpoint.sd-config") {
            let specs = parse_sd(yaml, &base).map_err(|e| ConfigError(format!("--endpoint.sd-config: {e}")))?;
            endpoints.extend(specs);
        }
        if let Some(path) = parsed.text_opt("endpoint.sd-config-file") {
            load_sd(path, &base).map_err(|e| ConfigError(format!("--endpoint.sd-config-file: {e}")))?;
        }
        let relabel = match parsed.content("selector.relabel-config")? {
            Some(yaml) => relabel::parse_rules(&yaml)
                .map_err(|e| ConfigError(format!("{}: {e}", parsed.origin("selector.relabel-config"))))?,
            None => Vec::new(),
        };
        let partial = |flag: &str| match parsed.switch(flag) {
            true => PartialResponse::Warn,
            false => PartialResponse::Abort,
        };
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
        let engine = EngineOptions {
            lookback_ms,
            max_samples: parsed.count("query.max-samples") as usize,
            timeout_ms: parsed.duration_ms("query.timeout").max(0) as u64,
            max_concurrent: parsed.count("query.max-concurrent") as usize,
            max_query_bytes: parsed.size_bytes("query.max-bytes"),
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
            ..EngineOptions::default()
        };
        let api = api::ApiOptions {
            engine: engine.clone(),
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
            start_time_ms: now_ms,
            ..api::ApiOptions::default()
        };
        let prefix = parsed.text_opt("web.route-prefix").unwrap_or(parsed.text("web.external-prefix"));
        let replica_labels: Vec<String> =
            parsed.list("query.replica-label").iter().flat_map(|l| l.split(',')).map(|l| l.trim().to_owned()).collect();
        let millis = |flag: &str| Duration::from_millis(parsed.duration_ms(flag).max(0) as u64);
        Ok(Self {
            http,
            web,
            grpc: transport::flags::grpc_server(parsed)?,
            request_log: transport::flags::request_log(parsed)?,
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
                .map_err(ConfigError)?,
            relabel: relabel.into(),
            limits: StoreLimits {
                series: parsed.count("store.limits.request-series"),
                samples: parsed.count("store.limits.request-samples"),
            },
            engine,
            bytes_total_max: parsed.size_bytes("query.max-bytes-total"),
            api,
            metric_labels: parsed.list("query.conn-metric.label"),
            prefixes: Prefixes::new(prefix, parsed.text("web.external-prefix"), parsed.text("web.prefix-header")),
            shown_flags: parsed.all().into_iter().map(|(n, v)| (n.to_owned(), v)).collect(),
        })
    }
}

fn endpoints(parsed: &Parsed, base: &Spec) -> Result<Vec<Spec>, ConfigError> {
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
                return Err(ConfigError(format!("static store address in --{flag} cannot be empty")));
            }
            if strict && mode == Mode::Each && is_dynamic(&address) {
                let why =
                    "is a dynamically specified endpoint i.e. it uses SD and that is not permitted under strict mode";
                return Err(ConfigError(format!("{address} {why}")));
            }
            // Groups are DNS names by nature.
            let address = match mode {
                Mode::Group if !is_dynamic(&address) => format!("dns+{address}"),
                _ => address,
            };
            match specs.iter().find(|s| s.address == address && s.strict == strict) {
                Some(_) if matches!(flag, "endpoint" | "endpoint-strict") => {
                    return Err(ConfigError(format!("address {address} is duplicated for --{flag} flag")));
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
    use super::*;

    fn config(args: &[&str]) -> Result<Config, String> {
        match flags::parse(&crate::command(), args.iter().map(|a| (*a).to_owned()), "v") {
            Ok(flags::Outcome::Run(parsed)) => Config::new(&parsed, 0).map_err(|e| e.to_string()),
            Ok(flags::Outcome::Print(text)) => Err(text),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn defaults_are_thanos() {
        let c = config(&[]).unwrap();
        assert_eq!((c.engine.lookback_ms, c.engine.timeout_ms, c.engine.max_concurrent), (300_000, 120_000, 20));
        assert_eq!(c.api.partial_response, PartialResponse::Warn);
        assert!(c.endpoints.is_empty() && c.replica_labels.is_empty() && c.prefixes.is_root());
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
        ])
        .unwrap();
        let shown: Vec<_> = c.endpoints.iter().map(|s| (s.address.as_str(), s.strict, s.mode)).collect();
        assert_eq!(shown, [("a:1", false, Mode::Each), ("dns+c:3", false, Mode::Group), ("b:2", true, Mode::Each)]);
        assert_eq!(*c.replica_labels, ["replica", "prometheus_replica", "rule_replica"]);
        assert_eq!((c.selector_labels.get("site"), c.prefixes.is_root()), (Some("eu"), false));
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
        ] {
            let error = config(args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
