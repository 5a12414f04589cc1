//! A cluster whose targets Prometheus itself has written down: `testdata/kubernetes`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::fake::Fake;
use crate::run::{Run, cluster, discoverer};

/// By source, the labels of each target.
type Groups = BTreeMap<String, BTreeSet<BTreeMap<String, String>>>;

fn read(name: &str) -> Value {
    let path = format!("{}/../../testdata/kubernetes/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn groups(run: &Run) -> Groups {
    let mut out = Groups::new();
    for (source, update) in &run.known {
        let all = update.group.targets.iter().map(|target| update.group.labels.overlay(target));
        let pairs = |labels: labels::Labels| labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let targets: BTreeSet<_> = all.map(pairs).collect();
        if !targets.is_empty() {
            out.insert(source.clone(), targets);
        }
    }
    out
}

#[tokio::test(start_paused = true)]
async fn the_targets_that_prometheus_found() {
    let (given, expected) = (read("objects.json"), read("prometheus.json"));
    let fake = Fake::default();
    for (resource, objects) in given["objects"].as_object().unwrap() {
        objects.as_array().unwrap().iter().for_each(|object| fake.put(resource, object.clone()));
    }
    let (cluster, _) = cluster(&fake);
    let configs = given["configs"].as_object().unwrap();
    assert!(configs.len() > 10 && configs.keys().eq(expected.as_object().unwrap().keys()));
    for (name, yaml) in configs {
        let mut run = Run::start(discoverer(yaml.as_str().unwrap(), &cluster));
        run.more().await;
        let (found, wanted) = (groups(&run), serde_json::from_value::<Groups>(expected[name].clone()).unwrap());
        assert!(found.keys().eq(wanted.keys()), "{name}: {:?} and {:?}", found.keys(), wanted.keys());
        for (source, targets) in &wanted {
            assert_eq!(found[source], *targets, "{name}: {source}");
        }
    }
}
