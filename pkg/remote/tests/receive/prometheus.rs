//! A real Prometheus writes to the receiver: what it has arrives.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use model::SystemClock;
use remote::receive::{Receiver, ReceiverOptions};
use storage::Budget;
use telemetry::Metrics;
use testkit::{Process, free_port, wait_for};

use crate::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_writes() {
    if !testkit::prometheus::have_prometheus("a_prometheus_writes") {
        return;
    }
    let store = memory_store::MemoryStore::default();
    let metrics = Metrics::new();
    let receiver = Receiver::new(
        Arc::new(store.clone()),
        ReceiverOptions::default(),
        Arc::new(SystemClock),
        Budget::unlimited(),
        &metrics,
    );
    let rig = Rig { store, metrics, router: receiver.router() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = rig.router.clone();
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });

    let dir = tempfile::tempdir().unwrap();
    let port = free_port().unwrap();
    let config = dir.path().join("prometheus.yml");
    let mut file = std::fs::File::create(&config).unwrap();
    write!(
        file,
        "global: {{scrape_interval: 1s, external_labels: {{replica: r1}}}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n\
         remote_write: [{{url: 'http://{address}/api/v1/write', queue_config: {{batch_send_deadline: 100ms}}}}]\n"
    )
    .unwrap();
    let prometheus = Process::start(
        std::process::Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(std::process::Stdio::null()),
    )
    .unwrap();
    let up = r#"{__name__="up", instance=""#;
    let arrived = async || rig.floats().await.iter().filter(|(l, ..)| l.starts_with(up)).count() >= 3;
    wait_for("three scrapes to arrive", Duration::from_secs(60), arrived).await;

    let all = rig.floats().await;
    let names: BTreeSet<_> = all.iter().map(|(labels, ..)| labels.as_str()).collect();
    assert!(names.len() > 300, "{} series", names.len());
    assert!(names.iter().all(|labels| labels.contains(r#"replica="r1""#)));
    let times: Vec<_> = all.iter().filter(|(l, ..)| l.starts_with(up)).map(|(_, t, _)| *t).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    // Of each scrape but the last, which may still be on its way, all samples are here.
    for time in &times[..times.len() - 1] {
        let at_that_time: Vec<_> = all.iter().filter(|(_, t, _)| t == time).collect();
        let scraped =
            at_that_time.iter().find(|(l, ..)| l.contains("\"scrape_samples_post_metric_relabeling\"")).unwrap();
        assert_eq!(at_that_time.len(), scraped.2 as usize + 5, "the samples and the five of the scrape itself");
    }
    assert!(rig.metric("aion_remote_write_refused_total 0"), "{}", rig.metrics.encode());
    drop(prometheus);
    serving.abort();
}
