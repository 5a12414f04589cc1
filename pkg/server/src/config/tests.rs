//! Flags become settings, and contradictions are refused.

use telemetry::Metrics;

use config::DiscoveryLimits;
use discovery::consul::ConsulLimits;
use remote::receive::MessageType;

use super::data::RETENTION_DEFAULT;
use super::*;

fn config(args: &[&str]) -> Result<Config, String> {
    let deps = Deps::isolated(Metrics::new());
    assembly::configured::<crate::Server>(args.iter().copied(), &deps).map_err(|e| e.to_string())
}

#[test]
fn defaults_are_prometheus() {
    let c = config(&[]).unwrap();
    assert_eq!(c.http.addresses, ["0.0.0.0:9090"]);
    assert_eq!((c.config_file.to_str(), c.tsdb.path.to_str()), (Some("prometheus.yml"), Some("data/")));
    assert_eq!((c.tsdb.retention, c.tsdb.wal_sync_interval), (RETENTION_DEFAULT, Duration::from_secs(1)));
    assert_eq!((c.engine.lookback_ms, c.engine.timeout_ms, c.engine.max_concurrent), (300_000, 120_000, 20));
    assert_eq!(c.receiver.messages, MessageType::ALL);
    assert!(c.grpc.is_none() && !c.admin && !c.receiver.enabled && c.http.lifecycle == Some(false));
    assert!(c.limits.memory_bytes > 0 && c.limits.query_bytes_total < c.limits.memory_bytes);
}

#[test]
fn limits_of_discovery() {
    let ScrapeConfig { discovery, kubernetes, .. } = config(&[]).unwrap().scrape;
    let (plain, consul) = (DiscoveryLimits::default(), ConsulLimits::default());
    assert_eq!(discovery.body_bytes_max, plain.body_bytes_max);
    assert_eq!((discovery.consul.watches_max, discovery.consul.polls_max), (consul.watches_max, consul.polls_max));
    assert_eq!(kubernetes, discovery_kubernetes::Limits::default());
    let c = config(&[
        "--limits.discovery-body-bytes=1MiB",
        "--limits.consul-watches=7",
        "--limits.kubernetes-objects=9",
        "--limits.kubernetes-object-bytes=1KiB",
        "--discovery.kubernetes-watch-duration=5m",
        "--scrape.keep-one-twin",
    ])
    .unwrap()
    .scrape;
    assert_eq!((c.discovery.body_bytes_max, c.discovery.consul.watches_max), (1 << 20, 7));
    assert_eq!((c.kubernetes.objects_max, c.kubernetes.event_bytes_max), (9, 1 << 10));
    assert_eq!((c.kubernetes.watch_duration, c.keep_one_twin), (Duration::from_secs(300), true));
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
fn an_external_url_may_be_a_path() {
    for (url, prefix) in
        [("/aion/", "/aion"), ("/", ""), ("http://example.org/aion", "/aion"), ("http://example.org", "")]
    {
        let c = config(&[&format!("--web.external-url={url}"), "--web.listen-address=127.0.0.1:1"]).unwrap();
        assert_eq!((c.http.prefixes.is_root(), c.rules.path_prefix.as_str()), (prefix.is_empty(), prefix), "{url}");
        assert!(c.rules.external_url.starts_with("http://") && c.rules.external_url.ends_with(prefix), "{url}");
    }
}

#[test]
fn features_are_told() {
    let shown = crate::capabilities::shown(&config(&[]).unwrap(), false);
    let is_on = |category: &str, name: &str| shown[category][name];
    assert!(is_on("promql_functions", "rate") && !is_on("promql_functions", "sort_by_label"));
    assert!(is_on("promql_operators", "atan2") && is_on("templating_functions", "humanize"));
    assert!(is_on("prometheus", "server_mode") && !is_on("api", "lifecycle") && !is_on("api", "remote_write_receiver"));
    let args = ["--enable-feature=promql-experimental-functions", "--web.enable-lifecycle"];
    let shown = crate::capabilities::shown(&config(&args).unwrap(), false);
    assert!(
        shown["promql_functions"]["sort_by_label"] && shown["promql_operators"]["limitk"] && shown["api"]["lifecycle"]
    );
}

#[test]
fn one_message_of_remote_write_may_be_taken_alone() {
    let c = config(&["--web.remote-write-receiver.accepted-protobuf-messages=prometheus.WriteRequest"]).unwrap();
    assert_eq!(c.receiver.messages, [MessageType::V1]);
}

#[test]
fn contradictions_are_refused() {
    for (args, text) in [
        (
            &["--agent", "--storage.tsdb.path=x", "--query.timeout=1m"][..],
            "can not be used in agent mode: --storage.tsdb.path, --query.timeout",
        ),
        (&["--storage.agent.path=x"], "can only be used in agent mode: --storage.agent.path"),
        (&["--web.external-url=ftp://x"], "no http or https URL"),
        (&["--web.external-url=x"], "--web.external-url: relative URL without a base"),
        (&["--web.cors.origin=("], "--web.cors.origin: "),
        (&["--limits.memory=120%"], "--limits.memory: \"120%\" is no percentage"),
        (&["--storage.tsdb.wal-segment-size=1MiB"], "from 10MiB to 256MiB"),
        (
            &["--web.remote-write-receiver.accepted-protobuf-messages=x"],
            "is none of io.prometheus.write.v2.Request, prometheus.WriteRequest",
        ),
        (&["--shipper.meta-file-name=a/b"], "is no file name"),
        (&["--limits.consul-polls=0"], "--limits.consul-polls: must be greater than 0"),
        (&["--discovery.kubernetes-request-timeout=0s"], "must be longer than 0"),
        (&["--web.read-timeout=0s"], "--web.read-timeout: must be longer than 0"),
    ] {
        let error = config(args).unwrap_err();
        assert!(error.contains(text), "{args:?}: {error}");
    }
}
