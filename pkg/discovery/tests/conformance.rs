//! What every discoverer promises, tried on each of them: whole states of sources, changes only, nothing lost by a failure,
//! an end when asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use discovery::config::{ConsulConfig, DnsConfig, DnsType};
use discovery::consul::{ConsulApi, ConsulDiscoverer, ConsulLimits, Indexed, Instance, Services};
use discovery::dns::{DnsDiscoverer, Names, Resolver};
use discovery::file::{FileDiscoverer, FileMetrics};
use discovery::records::{DnsLookup, Record, Records};
use discovery::{Discoverer, FixedDiscoverer, Lookup, RefreshDiscoverer, RefreshMetrics, Update, Updates};
use futures::future::{BoxFuture, ready};
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use telemetry::{Counter, Metrics};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(30);

/// What a discoverer reads, to be changed while it runs.
trait Place {
    fn discoverer(&self) -> Box<dyn Discoverer>;

    /// From now on these are found; with none, the source is gone.
    fn put(&self, addresses: &[&str]);

    /// From now on it cannot be read.
    fn corrupt(&self);
}

fn counter() -> Counter {
    Metrics::new().counter("test_total", "Test.")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self) -> PathBuf {
        self.0.path().join("targets.json")
    }
}

impl Place for Folder {
    fn discoverer(&self) -> Box<dyn Discoverer> {
        let pattern = self.0.path().join("*.json").display().to_string();
        Box::new(FileDiscoverer::new(vec![pattern], INTERVAL, FileMetrics::new(&Metrics::new())))
    }

    fn put(&self, addresses: &[&str]) {
        match addresses {
            [] => std::fs::remove_file(self.path()).unwrap(),
            _ => std::fs::write(self.path(), format!("[{{\"targets\": {addresses:?}}}]")).unwrap(),
        }
    }

    fn corrupt(&self) {
        std::fs::write(self.path(), "[{\n  \"targets\": 1}]").unwrap();
    }
}

#[derive(Debug, Default, Clone)]
struct Zone(Arc<Mutex<Option<Vec<String>>>>);

impl Resolver for Zone {
    fn addresses(&self, _: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let found = self.0.lock().unwrap().clone();
        let ips = found.ok_or_else(|| "no such name".to_owned());
        Box::pin(ready(ips.map(|list| list.iter().map(|a| a.split(':').next().unwrap().parse().unwrap()).collect())))
    }

    fn services(&self, name: &str) -> BoxFuture<'static, Result<Vec<(String, u16)>, String>> {
        Box::pin(ready(Err(format!("look up SRV {name}: no such name"))))
    }
}

impl Place for Zone {
    fn discoverer(&self) -> Box<dyn Discoverer> {
        let names = Names::new(Arc::new(self.clone()), counter(), counter());
        Box::new(DnsDiscoverer::new(names, vec!["dns+targets:1".to_owned()], INTERVAL))
    }

    fn put(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = Some(addresses.iter().map(|a| (*a).to_owned()).collect());
    }

    fn corrupt(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// A place that is looked at again and again: a list of addresses, or nothing that can be read.
#[derive(Debug, Default, Clone)]
struct Listed(Arc<Mutex<Option<Vec<String>>>>);

impl Listed {
    fn list(&self) -> Result<Vec<String>, String> {
        self.0.lock().unwrap().clone().ok_or_else(|| "no answer".to_owned())
    }
}

impl Lookup for Listed {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Update>, String>> {
        let found = self.list().and_then(|list| {
            let groups = if list.is_empty() { serde_json::json!([]) } else { serde_json::json!([{"targets": list}]) };
            discovery::http::parse_groups("http://list/", groups.to_string().as_bytes())
        });
        Box::pin(ready(found.map(|groups| groups.into_iter().map(Update::found).collect())))
    }

    fn name(&self) -> &str {
        "http://list/"
    }
}

impl Place for Listed {
    fn discoverer(&self) -> Box<dyn Discoverer> {
        let metrics = RefreshMetrics::new(&Metrics::new());
        Box::new(RefreshDiscoverer::new(Box::new(self.clone()), INTERVAL, &metrics, "http", "job"))
    }

    fn put(&self, addresses: &[&str]) {
        *self.0.lock().unwrap() = Some(addresses.iter().map(|a| (*a).to_owned()).collect());
    }

    fn corrupt(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// The same list as records of a DNS name.
#[derive(Debug, Default, Clone)]
struct Recorded(Listed);

impl Records for Recorded {
    fn records(&self, _: &str, _: DnsType) -> BoxFuture<'static, Result<Vec<Record>, String>> {
        let address = |a: &String| Record::Address(a.split(':').next().unwrap().parse().unwrap());
        Box::pin(ready(self.0.list().map(|list| list.iter().map(address).collect())))
    }
}

impl Place for Recorded {
    fn discoverer(&self) -> Box<dyn Discoverer> {
        let node = yaml::parse("{names: [targets], type: A, port: 1}").unwrap();
        let config = DnsConfig::from_node(&node).unwrap();
        let lookup = DnsLookup::new(Arc::new(self.clone()), config, counter(), counter());
        let metrics = RefreshMetrics::new(&Metrics::new());
        Box::new(RefreshDiscoverer::new(Box::new(lookup), INTERVAL, &metrics, "dns", "job"))
    }

    fn put(&self, addresses: &[&str]) {
        self.0.put(addresses);
    }

    fn corrupt(&self) {
        self.0.corrupt();
    }
}

/// The same list as instances of a service in Consul.
#[derive(Debug, Clone)]
struct Registered(Listed, Arc<watch::Sender<u64>>);

impl Registered {
    fn change(&self) {
        self.1.send_modify(|index| *index += 1);
    }
}

impl ConsulApi for Registered {
    fn datacenter(&self) -> BoxFuture<'_, Result<String, String>> {
        Box::pin(ready(Ok("dc".to_owned())))
    }

    fn services(&self, _: Option<u64>) -> BoxFuture<'_, Result<Indexed<Services>, String>> {
        panic!("the services are named");
    }

    fn instances<'a>(
        &'a self,
        service: &'a str,
        after: Option<u64>,
    ) -> BoxFuture<'a, Result<Indexed<Vec<Instance>>, String>> {
        assert_eq!(service, "web");
        Box::pin(async move {
            let mut changes = self.1.subscribe();
            let wait = changes.wait_for(|index| Some(*index) > after);
            drop(tokio::time::timeout(Duration::from_secs(120), wait).await);
            let instance = |address: &String| {
                let (host, port) = address.split_once(':').unwrap();
                let json = serde_json::json!({"Service": {"Address": host, "Port": port.parse::<u16>().unwrap()}});
                serde_json::from_value(json).unwrap()
            };
            let value = self.0.list()?.iter().map(instance).collect();
            Ok(Indexed { index: *self.1.borrow(), value })
        })
    }
}

impl Place for Registered {
    fn discoverer(&self) -> Box<dyn Discoverer> {
        let config = ConsulConfig::from_node(&yaml::parse("services: [web]").unwrap()).unwrap();
        Box::new(ConsulDiscoverer::new(Arc::new(self.clone()), config.own, ConsulLimits::default()))
    }

    fn put(&self, addresses: &[&str]) {
        self.0.put(addresses);
        self.change();
    }

    fn corrupt(&self) {
        self.0.corrupt();
        self.change();
    }
}

/// A discoverer that runs, and what came of it.
struct Run {
    inbox: mpsc::Receiver<(usize, Vec<Update>)>,
    task: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
    known: BTreeMap<String, Update>,
}

impl Run {
    fn start(discoverer: Box<dyn Discoverer>) -> Self {
        let (sender, inbox) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(discoverer.run(Updates::new(7, sender), shutdown.clone()));
        Self { inbox, task, shutdown, known: BTreeMap::new() }
    }

    /// Takes in what comes within some intervals; `false` if there is nothing.
    async fn more(&mut self) -> bool {
        let mut any = false;
        while let Ok(Some((provider, updates))) = tokio::time::timeout(3 * INTERVAL, self.inbox.recv()).await {
            assert_eq!((provider, updates.is_empty()), (7, false));
            for update in updates {
                let source = update.group.source.clone();
                let before = match update.is_gone() {
                    true => self.known.remove(&source),
                    false => self.known.insert(source.clone(), update.clone()),
                };
                assert!(before.as_ref() != Some(&update), "{source} is sent again");
                assert!(before.is_some() || !update.is_gone(), "{source} was not there");
            }
            any = true;
        }
        any
    }

    fn addresses(&self) -> Vec<&str> {
        self.known.values().flat_map(|update| update.group.addresses()).collect()
    }

    fn failures(&self) -> Vec<&str> {
        self.known.values().filter_map(|update| update.failure.as_deref()).collect()
    }

    async fn ends(self) {
        tokio::time::timeout(INTERVAL / 2, self.task).await.expect("it goes on").unwrap();
    }
}

async fn holds(place: &dyn Place) {
    place.put(&["10.0.0.1:1", "10.0.0.2:1"]);
    let mut run = Run::start(place.discoverer());
    assert!(run.more().await, "nothing is sent at first");
    assert_eq!(run.addresses(), ["10.0.0.1:1", "10.0.0.2:1"]);
    assert!(!run.more().await, "something is sent without a change");

    place.put(&["10.0.0.3:1"]);
    assert!(run.more().await);
    assert_eq!((run.addresses(), run.known.len()), (vec!["10.0.0.3:1"], 1));

    place.corrupt();
    assert!(run.more().await, "a failure is not told");
    assert_eq!((run.addresses(), run.failures().len()), (vec!["10.0.0.3:1"], 1));
    assert!(!run.more().await, "a failure is told again");

    place.put(&["10.0.0.4:1"]);
    assert!(run.more().await);
    assert_eq!((run.addresses(), run.failures().len()), (vec!["10.0.0.4:1"], 0));

    place.put(&[]);
    assert!(run.more().await, "it is not told that the source is gone");
    assert!(run.known.is_empty(), "{:?}", run.known);

    run.shutdown.cancel();
    run.ends().await;

    place.corrupt();
    let mut run = Run::start(place.discoverer());
    assert!(run.more().await);
    assert_eq!((run.addresses().len(), run.failures().len()), (0, 1));
    drop(std::mem::replace(&mut run.inbox, mpsc::channel(1).1));
    run.ends().await;
}

#[tokio::test(start_paused = true)]
async fn files() {
    holds(&Folder(tempfile::tempdir().unwrap())).await;
}

#[tokio::test(start_paused = true)]
async fn names() {
    holds(&Zone::default()).await;
}

#[tokio::test(start_paused = true)]
async fn lists() {
    holds(&Listed::default()).await;
}

#[tokio::test(start_paused = true)]
async fn records() {
    holds(&Recorded::default()).await;
}

#[tokio::test(start_paused = true)]
async fn services() {
    holds(&Registered(Listed::default(), Arc::new(watch::Sender::new(1)))).await;
}

fn group(addresses: &[&str]) -> TargetGroup {
    let targets = addresses.iter().map(|a| Labels::from_pairs([(ADDRESS_LABEL, a)])).collect();
    TargetGroup { targets, labels: Labels::from_pairs([("a", "b")]), ..TargetGroup::default() }
}

#[tokio::test(start_paused = true)]
async fn fixed_lists() {
    let lists = || Box::new(FixedDiscoverer::new(vec![group(&["a:1", "b:2"]), group(&[]), group(&["c:3"])]));
    let mut run = Run::start(lists());
    assert!(run.more().await);
    assert_eq!(run.addresses(), ["a:1", "b:2", "c:3"]);
    assert!(run.known.keys().eq(["0", "2"]));
    assert!(!run.more().await);
    run.shutdown.cancel();
    run.ends().await;

    let mut run = Run::start(lists());
    drop(std::mem::replace(&mut run.inbox, mpsc::channel(1).1));
    run.ends().await;
}
