//! Targets: from discovered labels to what is scraped. Source: Prometheus' `scrape.PopulateLabels` and `Target.URL`.

use std::path::PathBuf;

use labels::{Builder, Labels};
use model::{ADDRESS_LABEL, TargetGroup};

use crate::config::ScrapeConfig;

const META_PREFIX: &str = "__meta_";
const RESERVED_PREFIX: &str = "__";
const PARAM_PREFIX: &str = "__param_";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const NATIVE: &str = "__scrape_native_histograms__";
const CLASSIC: &str = "__always_scrape_classic_histograms__";
const SOCKET: &str = "__unix_socket__";
const CONVERT: &str = "__convert_classic_histograms_to_nhcb__";

/// What is scraped, and how often.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// All labels after relabelling, those that begin with `__` too: they say which target it is.
    pub(crate) labels: Labels,
    /// Those that its series get.
    pub(crate) public: Labels,
    /// Before relabelling.
    pub(crate) discovered: Labels,
    pub(crate) url: String,
    /// The socket that it is asked by, in place of the URL's host.
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) interval_ms: i64,
    pub(crate) timeout_ms: i64,
    pub(crate) native_histograms: bool,
    pub(crate) classic_histograms: bool,
    pub(crate) converts_classic: bool,
}

impl Target {
    /// The labels that say which target it is, however it is scraped.
    pub(crate) fn identity(&self) -> Labels {
        self.labels.without(&[INTERVAL, TIMEOUT, NATIVE, CLASSIC, CONVERT])
    }
}

/// What became of the labels of a discovered target.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "most are targets")]
pub(crate) enum Relabelled {
    Target(Target),
    Dropped,
    /// Why it cannot be scraped.
    Invalid(String),
}

/// The labels of a discovered target before relabelling.
pub(crate) fn discovered_labels(config: &ScrapeConfig, target: &Labels, group: &TargetGroup) -> Builder {
    let mut labels = Builder::from_labels(&target.clone());
    let defaults = [
        ("job", config.job_name.as_str()),
        (INTERVAL, &config.scrape_interval.to_string()),
        (TIMEOUT, &config.scrape_timeout.to_string()),
        (PATH, config.metrics_path.as_str()),
        (SCHEME, config.scheme.as_str()),
        (NATIVE, &config.scrape_native_histograms.to_string()),
        (CLASSIC, &config.always_scrape_classic_histograms.to_string()),
        (CONVERT, &config.convert_classic_histograms_to_nhcb.to_string()),
    ];
    for (name, value) in group.labels.iter().chain(defaults) {
        if labels.value(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (name, values) in &config.params {
        let name = format!("{PARAM_PREFIX}{name}");
        if let Some(value) = values.first().filter(|_| labels.value(&name).is_empty()) {
            labels.set(&name, value);
        }
    }
    labels
}

/// The target of discovered labels.
pub(crate) fn relabel(config: &ScrapeConfig, target: &Labels, group: &TargetGroup) -> Relabelled {
    let mut labels = discovered_labels(config, target, group);
    let discovered = labels.build();
    if !relabel::apply_to(&config.relabel_configs, &mut labels) {
        return Relabelled::Dropped;
    }
    match make(config, labels, discovered) {
        Ok(target) => Relabelled::Target(target),
        Err(why) => Relabelled::Invalid(why),
    }
}

fn make(config: &ScrapeConfig, mut labels: Builder, discovered: Labels) -> Result<Target, String> {
    let address = labels.value(ADDRESS_LABEL).to_owned();
    if address.is_empty() {
        return Err("no address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let duration = |name: &str, what: &str| match model::parse_duration(labels.value(name)) {
        Ok(0) => Err(format!("scrape {what} cannot be 0")),
        Ok(ms) => Ok(ms),
        Err(e) => Err(format!("error parsing scrape {what}: {e}")),
    };
    let (interval_ms, timeout_ms) = (duration(INTERVAL, "interval")?, duration(TIMEOUT, "timeout")?);
    if timeout_ms > interval_ms {
        let (timeout, interval) = (labels.value(TIMEOUT), labels.value(INTERVAL));
        return Err(format!("scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"));
    }
    let flag = |name: &str, inherited: bool| match labels.value(name) {
        "" => Ok(inherited),
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(format!("label {name}: {other:?} is neither true nor false")),
    };
    let native_histograms = flag(NATIVE, config.scrape_native_histograms)?;
    let classic_histograms = flag(CLASSIC, config.always_scrape_classic_histograms)?;
    let converts_classic = flag(CONVERT, config.convert_classic_histograms_to_nhcb)?;
    let meta: Vec<String> =
        labels.iter().filter(|(name, _)| name.starts_with(META_PREFIX)).map(|(name, _)| name.to_owned()).collect();
    for name in meta {
        labels.remove(&name);
    }
    if labels.value("instance").is_empty() {
        labels.set("instance", &address);
    }
    let url = url(config, &labels);
    let unix_socket = Some(labels.value(SOCKET)).filter(|path| !path.is_empty()).map(PathBuf::from);
    let labels = labels.build();
    Ok(Target {
        public: Labels::from_pairs(labels.iter().filter(|(name, _)| !name.starts_with(RESERVED_PREFIX))),
        labels,
        discovered,
        url,
        unix_socket,
        interval_ms,
        timeout_ms,
        native_histograms,
        classic_histograms,
        converts_classic,
    })
}

/// Parameters of labels win over those of the configuration. A scheme or an address that nothing can be asked by makes each
/// scrape fail, so that the target shows.
fn url(config: &ScrapeConfig, labels: &Builder) -> String {
    let mut params = config.params.clone();
    for (name, value) in labels.iter() {
        let Some(name) = name.strip_prefix(PARAM_PREFIX) else { continue };
        let values = params.entry(name.to_owned()).or_default();
        match values.first_mut() {
            Some(first) => value.clone_into(first),
            None => values.push(value.to_owned()),
        }
    }
    let mut url = url::Url::parse("http://host").expect("a host and nothing else is a URL");
    url.set_path(labels.value(PATH));
    if !params.is_empty() {
        let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        url.query_pairs_mut().extend_pairs(pairs);
    }
    let scheme = labels.value(SCHEME);
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}:") };
    // The address stays as it is written, with a port that goes without saying too.
    let address = escape_host(labels.value(ADDRESS_LABEL));
    let query = url.query().filter(|query| !query.is_empty()).map(|query| format!("?{query}")).unwrap_or_default();
    format!("{scheme}//{address}{}{query}", url.path())
}

/// What is in no host is escaped, so that the address is read as nothing else of a URL.
fn escape_host(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            _ if b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The URL as others can reach it: this machine's own name for itself becomes the host of `external_url`. On `own_port` the
/// target is the server, which is reached as the whole of that says.
pub(crate) fn global_url(url: &str, external_url: &str, own_port: Option<u16>) -> String {
    let (Ok(mut parsed), Ok(external)) = (url::Url::parse(url), url::Url::parse(external_url)) else {
        return url.to_owned();
    };
    if !matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
        return url.to_owned();
    }
    let is_own = own_port.is_some() && parsed.port_or_known_default() == own_port;
    let changed = parsed.set_host(external.host_str()).is_ok()
        && (!is_own || parsed.set_scheme(external.scheme()).is_ok() && parsed.set_port(external.port()).is_ok());
    if changed { parsed.into() } else { url.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GlobalConfig;

    fn config(text: &str) -> ScrapeConfig {
        ScrapeConfig::from_node(&yaml::parse(text).unwrap(), &GlobalConfig::default()).unwrap()
    }

    fn outcome(job: &str, target: &[(&str, &str)], group: &[(&str, &str)]) -> String {
        let group = TargetGroup { labels: Labels::from_pairs(group.iter().copied()), ..TargetGroup::default() };
        match relabel(&config(job), &Labels::from_pairs(target.iter().copied()), &group) {
            Relabelled::Target(t) => format!("{} {} {}/{}", t.url, t.public, t.interval_ms, t.timeout_ms),
            Relabelled::Dropped => "dropped".to_owned(),
            Relabelled::Invalid(why) => why,
        }
    }

    const ADDRESS: (&str, &str) = ("__address__", "a:80");

    #[test]
    fn targets() {
        let plain = "http://a:80/metrics {instance=\"a:80\", job=\"j\"} 60000/10000";
        for (job, target, group, want) in [
            ("job_name: j", &[ADDRESS][..], &[][..], plain.to_owned()),
            ("job_name: j", &[ADDRESS, ("x", "1")], &[("x", "2"), ("y", "3"), ("job", "k")], {
                "http://a:80/metrics {instance=\"a:80\", job=\"k\", x=\"1\", y=\"3\"} 60000/10000".to_owned()
            }),
            ("job_name: j", &[("x", "1")], &[], "no address".to_owned()),
            ("job_name: j", &[("__address__", "http://a/b")], &[], "\"http://a/b\" is not a valid hostname".to_owned()),
            (
                "{job_name: j, scheme: https, metrics_path: /m, params: {b: [x, y], a: [\"1 2\"]}}",
                &[("__address__", "a:81"), ("__param_b", "z"), ("__param_c", "w"), ("instance", "i")],
                &[],
                "https://a:81/m?a=1+2&b=z&b=y&c=w {instance=\"i\", job=\"j\"} 60000/10000".to_owned(),
            ),
            (
                "job_name: j",
                &[ADDRESS, (INTERVAL, "5s"), (TIMEOUT, "3s"), ("__meta_x", "y"), ("__other", "z")],
                &[],
                "http://a:80/metrics {instance=\"a:80\", job=\"j\"} 5000/3000".to_owned(),
            ),
            (
                "job_name: j",
                &[ADDRESS, (INTERVAL, "5s")],
                &[],
                "scrape timeout cannot be greater than scrape interval (\"10s\" > \"5s\")".to_owned(),
            ),
            ("job_name: j", &[ADDRESS, (INTERVAL, "0s")], &[], "scrape interval cannot be 0".to_owned()),
            // What cannot be asked is a target that is down.
            (
                "job_name: j",
                &[ADDRESS, (SCHEME, "ftp")],
                &[],
                "ftp://a:80/metrics {instance=\"a:80\", job=\"j\"} 60000/10000".to_owned(),
            ),
            (
                "{job_name: j, params: {x: ['1']}, relabel_configs: [{target_label: __scheme__, replacement: ''}]}",
                &[("__address__", "a b@c?d:99999")],
                &[],
                "//a%20b%40c%3Fd:99999/metrics?x=1 {instance=\"a b@c?d:99999\", job=\"j\"} 60000/10000".to_owned(),
            ),
            (
                "job_name: j",
                &[ADDRESS, (NATIVE, "yes")],
                &[],
                format!("label {NATIVE}: \"yes\" is neither true nor false"),
            ),
            (
                "{job_name: j, relabel_configs: [{action: drop, source_labels: [x], regex: '1'}]}",
                &[ADDRESS, ("x", "1")],
                &[],
                "dropped".to_owned(),
            ),
            (
                "{job_name: j, relabel_configs: [{source_labels: [__meta_p], target_label: __address__}]}",
                &[ADDRESS, ("__meta_p", "[::1]:9")],
                &[],
                "http://[::1]:9/metrics {instance=\"[::1]:9\", job=\"j\"} 60000/10000".to_owned(),
            ),
        ] {
            assert_eq!(outcome(job, target, group), want, "{job} {target:?}");
        }
        assert!(outcome("job_name: j", &[ADDRESS, (INTERVAL, "x")], &[]).starts_with("error parsing scrape interval"));
    }

    #[test]
    fn overrides() {
        let group = TargetGroup::default();
        let target = Labels::from_pairs([ADDRESS, (NATIVE, "true"), (CLASSIC, "F"), (CONVERT, "1")]);
        let Relabelled::Target(t) = relabel(&config("job_name: j"), &target, &group) else { panic!("a target") };
        assert_eq!((t.native_histograms, t.classic_histograms, t.converts_classic), (true, false, true));
    }

    #[test]
    fn urls_for_others() {
        for (url, want) in [
            ("http://localhost:9090/metrics?a=b", "https://example.org/metrics?a=b"),
            ("http://127.0.0.1/metrics", "http://example.org/metrics"),
            ("http://[::1]:1/", "http://example.org:1/"),
            ("http://a:9090/", "http://a:9090/"),
            ("http://127.0.0.1:abc/metrics", "http://127.0.0.1:abc/metrics"),
        ] {
            assert_eq!(global_url(url, "https://example.org/prometheus", Some(9090)), want);
            assert_eq!(global_url(url, "", None), url);
        }
    }
}
