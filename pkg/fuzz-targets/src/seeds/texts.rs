//! What people and targets write.

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn promql() -> Vec<Vec<u8>> {
    texts(&[
        r#"sum by (job, "äö") (rate({"http.requests", code=~"5..|404", env!~"dev"}[5m] offset -1h)) / on (job) group_left (team) up @ end() > bool 0.5e-3"#,
        r"histogram_quantile(0.9, sum without (le) (increase(x_bucket[1h30m:30s]))) or -vector(1) ^ 2 % 0x1F and unless_y",
        r#"label_replace(topk(3, a{b="c\n\u00e4\x41"}), 'x', `$1`, "y", "(.*)") # comment"#,
        r#"count_values("v", min_over_time(a[5m:]) @ 1700000000.5) == NaN + Inf - 1_000"#,
        "quantile_over_time(scalar(foo), bar[10m]) atan2 (absent(baz{}) * ignoring () foo)",
        "predict_linear(a[step()+5m], 3600) offset (1h * 2) + limitk(3, b) fill (0) c smoothed",
    ])
}

pub(crate) fn promql_selectors() -> Vec<Vec<u8>> {
    texts(&[
        r#"up{job="a", instance=~"x.*"}"#,
        r#"{"metric.name", a!="b", c!~"d"}"#,
        r#"metric{a="b"} 1 2 _ stale 3x5 1+2x3 NaN -Inf 5-1.5x_2"#,
        r#"h{} {{schema:1 sum:5 count:4 buckets:[1 2 1] offset:-1 z_bucket:2 z_bucket_w:0.1 n_buckets:[1] counter_reset_hint:gauge}}x3"#,
        r#""a \"quoted\" \u00e4 text""#,
    ])
}

pub(crate) fn re2_pattern() -> Vec<Vec<u8>> {
    texts(&[
        "node-exporter-(1|2|3)[0-9]+:9100",
        r"^(?i:a|b|cd)*?\d{2,3}[^\w\s]+\pL\x{1F600}$",
        r"(?P<name>[[:alpha:]]+)|(?:x{0,5}y?)+|\Q.*\E",
        "foo.*|.*bar|.*baz.*|qux",
        r"[a-z&&\-\]]{3}\b\B\z",
    ])
}

pub(crate) fn test_script() -> Vec<Vec<u8>> {
    texts(&[
        "clear\nload 5m\n  metric{a=\"b\"} 0+10x5 _ 3\n  h {{schema:0 sum:1 count:1 buckets:[1]}}x2\n\neval instant at 50m sum(metric)\n  expect no_info\n  {} 50\n",
        "load_with_nhcb 1m\n  b_bucket{le=\"1\"} 0 1 2\n  b_bucket{le=\"+Inf\"} 0 2 4\n\neval range from 0 to 5m step 1m rate(b[2m])\n  expect warn msg: something\n  expect ordered\n  {} _ 1 2 3\n\neval_fail instant at 1m ceil(\n",
        "eval instant at 0 x\n  expect fail regex: .*\n\neval instant at 1s vector(1)\n  expect string \"a\"\n  1\n",
    ])
}

pub(crate) fn durations() -> Vec<Vec<u8>> {
    texts(&[
        "5m\n1h30m\n1y2w3d4h5m6s7ms\n0\n1.5h\n-5m\n300ms\n2us\n10GiB\n1.5MB\n512\n2026-01-02T03:04:05Z\n1700000000.123\n",
    ])
}

pub(crate) fn exposition_text() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a Some text\\n.\n# TYPE a counter\na_total{b=\"c\",d=\"e\\\"\\n\"} 1.5 1700000000000\n{\"u.v\",\"w.x\"=\"y\"} NaN\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4e-3\nh_count 3\n# a comment\n\n\ts { q = \"1\" , } +Inf\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 2\ns_count 3\n# TYPE \"q.u\" untyped\n",
    ])
}

pub(crate) fn exposition_openmetrics() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a_seconds Text.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"c\"} 1 1700000000.5 # {id=\"x\"} 0.5 1.25\na_seconds_created{b=\"c\"} 1.5\n# EOF\n",
        "# TYPE h histogram\nh_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 3 # {} 2\nh_sum 4\nh_count 3\nh_created 7\n# TYPE i info\ni_info{\"a.b\"=\"c\"} 1\n# EOF",
    ])
}

pub(crate) fn exposition_protobuf() -> Vec<Vec<u8>> {
    vec![
        // A counter with help, label, exemplar and created timestamp.
        b"\x2d\x0a\x01a\x12\x01h\x18\x00\x22\x23\x0a\x06\x0a\x01b\x12\x01c\x1a\x19\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x12\x08\x0a\x06\x0a\x01i\x12\x01d\x1a\x04\x08\x05\x10\x01"
            .to_vec(),
        // A histogram with classic and native buckets.
        b"\x3e\x0a\x01h\x18\x04\x22\x37\x3a\x35\x08\x03\x11\x00\x00\x00\x00\x00\x00\x10\x40\x1a\x0b\x08\x03\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x28\x06\x31\x00\x00\x00\x00\x00\x00\xe0\x3f\x38\x00\x62\x04\x08\x02\x10\x02\x6a\x02\x02\x02\x7a\x04\x08\x05\x10\x01"
            .to_vec(),
        // A summary with a quantile, and a gauge with a timestamp.
        b"\x26\x0a\x01s\x18\x02\x22\x1f\x22\x1d\x08\x02\x11\x00\x00\x00\x00\x00\x00\x10\x40\x1a\x12\x09\x00\x00\x00\x00\x00\x00\xe0\x3f\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\x15\x0a\x01g\x18\x01\x22\x0e\x12\x09\x09\x00\x00\x00\x00\x00\x00\xf8\x7f\x30\xe8\x07"
            .to_vec(),
    ]
}

pub(crate) fn content_type() -> Vec<Vec<u8>> {
    texts(&[
        "text/plain; version=0.0.4; charset=\"utf-8\"",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ])
}

pub(crate) fn metrics_page() -> Vec<Vec<u8>> {
    texts(&[
        "# HELP a text\n# TYPE a gauge\nprometheus_tsdb_lowest_timestamp_seconds 1.7e9\nprometheus_tsdb_lowest_timestamp 9.223372036854776e+15\n",
    ])
}

pub(crate) fn objstore_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "type: S3\nconfig:\n  bucket: metrics\n  endpoint: s3.example.com:9000\n  region: eu-1\n  access_key: a\n  secret_key: $(HOME)\n  insecure: true\n  signature_version2: false\n  put_user_metadata: {a: b}\n  http_config:\n    idle_conn_timeout: 90s\n    tls_config: {insecure_skip_verify: true}\n  sse_config: {type: SSE-S3}\nprefix: x/y\n",
        "type: GCS\nconfig:\n  bucket: b\n  service_account: |-\n    {\"type\": \"service_account\"}\n",
        "type: AZURE\nconfig: {storage_account: a, storage_account_key: Zm9v, container: c, max_retries: 3}\n",
        "type: FILESYSTEM\nconfig: &a\n  directory: ./dir\n",
    ])
}

pub(crate) fn relabel_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "- action: replace\n  source_labels: [job, instance]\n  separator: ';'\n  regex: '(.+);(.+):\\d+'\n  target_label: out_$1\n  replacement: '${1}-$2'\n- action: hashmod\n  source_labels: [instance]\n  modulus: 8\n  target_label: shard\n- action: keep\n  source_labels: [__name__]\n  regex: up|down\n",
        "- {action: labelmap, regex: '(.+)a(.+)', replacement: '$2$1'}\n- {action: labeldrop, regex: rep.*}\n- {action: uppercase, source_labels: [job], target_label: job}\n- {action: dropequal, source_labels: [job], target_label: replica}\n",
    ])
}

pub(crate) fn alert_template() -> Vec<Vec<u8>> {
    texts(&[
        "{{ $labels.instance }} of {{ .Labels.job | toUpper }} is at {{ $value | humanize }} ({{ printf \"%.2f%%\" .Value }})",
        "{{ range $i, $x := query \"up\" }}{{ if eq $i 0 }}{{ else }}, {{ end }}{{ $x | label \"job\" }}={{ $x | value }}{{ end }}",
        "{{ define \"t\" }}{{ with . }}{{ . }}{{ end }}{{ end }}{{ template \"t\" $externalURL }}{{ reReplaceAll \"(.*):.*\" \"$1\" $labels.instance }}",
        "{{ humanizeDuration 1e6 }}{{ humanizeTimestamp 1.5e9 }}{{ args 1 \"a\" | len }}{{ first (query \"a\") | strvalue }}{{- /* c */ -}}",
    ])
}

pub(crate) fn api_histogram() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"count":"12","sum":"3.5","buckets":[[1,"-4","-2","1"],[3,"-0.001","0.001","2"],[0,"0.5","1","3"],[0,"4","8","2"]]}"#,
        r#"{"count":"6","sum":"9","buckets":[[3,"-Inf","0.1","1"],[0,"0.25","0.7","2"],[0,"0.7","+Inf","3"]]}"#,
    ])
}

pub(crate) fn http_answer() -> Vec<Vec<u8>> {
    texts(&[
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\na 1\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n1;x=y\r\n\n\r\n0\r\nx: y\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\nup to the end",
    ])
}

pub(crate) fn http_client_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "basic_auth: {username: a, password: b}\ntls_config: {ca_file: /ca, insecure_skip_verify: true, server_name: x}\nproxy_url: http://proxy:3128\nfollow_redirects: false\nheaders: {x-a: {values: [b]}}\n",
        "authorization: {type: Bearer, credentials_file: /token}\ntransport_config: {max_idle_conns: 10, idle_conn_timeout: 90}\n",
    ])
}

pub(crate) fn web_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  min_version: TLS12\n  client_auth_type: RequireAndVerifyClientCert\nhttp_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze\n",
        "rate_limit: {interval: 1s, burst: 5}\nhttp_server_config: {http2: false}\n",
    ])
}

pub(crate) fn tracing_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "type: OTLP\nconfig:\n  client_type: grpc\n  service_name: aion\n  endpoint: localhost:4317\n  insecure: true\n  headers: {a: b}\n  sampler_type: traceidratio\n  sampler_param: '0.5'\n",
        "type: JAEGER\nconfig: {service_name: a, agent_host: localhost, agent_port: 6831, sampler_type: ratelimiting, sampler_param: 2}\n",
    ])
}

pub(crate) fn request_log_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "options:\n  level: INFO\n  decision: {log_start: true, log_end: true}\nhttp:\n  config:\n  - path: /api/v1/query\n    port: 10902\ngrpc:\n  options: {level: DEBUG, decision: {log_end: true}}\n  config:\n  - service: thanos.Store\n    method: Series\n",
    ])
}

pub(crate) fn prometheus_yaml() -> Vec<Vec<u8>> {
    texts(&[
        "global:\n  scrape_interval: 15s\n  external_labels:\n    cluster: eu-1\n    replica: 'a'\n  # a comment\nscrape_configs:\n- job_name: node\n  static_configs: [{targets: [a, b]}]\n",
        "scrape_configs: []\nglobal: {external_labels: {a: \"b\\n\", c: 1}}\n",
    ])
}
