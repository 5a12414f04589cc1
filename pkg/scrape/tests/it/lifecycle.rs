//! Targets and configurations that come, change and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::header;
use axum::routing::get;
use labels::{Labels, MatchType, Matcher};
use model::is_stale;
use scrape::Options;
use storage::{Ctx, ScrapeView, TargetHealth, TargetMetadataQuery, TargetState, TargetsQuery, TargetsSource};

use crate::harness::{Harness, SOON, configs, serve};

const BODY: &str = "# HELP a Help.\n# TYPE a gauge\na 1\nb{x=\"y\"} 2\n";

/// A server whose requests are counted.
async fn counted() -> (String, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let answer = move || {
        count.fetch_add(1, Ordering::SeqCst);
        async { ([(header::CONTENT_TYPE, "text/plain")], BODY) }
    };
    (serve(Router::new().route("/metrics", get(answer))).await.to_string(), requests)
}

#[tokio::test]
async fn a_target_that_is_gone_gets_markers_unless_the_server_stops() {
    let (address, _) = counted().await;
    let harness = Harness::new(&["job_name: j"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness.wait_for_samples("a", 2).await;
    harness.discover(&[]);
    testkit::wait_for("the target to go", SOON, async || harness.targets().await.is_empty()).await;
    harness.wait_for_marker("a").await;
    harness.wait_for_marker("up").await;

    let harness = Harness::new(&["job_name: j"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness.wait_for_samples("a", 2).await;
    harness.discover(&[]);
    testkit::wait_for("the target to go", SOON, async || harness.targets().await.is_empty()).await;
    let samples = harness.samples("a").await;
    let metrics = harness.metrics.clone();
    harness.stop().await;
    assert!(samples.values().flatten().all(|(_, v)| !is_stale(*v)));
    assert!(metrics.encode().contains("aion_scrape_cache_entries 0.0"), "caches are freed with their targets");
}

#[tokio::test]
async fn reload() {
    let (address, _) = counted().await;
    let harness = Harness::new(&["job_name: j", "job_name: k"]);
    let target: &[&[(&str, &str)]] = &[&[("__address__", &address)]];
    harness.discover(&[("j", target), ("k", target)]);
    harness.wait_for_samples("a", 2).await;
    assert_eq!(harness.manager.pools(), ["j", "k"]);
    // A job that changes keeps what its targets know; one that is gone ends.
    let changed = "job_name: j, metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: b}]";
    assert!(harness.metrics.encode().contains("scrape_job=\"k\""));
    harness.manager.apply(configs(&[changed])).unwrap();
    assert_eq!(harness.manager.pools(), ["j"]);
    assert!(!harness.metrics.encode().contains("scrape_job=\"k\""), "nothing is told of a job that is gone");
    harness.wait_for_marker("b").await;
    assert_ne!(harness.targets().await[0].health, TargetHealth::Unknown, "the status is kept");
    assert!(harness.manager.pool_config("j").unwrap().contains("metric_relabel_configs"));
    assert!(harness.manager.pool_config("k").is_none());
    // What cannot be taken over changes nothing.
    let broken = "job_name: j, tls_config: {ca_file: /nonexistent/ca}";
    let error = harness.manager.apply(configs(&[broken, "job_name: new"])).unwrap_err();
    assert!(error.to_string().contains("scrape job \"j\""), "{error}");
    assert_eq!(harness.manager.pools(), ["j"]);
}

/// Certificates may come later than the job that needs them, and other jobs do not wait.
#[tokio::test]
async fn a_job_without_its_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("ca.pem");
    let (address, _) = counted().await;
    let job = format!("job_name: j, tls_config: {{ca_file: '{}'}}", missing.display());
    let harness = Harness::new(&[&job]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    let target = harness.wait_for_health(TargetHealth::Down).await;
    assert!(target.last_error.contains("ca.pem: No such file"), "{}", target.last_error);
    let elsewhere = format!("job_name: j, tls_config: {{ca_file: '{}.too'}}", missing.display());
    harness.manager.apply(configs(&[&elsewhere, "job_name: k"])).unwrap();
    assert_eq!(harness.manager.pools(), ["j", "k"]);
    harness.manager.apply(configs(&["job_name: j"])).unwrap();
    harness.wait_for_health(TargetHealth::Up).await;
}

#[tokio::test]
async fn too_many_targets() {
    let (address, requests) = counted().await;
    let harness = Harness::new(&["job_name: j, target_limit: 1"]);
    let one: &[(&str, &str)] = &[("__address__", &address)];
    let two: &[(&str, &str)] = &[("__address__", &address), ("x", "y")];
    harness.discover(&[("j", &[one, two])]);
    let target = harness.wait_for_health(TargetHealth::Down).await;
    assert_eq!(target.last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    harness.discover(&[("j", &[one])]);
    harness.wait_for_health(TargetHealth::Up).await;
    assert_eq!(harness.counted("prometheus_target_scrape_pool_exceeded_target_limit_total"), 1);
}

/// Two targets with the same labels are told; if it is wanted, one of them alone is scraped.
#[tokio::test]
async fn twins() {
    for keep_one_twin in [false, true] {
        let ((first, of_first), (second, of_second)) = (counted().await, counted().await);
        let harness = Harness::with(Options { keep_one_twin, ..Options::default() }, &["job_name: j", "job_name: k"]);
        let one: &[(&str, &str)] = &[("__address__", &first), ("instance", "i")];
        let two: &[(&str, &str)] = &[("__address__", &second), ("instance", "i"), ("job", "j")];
        harness.discover(&[("j", &[one]), ("k", &[two])]);
        let asked =
            async || of_first.load(Ordering::SeqCst) >= 3 && (keep_one_twin || of_second.load(Ordering::SeqCst) >= 3);
        testkit::wait_for("scrapes", SOON, asked).await;
        let targets = harness.targets().await;
        assert!(targets.iter().all(|target| target.last_error.contains("has the same labels")), "{targets:?}");
        assert!(targets[0].last_error.contains(&second) && targets[1].last_error.contains(&first), "{targets:?}");
        assert!(harness.metrics.encode().contains("aion_scrape_twin_targets 1.0"));
        if !keep_one_twin {
            continue;
        }
        assert_eq!(of_second.load(Ordering::SeqCst), 0);
        assert_eq!((targets[0].health, targets[1].health), (TargetHealth::Up, TargetHealth::Unknown));
        // The other one takes over, and the series go on.
        harness.discover(&[("k", &[two])]);
        testkit::wait_for("scrapes of the other", SOON, async || of_second.load(Ordering::SeqCst) >= 5).await;
        assert_eq!(harness.targets().await[0].last_error, "");
        let samples = harness.samples("a").await;
        assert!(samples.values().flatten().all(|(_, v)| !is_stale(*v)), "{samples:?}");
    }
}

/// Bodies that take long to read are read where they hold nobody up.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn large_bodies() {
    let mut body = String::new();
    for n in 0..20_000 {
        body.push_str(&format!("large{{number=\"{n}\"}} {n}\n"));
    }
    let answer = move || async move { ([(header::CONTENT_TYPE, "text/plain")], body) };
    let address = serve(Router::new().route("/metrics", get(answer))).await.to_string();
    let harness = Harness::new(&["job_name: j, scrape_interval: 5s, scrape_timeout: 5s"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness.wait_for_health(TargetHealth::Up).await;
    assert_eq!(harness.wait_for_samples("large", 1).await.len(), 20_000);
}

#[tokio::test]
async fn views() {
    let (address, _) = counted().await;
    let rules =
        "relabel_configs: [{action: drop, source_labels: [x], regex: y}, {source_labels: [z], target_label: w}]";
    let harness = Harness::new(&[&format!("job_name: j, {rules}, keep_dropped_targets: 1"), "job_name: empty"]);
    let dropped: &[(&str, &str)] = &[("__address__", "a:1"), ("x", "y")];
    let other: &[(&str, &str)] = &[("__address__", "b:1"), ("x", "y")];
    harness.discover(&[("j", &[&[("__address__", &address), ("z", "1")], dropped, other])]);
    harness.wait_for_samples("a", 1).await;
    let want = TargetsQuery { state: TargetState::Dropped, ..TargetsQuery::default() };
    let targets = harness.manager.targets(&Ctx::background(), want).await.unwrap().value;
    assert_eq!((targets.active.len(), targets.dropped.len()), (0, 1));
    assert_eq!(targets.dropped[0].value("__scrape_interval__"), "100ms");
    let counts = harness.manager.dropped_counts();
    assert_eq!((counts["j"], counts["empty"]), (2, 0));
    let active = &harness.targets().await[0];
    assert_eq!(active.labels.value("w"), "1");
    assert_eq!(active.discovered_labels.value("__metrics_path__"), "/metrics");
    let steps = harness.manager.relabel_steps("j", &Labels::from_pairs([("z", "2")])).unwrap();
    assert_eq!(steps.len(), 2);
    assert_eq!((steps[0].rule.action.as_str(), steps[0].rule.regex.as_str()), ("drop", "y"));
    assert_eq!(steps[1].rule.source_labels, ["z"]);
    assert_eq!(steps[1].output, Labels::from_pairs([("w", "2"), ("z", "2")]));
    let steps = harness.manager.relabel_steps("j", &Labels::from_pairs([("x", "y")])).unwrap();
    assert!(steps.iter().all(|step| !step.keep && step.output.is_empty()));
    assert!(harness.manager.relabel_steps("none", &Labels::empty()).is_none());
    let want = TargetMetadataQuery {
        matchers: vec![Matcher::new(MatchType::Equal, "job", "j").unwrap()],
        ..TargetMetadataQuery::default()
    };
    let metadata = harness.manager.target_metadata(&want);
    assert_eq!((metadata.len(), metadata[0].metric.as_str(), metadata[0].metadata.help.as_str()), (1, "a", "Help."));
}

/// The limit is one of targets, as in Prometheus: what one target says comes whole.
#[tokio::test]
async fn metadata_of_so_many_targets() {
    let page = "# HELP a A.\n# TYPE a gauge\na 1\n# HELP b B.\n# TYPE b gauge\nb 1\n";
    let answer = move || async move { ([("content-type", "text/plain; version=0.0.4")], page) };
    let address = serve(Router::new().route("/metrics", get(answer))).await.to_string();
    let harness = Harness::new(&["job_name: j"]);
    let one: &[(&str, &str)] = &[("__address__", &address), ("x", "1")];
    let two: &[(&str, &str)] = &[("__address__", &address), ("x", "2")];
    harness.discover(&[("j", &[one, two])]);
    let entries = |limit| {
        let want = TargetMetadataQuery { limit, ..TargetMetadataQuery::default() };
        harness.manager.target_metadata(&want).len()
    };
    testkit::wait_for("metadata of both", SOON, async || entries(0) == 4).await;
    assert_eq!([1, 2, 3].map(entries), [2, 2, 4]);
}

/// Another interval is no other target: its series go on.
#[tokio::test]
async fn another_interval() {
    let (address, _) = counted().await;
    let harness = Harness::new(&["job_name: j"]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    harness.wait_for_samples("a", 2).await;
    harness.discover(&[("j", &[&[("__address__", &address), ("__scrape_interval__", "200ms")]])]);
    let more = harness.samples("a").await.values().next().unwrap().len() + 3;
    let samples = harness.wait_for_samples("a", more).await;
    assert!(samples.values().flatten().all(|(_, v)| !is_stale(*v)), "{samples:?}");
}

/// A configuration that is taken over while targets answer lets them finish.
#[tokio::test]
async fn reloads_interrupt_no_scrape() {
    let (begun, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (begun.clone(), finished.clone());
    let slow = move || {
        let (begun, finished) = counts.clone();
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            finished.fetch_add(1, Ordering::SeqCst);
            ([(header::CONTENT_TYPE, "text/plain")], BODY)
        }
    };
    let address = serve(Router::new().route("/metrics", get(slow))).await.to_string();
    let job = |limit: usize| format!("job_name: j, scrape_interval: 1s, scrape_timeout: 1s, sample_limit: {limit}");
    let harness = Harness::new(&[&job(100)]);
    harness.discover(&[("j", &[&[("__address__", &address)]])]);
    for reload in 0..5 {
        let before = begun.load(Ordering::SeqCst);
        testkit::wait_for("a scrape to begin", SOON, async || begun.load(Ordering::SeqCst) > before).await;
        harness.manager.apply(configs(&[&job(101 + reload)])).unwrap();
    }
    let all = begun.load(Ordering::SeqCst);
    testkit::wait_for("the scrapes to finish", SOON, async || finished.load(Ordering::SeqCst) >= all).await;
    let samples = harness.wait_for_samples("a", all).await;
    assert!(samples.values().flatten().all(|(_, v)| *v == 1.0), "no marker in between: {samples:?}");
}
