//! A real exporter, where there is one.

use std::process::{Command, Stdio};

use storage::{MetadataQuery, MetadataSource, TargetHealth};

use crate::harness::Harness;

#[tokio::test]
async fn node_exporter() {
    let name = "prometheus-node-exporter";
    if Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        testkit::skip_without(name, "node_exporter");
        return;
    }
    let address = format!("127.0.0.1:{}", testkit::free_port().unwrap());
    let mut command = Command::new(name);
    command.arg(format!("--web.listen-address={address}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _exporter = testkit::Process::start(&mut command).unwrap();
    let harness = Harness::new(&["job_name: node, scrape_timeout: 5s, scrape_interval: 5s"]);
    harness.discover(&[(
        "node",
        &[&[("__address__", &address), ("__scrape_interval__", "1s"), ("__scrape_timeout__", "1s")]],
    )]);
    harness.wait_for_health(TargetHealth::Up).await;
    harness.wait_for_samples("node_cpu_seconds_total", 2).await;
    let query = MetadataQuery { metric: "node_load1".to_owned(), ..MetadataQuery::default() };
    let metadata = harness.manager.metadata(&storage::Ctx::background(), query).await.unwrap().value;
    assert_eq!(metadata["node_load1"][0].metric_type, "gauge");
    for metric in ["duplicate_timestamp", "out_of_order", "out_of_bounds"] {
        assert_eq!(harness.counted(&format!("prometheus_target_scrapes_sample_{metric}_total")), 0, "{metric}");
    }
}
