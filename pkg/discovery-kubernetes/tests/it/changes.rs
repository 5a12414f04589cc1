//! Which targets a change makes again.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::run::{Run, cluster, discoverer, named, pod, service, slice};

const ALL: &str = "attach_metadata: {node: true, namespace: true, deployment: true, job: true, cronjob: true}";

fn owned(mut object: Value, kind: &str, name: &str) -> Value {
    object["metadata"]["ownerReferences"] = json!([{"kind": kind, "name": name, "controller": true}]);
    object
}

fn in_default(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default"}})
}

/// Slices `s` of service `web` with pod `a`, and `t` of service `db` with pod `bb`.
async fn two_slices(fake: &Fake, role: &str) -> Run {
    let (cluster, _) = cluster(fake);
    fake.put("nodes", named("n1", json!({"zone": "a"})));
    fake.put("namespaces", named("default", json!({"team": "x"})));
    fake.put("pods", owned(pod("a", "10.0.0.1"), "ReplicaSet", "a-1"));
    fake.put("pods", owned(pod("bb", "10.0.0.2"), "Job", "b-1"));
    fake.put("replicasets", owned(in_default("a-1"), "Deployment", "a"));
    fake.put("jobs", owned(in_default("b-1"), "CronJob", "b"));
    fake.put("services", service("web", json!({"s": "1"})));
    for (name, service, pod) in [("web", "web", "a"), ("db", "db", "bb")] {
        fake.put("endpointslices", slice(name, service, &[pod]));
        let target = json!({"kind": "Pod", "namespace": "default", "name": pod});
        let address = json!({"ip": "10.0.0.9", "nodeName": "n1", "targetRef": target});
        let mut endpoints = in_default(name);
        endpoints["subsets"] = json!([{"addresses": [address], "ports": [{"port": 1}]}]);
        fake.put("endpoints", endpoints);
    }
    let mut run = Run::start(discoverer(&format!("{{role: {role}, {ALL}}}"), &cluster));
    run.more().await;
    assert_eq!((run.known.len(), run.failures().len()), (2, 0));
    run
}

#[tokio::test(start_paused = true)]
async fn a_change_reaches_those_who_are_made_with_it() {
    for role in ["endpointslice", "endpoints"] {
        let fake = Fake::default();
        let mut run = two_slices(&fake, role).await;
        let (web, db) = (format!("{role}/default/web"), format!("{role}/default/db"));
        let mut expect = async |object: (&str, Value), label: &str, values: [Option<&str>; 2]| {
            fake.put(object.0, object.1);
            assert!(run.more().await, "{label}");
            let changed: Vec<String> = run.last.clone();
            assert_eq!([run.label(&web, label), run.label(&db, label)], values, "{label}");
            changed
        };
        // The phase of a pod changes without a change of the endpoints.
        let mut done = owned(pod("a", "10.0.0.1"), "ReplicaSet", "a-1");
        done["status"]["phase"] = "Succeeded".into();
        assert_eq!(expect(("pods", done), "pod_phase", [Some("Succeeded"), Some("Running")]).await, [web.as_str()]);
        let changed = service("web", json!({"s": "2"}));
        assert_eq!(expect(("services", changed), "service_label_s", [Some("2"), None]).await, [web.as_str()]);
        let new = service("db", json!({"s": "3"}));
        assert_eq!(expect(("services", new), "service_label_s", [Some("2"), Some("3")]).await, [db.as_str()]);
        let node = named("n1", json!({"zone": "b"}));
        assert_eq!(expect(("nodes", node), "node_label_zone", [Some("b"), Some("b")]).await.len(), 2);
        let namespace = named("default", json!({"team": "y"}));
        assert_eq!(expect(("namespaces", namespace), "namespace_label_team", [Some("y"), Some("y")]).await.len(), 2);
        let set = owned(in_default("a-1"), "Deployment", "c");
        assert_eq!(expect(("replicasets", set), "pod_deployment_name", [Some("c"), None]).await, [web.as_str()]);
        let job = owned(in_default("b-1"), "CronJob", "c");
        assert_eq!(expect(("jobs", job), "pod_cronjob_name", [None, Some("c")]).await, [db.as_str()]);

        fake.delete("services", "default", "web");
        fake.delete("pods", "default", "bb");
        run.more().await;
        assert_eq!((run.label(&web, "service_name"), run.label(&db, "pod_name")), (None, None));
        fake.put("pods", pod("bb", "10.0.0.2"));
        run.more().await;
        assert_eq!(run.label(&db, "pod_name"), Some("bb"));
        // Nobody is made with these.
        fake.put("pods", pod("other", "10.0.0.7"));
        fake.put("nodes", named("n2", json!({})));
        fake.put("services", service("other", json!({})));
        assert!(!run.more().await, "{:?}", run.last);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_changes_no_label_is_not_told() {
    let fake = Fake::default();
    let mut run = two_slices(&fake, "endpointslice").await;
    let mut node = named("n1", json!({"zone": "a"}));
    for i in 0..3 {
        node["status"]["conditions"] = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": i}]);
        fake.put("nodes", node.clone());
        assert!(!run.more().await);
    }
}

#[tokio::test(start_paused = true)]
async fn pods_come_and_go_with_their_addresses() {
    let fake = Fake::default();
    let (cluster, _) = cluster(&fake);
    fake.put("pods", pod("a", ""));
    let mut run = Run::start(discoverer("role: pod", &cluster));
    assert!(!run.more().await, "a pod without an address is no source");
    fake.put("pods", pod("a", "10.0.0.1"));
    run.more().await;
    assert_eq!(run.addresses(), ["10.0.0.1:1"]);
    fake.put("pods", pod("a", ""));
    run.more().await;
    assert!(run.known.is_empty());
}

/// One step of a cluster's life.
#[derive(Debug, Clone)]
enum Step {
    Pod(u8, u8),
    Service(u8, u8),
    Slice(u8, Vec<u8>),
    Node(u8),
    Delete(&'static str, u8),
    Cut,
    Forget(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0u8..4, 0u8..4).prop_map(|(name, phase)| Step::Pod(name, phase)),
        2 => (0u8..3, 0u8..3).prop_map(|(name, label)| Step::Service(name, label)),
        3 => (0u8..3, prop::collection::vec(0u8..4, 0..3)).prop_map(|(name, pods)| Step::Slice(name, pods)),
        1 => (0u8..3).prop_map(Step::Node),
        3 => (prop::sample::select(vec!["pods", "services", "endpointslices"]), 0u8..4).prop_map(|(r, n)| Step::Delete(r, n)),
        1 => Just(Step::Cut),
        1 => any::<bool>().prop_map(Step::Forget),
    ];
    prop::collection::vec(step, 1..25)
}

fn apply(fake: &Fake, step: &Step) {
    match step {
        Step::Pod(name, phase) => {
            let mut pod = pod(&"p".repeat(usize::from(*name) + 1), &format!("10.0.0.{name}"));
            pod["status"]["phase"] = format!("phase{phase}").into();
            fake.put("pods", pod);
        }
        Step::Service(name, label) => {
            fake.put("services", service(&format!("s{name}"), json!({"l": label.to_string()})))
        }
        Step::Slice(name, pods) => {
            let pods: Vec<String> = pods.iter().map(|pod| "p".repeat(usize::from(*pod) + 1)).collect();
            let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
            fake.put("endpointslices", slice(&format!("e{name}"), &format!("s{name}"), &pods));
        }
        Step::Node(label) => fake.put("nodes", named("n1", json!({"l": label.to_string()}))),
        Step::Delete(resource, name) => {
            let name = match *resource {
                "pods" => "p".repeat(usize::from(*name) + 1),
                "services" => format!("s{name}"),
                _ => format!("e{name}"),
            };
            fake.delete_if_there(resource, "default", &name);
        }
        Step::Cut => fake.cut(Some("reset")),
        Step::Forget(by_status) => {
            fake.forget(*by_status);
            fake.cut(None);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: what is known from the changes is what one who starts anew is told.
    #[test]
    fn changes_add_up_to_the_state(steps in steps(), pauses in prop::collection::vec(any::<bool>(), 25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fake = Fake::default();
            let (shared, _) = cluster(&fake);
            let yaml = ["{role: endpointslice, attach_metadata: {node: true}}", "{role: pod, attach_metadata: {node: true}}"];
            let mut old = yaml.map(|yaml| Run::start(discoverer(yaml, &shared)));
            for (step, pause) in steps.iter().zip(pauses) {
                apply(&fake, step);
                if pause {
                    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
                }
            }
            let (other, _) = cluster(&fake);
            for (yaml, old) in yaml.into_iter().zip(&mut old) {
                old.more().await;
                let mut new = Run::start(discoverer(yaml, &other));
                new.more().await;
                assert_eq!(old.known, new.known);
            }
        });
    }
}
