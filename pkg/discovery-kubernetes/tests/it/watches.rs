//! Watches: who shares them, when they end, what is done when they break.

use std::sync::Arc;
use std::time::Duration;

use discovery_kubernetes::{Clusters, Limits, Surroundings};
use serde_json::json;
use telemetry::Metrics;

use crate::fake::Fake;
use crate::run::{Run, cluster, discoverer, failures, named, pod, pod_in, service, slice, surroundings};

const ENDPOINTS: &str =
    "{role: endpointslice, attach_metadata: {node: true, namespace: true, deployment: true, cronjob: true}}";

#[tokio::test(start_paused = true)]
async fn a_hundred_jobs_share_one_watch_of_each_resource() {
    let fake = Fake::default();
    let (cluster, metrics) = cluster(&fake);
    fake.put("pods", pod("a", "10.0.0.1"));
    fake.put("endpointslices", slice("s", "web", &["a"]));
    let mut runs: Vec<Run> =
        (0..50).flat_map(|_| [ENDPOINTS, "role: pod"].map(|y| Run::start(discoverer(y, &cluster)))).collect();
    for run in &mut runs {
        assert!(run.more().await);
    }
    let resources = ["endpointslices", "jobs", "namespaces", "nodes", "pods", "replicasets", "services"];
    assert_eq!(fake.watched(), resources);
    assert_eq!(fake.requests("/api/v1/pods?limit").len(), 1, "one list");
    assert!(metrics.encode().contains("aion_sd_kubernetes_watches{resource=\"pods\"} 1.0\n"), "{}", metrics.encode());
    assert!(metrics.encode().contains("prometheus_sd_kubernetes_events_total{role=\"pod\",event=\"add\"} 1\n"));

    // Another who comes later is told all without a list.
    let mut late = Run::start(discoverer("role: pod", &cluster));
    assert!(late.more().await);
    assert_eq!((late.addresses(), fake.requests("/api/v1/pods?limit").len()), (vec!["10.0.0.1:1"], 1));

    // Those of the slices go, and with them the watches that they alone had.
    let (stay, go): (Vec<_>, Vec<_>) = runs.into_iter().enumerate().partition(|(i, _)| i % 2 == 1);
    for (_, run) in go {
        run.shutdown.cancel();
        run.ends().await;
    }
    tokio::task::yield_now().await;
    assert_eq!(fake.watched(), ["pods"]);
    for (_, run) in stay {
        run.shutdown.cancel();
        run.ends().await;
    }
    assert_eq!(fake.watched(), ["pods"], "the late one has it still");
    late.shutdown.cancel();
    late.ends().await;
    tokio::task::yield_now().await;
    assert!(fake.watched().is_empty());
    let encoded = metrics.encode();
    assert!(encoded.contains("aion_sd_kubernetes_watches{resource=\"pods\"} 0.0\n"), "{encoded}");
    assert!(encoded.contains("aion_sd_kubernetes_objects{resource=\"pods\"} 0.0\n"), "{encoded}");
}

#[tokio::test(start_paused = true)]
async fn other_objects_are_another_watch() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    let configs = [
        "role: pod",
        "{role: pod, namespaces: {names: [a, b, a]}}",
        "{role: pod, namespaces: {names: [a, '']}}",
        "{role: pod, selectors: [{role: pod, label: 'x in (y)', field: status.phase=Running}]}",
    ];
    let mut runs: Vec<Run> = configs.iter().map(|yaml| Run::start(discoverer(yaml, &cluster))).collect();
    fake.put("pods", pod_in("a", "p", "10.0.0.1"));
    fake.put("pods", pod_in("c", "q", "10.0.0.2"));
    for run in &mut runs {
        run.more().await;
    }
    assert_eq!(fake.watched(), ["pods"; 4]);
    let mut watches = fake.requests("watch=true");
    watches.sort();
    watches.dedup();
    for part in [
        "/api/v1/pods?watch",
        "/namespaces/a/pods?",
        "/namespaces/b/pods?",
        "/pods?labelSelector=x+in+%28y%29&fieldSelector=status.phase%3DRunning&watch",
    ] {
        assert_eq!(watches.iter().filter(|request| request.contains(part)).count(), 1, "{part}: {watches:#?}");
    }
    assert_eq!(runs[1].known.keys().collect::<Vec<_>>(), ["pod/a/p"]);
}

/// Nodes and namespaces are no one's namespace; selectors of nodes hold where nodes are attached.
#[tokio::test(start_paused = true)]
async fn what_is_asked_for() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    let yaml = "{role: pod, namespaces: {names: [a]}, selectors: [{role: node, label: pool=x}], \
                attach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}}";
    let mut run = Run::start(discoverer(yaml, &cluster));
    run.more().await;
    for part in [
        "/api/v1/namespaces/a/pods?limit=2",
        "/api/v1/nodes?labelSelector=pool%3Dx&limit=2",
        "/api/v1/namespaces?limit=2",
        "/apis/apps/v1/namespaces/a/replicasets?limit=2",
        "/apis/batch/v1/namespaces/a/jobs?limit=2",
        "/api/v1/nodes?labelSelector=pool%3Dx&watch=true&allowWatchBookmarks=true&resourceVersion=0&timeoutSeconds=180",
    ] {
        assert!(!fake.requests(part).is_empty(), "{part}: {:#?}", fake.requests(""));
    }
    // The name of a job needs no job.
    let (other, fake) = (fake, Fake::default());
    drop((run, other));
    let (cluster, _) = super::run::cluster(&fake);
    let mut run = Run::start(discoverer("{role: pod, attach_metadata: {job: true}}", &cluster));
    run.more().await;
    assert_eq!(fake.watched(), ["pods"]);
}

#[tokio::test(start_paused = true)]
async fn lists_come_in_pages() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    for i in 1..=5 {
        fake.put("pods", pod(&format!("p{i}"), &format!("10.0.0.{i}")));
    }
    let mut run = Run::start(discoverer("role: pod", &cluster));
    run.more().await;
    assert_eq!(run.known.len(), 5);
    assert_eq!(fake.requests("/api/v1/pods?limit=2").len(), 3);
}

#[tokio::test(start_paused = true)]
async fn versions_that_are_forgotten() {
    for by_status in [false, true] {
        let fake = Fake::default();
        let (cluster, metrics) = cluster(&fake);
        for i in 1..=5 {
            fake.put("pods", pod(&format!("p{i}"), &format!("10.0.0.{i}")));
        }
        let mut run = Run::start(discoverer("role: pod", &cluster));
        run.more().await;
        // All this happens while nobody watches, and the server does not tell it later.
        fake.set_down(true);
        fake.cut(None);
        fake.delete("pods", "default", "p1");
        fake.put("pods", pod("p2", "10.0.0.22"));
        fake.put("pods", pod("p6", "10.0.0.6"));
        fake.forget(by_status);
        fake.set_down(false);
        run.more().await;
        let mut changed = run.last.clone();
        changed.retain(|source| source.starts_with("pod"));
        changed.sort();
        assert_eq!(changed, ["pod/default/p1", "pod/default/p2", "pod/default/p6"], "only what changed is sent");
        assert_eq!(run.addresses(), ["10.0.0.22:1", "10.0.0.3:1", "10.0.0.4:1", "10.0.0.5:1", "10.0.0.6:1"]);
        assert_eq!(fake.requests("/api/v1/pods?limit=2").len(), 6, "two lists of three pages");
        assert!(run.failures().is_empty());
        assert!(metrics.encode().contains("{role=\"pod\",event=\"delete\"} 1\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_from_a_bookmark() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    fake.put("pods", pod("a", "10.0.0.1"));
    let mut run = Run::start(discoverer("role: pod", &cluster));
    run.more().await;
    for i in 0..10 {
        fake.put("services", service("s", json!({"i": i.to_string()})));
    }
    fake.bookmark("pods");
    assert!(!run.more().await);
    fake.cut(None);
    assert!(!run.more().await);
    assert!(
        !fake.requests("pods?watch=true&allowWatchBookmarks=true&resourceVersion=11&").is_empty(),
        "{:?}",
        fake.requests("")
    );
    assert_eq!(fake.requests("pods?limit").len(), 1);
    fake.put("pods", pod("b", "10.0.0.2"));
    assert!(run.more().await);
    assert_eq!(run.last, ["pod/default/b"]);
}

/// A connection that is dead without an end is given up; what happened meanwhile is told.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silent_is_given_up() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    fake.put("pods", pod("a", "10.0.0.1"));
    let mut run = Run::start(discoverer("role: pod", &cluster));
    run.more().await;
    let before = fake.requests("watch=true").len();
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert!(fake.requests("watch=true").len() > before);
    fake.put("pods", pod("b", "10.0.0.2"));
    assert!(run.more().await);
    assert_eq!(run.last, ["pod/default/b"], "nothing is told twice");
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_missing_are_named() {
    let fake = Fake::default();
    let (cluster, metrics) = cluster(&fake);
    fake.put("pods", pod("a", "10.0.0.1"));
    fake.put("endpointslices", slice("s", "web", &["a"]));
    fake.refuse("nodes", 403);
    let mut run = Run::start(discoverer(ENDPOINTS, &cluster));
    run.more().await;
    assert_eq!(run.known.keys().collect::<Vec<_>>(), ["watch/nodes"], "no targets without the labels of nodes");
    let why = "list nodes of the whole cluster: HTTP status 403: nodes is forbidden: User \"u\" cannot list resource; give \
               the account the verbs list and watch on nodes by a ClusterRole";
    assert_eq!(run.failures(), [why]);
    assert!(metrics.encode().contains("prometheus_sd_kubernetes_http_request_total{status_code=\"403\"}"));
    assert!(failures(&metrics) > 0);
    fake.put("nodes", named("n1", json!({"zone": "a"})));
    fake.refuse("nodes", 200);
    run.more().await;
    assert_eq!(run.known.keys().collect::<Vec<_>>(), ["endpointslice/default/s"]);
    assert_eq!(run.label("endpointslice/default/s", "node_label_zone"), Some("a"));

    fake.refuse("replicasets", 403);
    fake.cut(None);
    run.more().await;
    assert!(
        run.failures()[0].contains("watch replicasets of the whole cluster: HTTP status 403"),
        "{:?}",
        run.failures()
    );
    assert!(run.failures()[0].contains("on replicasets of API group apps"), "{:?}", run.failures());
    assert_eq!(run.addresses().len(), 1, "what is known stays");
}

#[tokio::test(start_paused = true)]
async fn lines_that_cannot_be_taken() {
    let long = format!("{{\"type\":\"ADDED\",\"object\":{{\"x\":\"{}\"}}}}", "y".repeat(17 << 20));
    for (line, why) in [
        ("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":5}}}", "a change cannot be read"),
        ("nonsense", "a change cannot be read"),
        ("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"etcd\"}}", "etcd (500)"),
        (&long, "more than 16777216 bytes"),
    ] {
        let fake = Fake::default();
        let (cluster, _) = cluster(&fake);
        fake.put("pods", pod("a", "10.0.0.1"));
        let mut run = Run::start(discoverer("role: pod", &cluster));
        run.more().await;
        fake.line("pods", line);
        fake.put("pods", pod("b", "10.0.0.2"));
        run.until("the failure", |run| run.failures().iter().any(|failure| failure.contains(why))).await;
        // Nothing is missed: all is listed again.
        run.until("the other pod", |run| run.addresses().len() == 2 && run.failures().is_empty()).await;
        assert_eq!(fake.requests("pods?limit").len(), 2);
    }
}

fn limited(limits: Limits, fake: &Fake) -> Arc<discovery_kubernetes::Cluster> {
    let clusters = Clusters::new(Surroundings { limits, ..surroundings() }, &Metrics::new());
    Arc::new(clusters.cluster_at(Arc::new(fake.clone())))
}

#[tokio::test(start_paused = true)]
async fn there_are_limits() {
    let fake = Fake::default();
    fake.put("pods", pod("a", "10.0.0.1"));
    fake.put("pods", pod("b", "10.0.0.2"));
    let limits = Limits { objects_max: 2, page_objects: 2, ..Limits::default() };
    let cluster = limited(limits, &fake);
    let mut run = Run::start(discoverer("role: pod", &cluster));
    run.more().await;
    fake.put("pods", pod("c", "10.0.0.3"));
    run.more().await;
    assert_eq!(run.addresses(), ["10.0.0.1:1", "10.0.0.2:1"]);
    assert!(run.failures()[0].contains("more than 2 pods of the whole cluster"), "{:?}", run.failures());
    fake.delete("pods", "default", "a");
    run.more().await;
    assert_eq!((run.addresses(), run.failures().len()), (vec!["10.0.0.2:1", "10.0.0.3:1"], 0));

    let cluster = limited(Limits { page_bytes_max: 100, ..limits }, &fake);
    let mut run = Run::start(discoverer("role: pod", &cluster));
    run.more().await;
    assert_eq!(run.failures(), ["list pods of the whole cluster: 2 objects take more than 100 bytes"]);
}

/// Pauses grow, so that a server that is ill is not made worse.
#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_growing_pauses() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    fake.set_down(true);
    let run = Run::start(discoverer("role: pod", &cluster));
    tokio::time::sleep(Duration::from_secs(600)).await;
    fake.set_down(false);
    drop(run);
    fake.refuse("services", 500);
    let run = Run::start(discoverer("role: service", &cluster));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = fake.requests("services").len();
    assert!((20..=40).contains(&requests), "{requests}");
    drop(run);
}

/// A watch that ends at once again and again is no reason to ask without a pause.
#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    let run = Run::start(discoverer("role: pod", &cluster));
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        fake.cut(None);
    }
    let requests = fake.requests("watch=true").len();
    assert!((3..=70).contains(&requests), "{requests}");
    drop(run);
}
