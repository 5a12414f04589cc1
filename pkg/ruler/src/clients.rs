//! Queriers and Alertmanagers, as flags and YAML name them.

use std::time::Duration;

use serde::Deserialize;
use transport::http::ClientConfig;
use url::Url;
use yaml::{DurationMs, Node, Secret};

/// Servers that are found and spoken to in one way.
#[derive(Debug, Clone)]
pub struct Servers {
    pub client: ClientConfig,
    pub scheme: String,
    /// Path before the API's own.
    pub path_prefix: String,
    /// `host:port`, or one of the DNS forms.
    pub addresses: Vec<String>,
    /// Patterns of files with more of them.
    pub files: Vec<String>,
    /// Time for a request.
    pub timeout: Duration,
}

/// All queriers.
#[derive(Debug, Clone, Default)]
pub struct QuerierSets {
    pub http: Vec<Servers>,
    /// Addresses that serve the Query service.
    pub grpc: Vec<String>,
}

/// How long a querier may take for an answer.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
const ALERTMANAGER_PORT: &str = "9093";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileSd {
    /// Paths of files with lists of addresses, in the format of Prometheus' file discovery; patterns are taken. Required.
    files: Vec<String>,
    /// Without effect: the files are read as often as `--query.sd-interval` says. Default: `0s`.
    #[allow(dead_code, reason = "files are read as often as names are looked up")]
    refresh_interval: DurationMs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrpcYaml {
    /// `host:port` of queriers that serve Thanos' Query service. Default: none.
    endpoint_addresses: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuerierYaml {
    /// How requests are made: [HTTP client](http-client.md). Default: plain requests.
    http_config: ClientConfig,
    /// `host:port`, or a name with `dns+`, `dnssrv+` or `dnssrvnoa+` before it. Default: none.
    static_configs: Vec<String>,
    /// Files with more addresses. Default: none.
    file_sd_configs: Vec<FileSd>,
    /// `http` or `https`. Default: `http`.
    scheme: String,
    /// Path before that of the API. Default: none.
    path_prefix: String,
    /// Queriers that are asked by gRPC instead. Default: none.
    grpc_config: GrpcYaml,
}

impl Default for QuerierYaml {
    fn default() -> Self {
        Self {
            http_config: ClientConfig::default(),
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            grpc_config: GrpcYaml::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AlertmanagerYaml {
    /// How requests are made: [HTTP client](http-client.md). Default: plain requests.
    http_config: ClientConfig,
    /// `host:port`, or a name with `dns+`, `dnssrv+` or `dnssrvnoa+` before it. The port is 9093 where there is none.
    /// Default: none.
    static_configs: Vec<String>,
    /// Files with more addresses. Default: none.
    file_sd_configs: Vec<FileSd>,
    /// `http` or `https`. Default: `http`.
    scheme: String,
    /// Path before that of the API. Default: none.
    path_prefix: String,
    /// Time for a request. Default: `10s`.
    timeout: DurationMs,
    /// `v2`; Alertmanagers have no other API any more. Default: `v2`.
    api_version: String,
}

impl Default for AlertmanagerYaml {
    fn default() -> Self {
        Self {
            http_config: ClientConfig::default(),
            static_configs: Vec::new(),
            file_sd_configs: Vec::new(),
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            timeout: DurationMs(10_000),
            api_version: "v2".to_owned(),
        }
    }
}

fn files(sd: Vec<FileSd>) -> Vec<String> {
    sd.into_iter().flat_map(|sd| sd.files).collect()
}

fn known_scheme(node: &Node, scheme: &str) -> Result<(), String> {
    match scheme {
        "http" | "https" => Ok(()),
        other => {
            Err(node.error_at("scheme", format!("unsupported scheme {other:?}: http and https are known")).to_string())
        }
    }
}

/// The list of `--query.config`.
///
/// # Errors
/// What is wrong, with its line.
pub fn queriers_of_yaml(text: &str) -> Result<QuerierSets, String> {
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    let mut sets = QuerierSets::default();
    for node in tree.list().map_err(|e| e.to_string())? {
        let entry: QuerierYaml = node.decode().map_err(|e| e.to_string())?;
        known_scheme(node, &entry.scheme)?;
        sets.grpc.extend(entry.grpc_config.endpoint_addresses);
        let files = files(entry.file_sd_configs);
        if entry.static_configs.is_empty() && files.is_empty() {
            continue;
        }
        sets.http.push(Servers {
            client: entry.http_config,
            scheme: entry.scheme,
            path_prefix: entry.path_prefix,
            addresses: entry.static_configs,
            files,
            timeout: QUERY_TIMEOUT,
        });
    }
    Ok(sets)
}

/// Those of `--query`, `--query.sd-files` and `--grpc-query-endpoint`.
///
/// # Errors
/// An address that is none, or comes twice.
pub fn queriers_of_flags(addresses: &[String], files: &[String], grpc: &[String]) -> Result<QuerierSets, String> {
    let mut sets = QuerierSets { grpc: grpc.to_vec(), ..QuerierSets::default() };
    for (n, address) in addresses.iter().enumerate() {
        if addresses[..n].contains(address) {
            return Err(format!("--query: address {address} is given twice"));
        }
        sets.http.push(querier(address).map_err(|why| format!("--query: {why}"))?);
    }
    if !files.is_empty() {
        sets.http.push(Servers {
            client: ClientConfig::default(),
            scheme: "http".to_owned(),
            path_prefix: String::new(),
            addresses: Vec::new(),
            files: files.to_vec(),
            timeout: QUERY_TIMEOUT,
        });
    }
    Ok(sets)
}

/// `host:port`, `dns+host:port`, or a URL whose host may have one of the DNS forms.
fn querier(address: &str) -> Result<Servers, String> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    if !matches!(scheme, "http" | "https") {
        return Err(format!("{scheme:?} is not supported scheme for address {address:?}"));
    }
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if host.is_empty() {
        return Err(format!("{address:?} has no host"));
    }
    Ok(Servers {
        client: ClientConfig::default(),
        scheme: scheme.to_owned(),
        path_prefix: path.trim_end_matches('/').to_owned(),
        addresses: vec![host.to_owned()],
        files: Vec::new(),
        timeout: QUERY_TIMEOUT,
    })
}

/// The list of `--alertmanagers.config`.
///
/// # Errors
/// What is wrong, with its line.
pub fn alertmanagers_of_yaml(text: &str) -> Result<Vec<Servers>, String> {
    let tree = yaml::parse(text).map_err(|e| e.to_string())?;
    if let Some((key, _)) = tree.entries().iter().find(|(key, _)| key.text != "alertmanagers") {
        return Err(tree
            .error_at(&key.text, format!("unknown key {:?}, expected alertmanagers", key.text))
            .to_string());
    }
    let Some(list) = tree.get("alertmanagers") else { return Ok(Vec::new()) };
    let mut sets = Vec::new();
    for node in list.list().map_err(|e| e.to_string())? {
        let entry: AlertmanagerYaml = node.decode().map_err(|e| e.to_string())?;
        known_scheme(node, &entry.scheme)?;
        if entry.api_version != "v2" {
            let why = format!("API version {:?} is not spoken, Alertmanagers of today have v2", entry.api_version);
            return Err(node.error_at("api_version", why).to_string());
        }
        sets.push(Servers {
            client: entry.http_config,
            scheme: entry.scheme,
            path_prefix: entry.path_prefix,
            addresses: entry.static_configs,
            files: files(entry.file_sd_configs),
            timeout: Duration::from_millis(u64::try_from(entry.timeout.0).unwrap_or(0)),
        });
    }
    Ok(sets)
}

/// One of `--alertmanagers.url`: its scheme may begin with a DNS form, as in `dnssrv+http://name`.
///
/// # Errors
/// A URL without scheme or host.
pub fn alertmanager_of_url(text: &str, timeout: Duration) -> Result<Servers, String> {
    let (form, rest) = ["dns+", "dnssrv+", "dnssrvnoa+"]
        .iter()
        .find_map(|form| Some((*form, text.strip_prefix(form)?)))
        .unwrap_or(("", text));
    let url = Url::parse(rest).map_err(|e| format!("{:?}: {e}", model::redact_urls(text)))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the URL has no host")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("unsupported scheme {:?}: http and https are known", url.scheme()));
    }
    let address = match (url.port(), form) {
        (Some(port), _) => format!("{form}{host}:{port}"),
        (None, "dns+") => format!("{form}{host}:{ALERTMANAGER_PORT}"),
        (None, _) => format!("{form}{host}"),
    };
    let mut client = ClientConfig::default();
    if !url.username().is_empty() {
        client.set_basic_auth(url.username().to_owned(), url.password().map(|password| Secret(password.to_owned())));
    }
    Ok(Servers {
        client,
        scheme: url.scheme().to_owned(),
        path_prefix: url.path().trim_end_matches('/').to_owned(),
        addresses: vec![address],
        files: Vec::new(),
        timeout,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queriers() {
        let sets = queriers_of_flags(
            &["a:1".to_owned(), "https://dns+b:2/prefix/".to_owned()],
            &["f*.yml".to_owned()],
            &["dnssrv+_grpc._tcp.q".to_owned()],
        )
        .unwrap();
        let shown: Vec<_> = sets
            .http
            .iter()
            .map(|s| format!("{} {:?} {} {:?}", s.scheme, s.addresses, s.path_prefix, s.files))
            .collect();
        assert_eq!(shown, [r#"http ["a:1"]  []"#, r#"https ["dns+b:2"] /prefix []"#, r#"http []  ["f*.yml"]"#]);
        assert_eq!(sets.grpc, ["dnssrv+_grpc._tcp.q"]);
        for (addresses, wanted) in
            [(vec!["a", "a"], "given twice"), (vec!["ftp://a"], "not supported scheme"), (vec!["http://"], "no host")]
        {
            let addresses: Vec<String> = addresses.into_iter().map(str::to_owned).collect();
            let error = queriers_of_flags(&addresses, &[], &[]).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
        let yaml = "- static_configs: [a:1]\n  scheme: https\n  path_prefix: /p\n  http_config: {basic_auth: {username: u}}\n\
                    - grpc_config: {endpoint_addresses: [g:1]}\n- file_sd_configs: [{files: [x.json]}]\n";
        let sets = queriers_of_yaml(yaml).unwrap();
        assert_eq!((sets.http.len(), sets.grpc.len(), sets.http[0].scheme.as_str()), (2, 1, "https"));
        for (yaml, wanted) in [("- {scheme: ftp}", "unsupported scheme"), ("- {x: 1}", "x"), ("a: 1", "list")] {
            let error = queriers_of_yaml(yaml).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn alertmanagers() {
        let second = Duration::from_secs(1);
        for (url, wanted) in [
            ("http://am:9093/x/", "http am:9093 /x"),
            ("dns+http://am", "http dns+am:9093 "),
            ("dnssrv+https://_am._tcp.local", "https dnssrv+_am._tcp.local "),
            ("http://u:p@am:1", "http am:1 "),
        ] {
            let set = alertmanager_of_url(url, second).unwrap();
            assert_eq!(format!("{} {} {}", set.scheme, set.addresses[0], set.path_prefix), wanted);
        }
        assert!(alertmanager_of_url("am:9093", second).is_err());
        let yaml = "alertmanagers:\n- static_configs: [a:9093, dns+b:9093]\n  timeout: 3s\n  api_version: v2\n";
        let sets = alertmanagers_of_yaml(yaml).unwrap();
        assert_eq!((sets.len(), sets[0].addresses.len(), sets[0].timeout.as_secs()), (1, 2, 3));
        let old = alertmanagers_of_yaml("alertmanagers: [{api_version: v1}]").unwrap_err();
        assert!(old.contains("v1") && old.contains("line 1"), "{old}");
    }
}
