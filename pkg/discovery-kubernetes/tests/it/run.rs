//! A discoverer at work, and what is known from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use discovery::{Discoverer, Update, Updates};
use discovery_kubernetes::{Cluster, Clusters, KubernetesDiscoverer, KubernetesSdConfig, Limits, Surroundings};
use serde_json::{Value, json};
use telemetry::Metrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::fake::Fake;

/// Longer than any pause or timeout of a watch.
pub const LONG: Duration = Duration::from_secs(60);

pub fn surroundings() -> Surroundings {
    Surroundings {
        env: Arc::new(|_| None),
        random: Arc::new(|| 500_000),
        service_account: "/nowhere".into(),
        limits: Limits { page_objects: 2, ..Limits::default() },
    }
}

pub fn clusters() -> (Clusters, Metrics) {
    let metrics = Metrics::new();
    (Clusters::new(surroundings(), &metrics), metrics)
}

pub fn config(yaml: &str) -> KubernetesSdConfig {
    KubernetesSdConfig::from_section(yaml::parse(yaml).unwrap()).unwrap()
}

/// A cluster behind a fake server.
pub fn cluster(fake: &Fake) -> (Arc<Cluster>, Metrics) {
    let (clusters, metrics) = clusters();
    (Arc::new(clusters.cluster_at(Arc::new(fake.clone()))), metrics)
}

pub fn discoverer(yaml: &str, cluster: &Arc<Cluster>) -> Box<KubernetesDiscoverer> {
    Box::new(KubernetesDiscoverer::new(&config(yaml), None, cluster.clone()))
}

/// Lists and watches that failed.
pub fn failures(metrics: &Metrics) -> u64 {
    let encoded = metrics.encode();
    let line = encoded.lines().find_map(|line| line.strip_prefix("prometheus_sd_kubernetes_failures_total "));
    line.unwrap().parse().unwrap()
}

/// A discoverer that runs, and what came of it.
pub struct Run {
    pub inbox: mpsc::Receiver<(usize, Vec<Update>)>,
    pub task: tokio::task::JoinHandle<()>,
    pub shutdown: CancellationToken,
    pub known: BTreeMap<String, Update>,
    /// The sources of the updates that the last call took in.
    pub last: Vec<String>,
}

impl Run {
    pub fn start(discoverer: Box<dyn Discoverer>) -> Self {
        let (sender, inbox) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(discoverer.run(Updates::new(7, sender), shutdown.clone()));
        Self { inbox, task, shutdown, known: BTreeMap::new(), last: Vec::new() }
    }

    /// Takes in one message.
    fn take_in(&mut self, (provider, updates): (usize, Vec<Update>)) {
        assert_eq!((provider, updates.is_empty()), (7, false));
        for update in updates {
            let source = update.group.source.clone();
            let before = match update.is_gone() {
                true => self.known.remove(&source),
                false => self.known.insert(source.clone(), update.clone()),
            };
            assert!(before.as_ref() != Some(&update), "{source} is sent again");
            assert!(before.is_some() || !update.is_gone(), "{source} was not there");
            self.last.push(source);
        }
    }

    /// Takes in what comes within a while, with the clock stopped; `false` if there is nothing.
    pub async fn more(&mut self) -> bool {
        self.last.clear();
        while let Ok(Some(message)) = tokio::time::timeout(Duration::from_secs(90), self.inbox.recv()).await {
            self.take_in(message);
        }
        !self.last.is_empty()
    }

    /// Takes in what comes until `condition` holds.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            let message = tokio::time::timeout(LONG, self.inbox.recv()).await;
            let message = message.unwrap_or_else(|_| panic!("waited for {what}: {:?}", self.known)).unwrap();
            self.take_in(message);
        }
    }

    pub fn addresses(&self) -> Vec<&str> {
        self.known.values().flat_map(|update| update.group.addresses()).collect()
    }

    pub fn failures(&self) -> Vec<&str> {
        self.known.values().filter_map(|update| update.failure.as_deref()).collect()
    }

    /// The value of a label of a source's group or of its first target.
    pub fn label(&self, source: &str, name: &str) -> Option<&str> {
        let group = &self.known.get(source)?.group;
        let name = format!("__meta_kubernetes_{name}");
        group.labels.get(&name).or_else(|| group.targets.first()?.get(&name))
    }

    pub async fn ends(self) {
        tokio::time::timeout(Duration::from_secs(15), self.task).await.expect("it goes on").unwrap();
    }
}

pub fn pod(name: &str, ip: &str) -> Value {
    pod_in("default", name, ip)
}

pub fn pod_in(namespace: &str, name: &str, ip: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 1}]}]},
        "status": {"podIP": ip, "phase": "Running"},
    })
}

pub fn named(name: &str, labels: Value) -> Value {
    json!({"metadata": {"name": name, "labels": labels}})
}

pub fn service(name: &str, labels: Value) -> Value {
    let spec = json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": [{"port": 1}]});
    json!({"metadata": {"name": name, "namespace": "default", "labels": labels}, "spec": spec})
}

pub fn slice(name: &str, service: &str, pods: &[&str]) -> Value {
    let endpoint = |pod: &&str| {
        json!({"addresses": [format!("10.0.0.{}", pod.len())], "nodeName": "n1",
               "targetRef": {"kind": "Pod", "namespace": "default", "name": pod}})
    };
    json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": 1}], "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
