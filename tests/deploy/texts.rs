//! The command lines in `deploy/`, as the container engine, Kubernetes or systemd makes them.

use serde_json::Value;

use crate::documents::of_readme;
use crate::manifests::sets;
use crate::{deploy, list_at, text_at, yaml};

/// A command line, without the program.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands.
    pub origin: String,
    pub args: Vec<String>,
}

/// All that start a component of ours.
pub fn lines() -> Vec<Line> {
    let mut lines = of_manifests();
    lines.extend(of_compose());
    lines.extend(of_units());
    lines.extend(of_readme().into_iter().filter(|line| line.args[0] != "tools"));
    lines.extend(SWAPS.map(|(origin, args)| Line { origin: origin.to_owned(), args: words(args) }));
    lines
}

fn of_manifests() -> Vec<Line> {
    let mut lines = Vec::new();
    for (set, manifests) in sets() {
        for manifest in &manifests {
            for container in list_at(manifest, "/spec/template/spec/containers") {
                if text_at(container, "/image").starts_with("aion") {
                    let args = list_at(container, "/args").iter().filter_map(Value::as_str);
                    let args = args.map(|a| a.replace("$(POD_NAME)", "pod-0")).collect();
                    lines.push(Line { origin: format!("{set}: {}", text_at(manifest, "/metadata/name")), args });
                }
            }
        }
    }
    lines
}

fn of_compose() -> Vec<Line> {
    let compose = yaml(&deploy().join("compose/compose.yml")).remove(0);
    let services = compose["services"].as_object().unwrap().clone();
    let ours = services.into_iter().filter(|(_, s)| text_at(s, "/image") == "aion");
    ours.map(|(name, service)| Line {
        origin: format!("compose: {name}"),
        args: list_at(&service, "/command").iter().filter_map(|a| a.as_str().map(str::to_owned)).collect(),
    })
    .collect()
}

/// The units, with what the files for `/etc/default` add.
fn of_units() -> Vec<Line> {
    let dir = deploy().join("systemd");
    let units = std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    units
        .filter_map(|file| Some(file.strip_suffix(".service")?.to_owned()))
        .map(|unit| {
            let text = std::fs::read_to_string(dir.join(format!("{unit}.service"))).unwrap();
            let given = std::fs::read_to_string(dir.join("default").join(&unit)).unwrap();
            let start = text.lines().find_map(|l| l.strip_prefix("ExecStart=/usr/bin/aion ")).expect("ExecStart");
            let given = given.lines().find_map(|l| l.strip_prefix("ARGS=\"")?.strip_suffix('"')).expect("ARGS");
            let line = start.replace("$ARGS", &given.replace("\\\"", "\""));
            let line = line.replace("${STATE_DIRECTORY}", "/state").replace("${CREDENTIALS_DIRECTORY}", "/credentials");
            Line { origin: format!("systemd: {unit}"), args: words(&line) }
        })
        .collect()
}

/// The words of a line; white space between single quotes is part of a word.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (i, part) in line.split('\'').enumerate() {
        let mut pieces = if i % 2 == 0 { part.split_whitespace().collect() } else { vec![part] };
        if i % 2 == 0 && part.starts_with(char::is_whitespace) {
            words.push(String::new());
        }
        if !pieces.is_empty() {
            words.last_mut().unwrap().push_str(pieces.remove(0));
        }
        words.extend(pieces.into_iter().map(str::to_owned));
        if i % 2 == 0 && part.ends_with(char::is_whitespace) && !part.trim().is_empty() {
            words.push(String::new());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

/// What the tools of `deploy/swap` start our image with, after their sources: prometheus-operator 0.86, kube-thanos' examples,
/// bitnami's chart.
const SWAPS: [(&str, &str); 10] = [
    (
        "prometheus-operator: Prometheus",
        "--config.file=/etc/prometheus/config_out/prometheus.env.yaml --web.enable-lifecycle --web.route-prefix=/ \
         --storage.tsdb.retention.time=24h --storage.tsdb.path=/prometheus --web.config.file=/etc/web-config.yaml \
         --storage.tsdb.delay-compact-file.path=/prometheus/thanos.shipper.json --storage.tsdb.wal-compression \
         --web.listen-address=0.0.0.0:9090",
    ),
    (
        "prometheus-operator: sidecar",
        "sidecar --prometheus.url=http://localhost:9090/ --grpc-address=:10901 --http-address=:10902 \
         '--prometheus.http-client={tls_config: {insecure_skip_verify: true}}' --objstore.config=$(OBJSTORE_CONFIG) \
         --tsdb.path=/prometheus --shipper.meta-file-name=thanos.shipper.json --shipper.ignore-unequal-block-size \
         --log.level=info --log.format=logfmt --prometheus.ready_timeout=10m --min-time=-2d",
    ),
    (
        "prometheus-operator: ThanosRuler",
        "rule --data-dir=/thanos/data --eval-interval=15s --tsdb.retention=24h '--label=thanos_ruler_replica=\"pod-0\"' \
         --alert.label-drop=thanos_ruler_replica --rule-file=/etc/thanos/rules/*/*.yaml --rule-concurrent-evaluation=2 \
         --http-address=:10902 --grpc-address=:10901 --query=dnssrv+_http._tcp.query --web.route-prefix=/ \
         --alertmanagers.url=http://alertmanager-operated:9093 --objstore.config=$(OBJSTORE_CONFIG)",
    ),
    (
        "kube-thanos: store",
        "store --log.level=info --log.format=logfmt --data-dir=/var/thanos/store --grpc-address=0.0.0.0:10901 \
         --http-address=0.0.0.0:10902 --objstore.config=$(OBJSTORE_CONFIG) --ignore-deletion-marks-delay=24h \
         '--index-cache.config={type: IN-MEMORY, config: {max_size: 256MB}}'",
    ),
    (
        "kube-thanos: compact",
        "compact --wait --log.level=info --log.format=logfmt --objstore.config=$(OBJSTORE_CONFIG) \
         --data-dir=/var/thanos/compact --debug.accept-malformed-index --retention.resolution-raw=0d \
         --retention.resolution-5m=0d --retention.resolution-1h=0d --delete-delay=48h --compact.concurrency=1 \
         --downsample.concurrency=1 --downsampling.disable --deduplication.replica-label=prometheus_replica \
         --http-address=0.0.0.0:10902",
    ),
    (
        "kube-thanos: query",
        "query --grpc-address=0.0.0.0:10901 --http-address=0.0.0.0:9090 --log.level=info --log.format=logfmt \
         --query.replica-label=prometheus_replica --query.replica-label=rule_replica \
         --endpoint=dnssrv+_grpc._tcp.thanos-store.thanos --query.timeout=5m --query.lookback-delta=15m \
         --query.auto-downsampling --web.external-prefix= --web.prefix-header=",
    ),
    (
        "kube-thanos: rule",
        "rule --log.level=info --grpc-address=0.0.0.0:10901 --http-address=0.0.0.0:10902 \
         --objstore.config=$(OBJSTORE_CONFIG) --data-dir=/var/thanos/rule '--label=rule_replica=\"pod-0\"' \
         --alert.label-drop=rule_replica --tsdb.retention=48h --tsdb.block-duration=2h --query=dnssrv+_http._tcp.query \
         --alertmanagers.url=http://alertmanager:9093 --rule-file=/etc/thanos/rules/test",
    ),
    (
        "bitnami: query",
        "query --log.level=info --log.format=logfmt --grpc-address=0.0.0.0:10901 --http-address=0.0.0.0:10902 \
         --query.replica-label=replica --endpoint=dnssrv+_grpc._tcp.storegateway --alert.query-url=http://query:9090",
    ),
    (
        "bitnami: storegateway",
        "store --log.level=info --log.format=logfmt --grpc-address=0.0.0.0:10901 --http-address=0.0.0.0:10902 \
         --data-dir=/data --objstore.config-file=/conf/objstore.yml",
    ),
    (
        "bitnami: compactor",
        "compact --log.level=info --log.format=logfmt --http-address=0.0.0.0:10902 --data-dir=/data \
         --retention.resolution-raw=30d --retention.resolution-5m=30d --retention.resolution-1h=10y \
         --consistency-delay=30m --objstore.config-file=/conf/objstore.yml --wait",
    ),
];

#[test]
fn words_keep_what_is_quoted() {
    assert_eq!(words("a  '--b={c: d}' e"), ["a", "--b={c: d}", "e"]);
    assert_eq!(words("'a b'"), ["a b"]);
    assert_eq!(words("a --b='c d' e"), ["a", "--b=c d", "e"]);
}
