//! Metrics of OpenTelemetry into `aion server`, and out of it by PromQL.

use anyhow::ensure;
use tests::aion::binary;
use tests::client::http;
use tests::peer::{Prometheus, PrometheusOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_by_otlp_is_queried() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-otlp-").tempdir()?;
    let config = "otlp: {promote_resource_attributes: [deployment.environment]}\n".to_owned();
    let flags = vec!["--web.enable-otlp-receiver".to_owned(), "--enable-feature=otlp-deltatocumulative".to_owned()];
    let options = PrometheusOptions { subcommand: Some("server"), config: Some(config), flags, ..Default::default() };
    let server = Prometheus::start(binary(), dir.path(), &options).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let point = |ago_s: u128, value: u32| {
        let time = now.as_nanos() - ago_s * 1_000_000_000;
        format!(
            r#"{{"timeUnixNano":"{time}","asInt":"{value}","attributes":[{{"key":"http.route","value":{{"stringValue":"/"}}}}]}}"#
        )
    };
    let body = format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[
            {{"key":"service.name","value":{{"stringValue":"shop"}}}},
            {{"key":"deployment.environment","value":{{"stringValue":"test"}}}}]}},
          "scopeMetrics":[{{"metrics":[{{"name":"http.requests","unit":"{{request}}","description":"Requests.","sum":
            {{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{},{}]}}}}]}}]}}]}}"#,
        point(2, 3),
        point(1, 4)
    );
    let url = format!("{}/api/v1/otlp/v1/metrics", server.base);
    let answer = http()?.post(url).header("content-type", "application/json").body(body).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == 200 && text == "{}", "{status} {text}");
    let now_s = now.as_secs_f64();
    let query = "http_requests_total{job=\"shop\", http_route=\"/\", deployment_environment=\"test\"} \
                 and on (job) target_info{deployment_environment=\"test\"}";
    let found = server.api.query(query, now_s).await?;
    ensure!(found["data"]["result"][0]["value"][1] == "7", "{found}");
    server.stop().await
}
