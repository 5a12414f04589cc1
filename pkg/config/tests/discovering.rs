//! From the text of a configuration to the targets that are found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Discoverers, DiscoveryLimits};
use discovery::{Manager, ManagerOptions};
use discovery_kubernetes::{Limits, SERVICE_ACCOUNT, Surroundings};
use model::SystemClock;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

fn discoverers(metrics: &Metrics) -> Discoverers {
    let surroundings = Surroundings {
        env: Arc::new(|_| None),
        random: Arc::new(|| 4),
        service_account: SERVICE_ACCOUNT.into(),
        limits: Limits::default(),
    };
    Discoverers::new(metrics, DiscoveryLimits::default(), surroundings)
}

#[tokio::test]
async fn jobs_find_their_targets() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.yml");
    std::fs::write(&file, "- {targets: [file:1], labels: {a: b}}").unwrap();
    let text = format!(
        "scrape_configs:\n\
         - job_name: fixed\n  static_configs: [{{targets: [a:1]}}, {{targets: [b:1], labels: {{x: y}}}}]\n\
         - job_name: files\n  file_sd_configs: [{{files: ['{}']}}]\n\
         - {{job_name: nothing}}\n\
         - job_name: outside\n  kubernetes_sd_configs: [{{role: pod}}]\n\
         - job_name: bad\n  static_configs: [{{targets: [c:1]}}]\n  consul_sd_configs: [{{server: 'x:1', tls_config: {{ca_file: /nowhere}}}}]\n",
        file.display()
    );
    let config = Config::parse(&text, &|_| None).unwrap();
    let metrics = Metrics::new();
    let discoverers = discoverers(&metrics);
    let options = ManagerOptions {
        name: "scrape",
        interval: Duration::from_secs(5),
        clock: Arc::new(SystemClock),
        build: Box::new(move |set, config| discoverers.build(set, config)),
    };
    let (manager, handle, mut snapshots) = Manager::new(options, &metrics);
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(manager.run(shutdown.clone()));
    let sets: BTreeMap<_, _> =
        config.scrape_configs.iter().map(|job| (job.scrape.job_name.clone(), job.discovery.providers())).collect();
    let failures = handle.apply(sets).await;
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures[0].starts_with("bad: ") && failures[0].contains("/nowhere"), "{failures:?}");
    assert!(failures[1].starts_with("outside: "), "{failures:?}");
    let count = |snapshot: &discovery::Snapshot, set: &str| {
        snapshot[set].groups.iter().map(|group| group.targets.len()).sum::<usize>()
    };
    let found = snapshots.wait_for(|s| ["fixed", "files", "bad"].iter().map(|set| count(s, set)).sum::<usize>() == 4);
    let found = tokio::time::timeout(Duration::from_secs(60), found).await.unwrap().unwrap().clone();
    assert_eq!([count(&found, "fixed"), count(&found, "nothing"), count(&found, "outside")], [2, 0, 0]);
    shutdown.cancel();
    task.await.unwrap();
}

/// As templates leave them behind.
#[test]
fn sections_may_be_empty_but_not_null() {
    let jobs = |discovery: &str| {
        let text = format!("otlp: {{translation_strategy: ''}}\nscrape_configs: [{{job_name: a, {discovery}}}]");
        Config::parse(&text, &|_| None).map(|config| config.scrape_configs.len())
    };
    for discovery in ["static_configs: [{}]", "consul_sd_configs: [{}]", "consul_sd_configs: [{server: a, scheme: ''}]"]
    {
        assert_eq!(jobs(discovery).unwrap(), 1, "{discovery}");
    }
    for discovery in ["static_configs: [null]", "consul_sd_configs: [null]"] {
        assert!(jobs(discovery).unwrap_err().to_string().contains("empty or null section"), "{discovery}");
    }
}
