//! What every discoverer promises, tried on each of them: whole states of sources, changes only, nothing lost by a failure,
//! an end when asked.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use discovery::dns::{DnsDiscoverer, Names, Resolver};
use discovery::file::FileDiscoverer;
use discovery::{Discoverer, FixedDiscoverer, Manager, Provider, TargetSet, Update, Updates};
use futures::future::{BoxFuture, ready};
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use telemetry::{Counter, Metrics};
use tokio::sync::mpsc;
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
        Box::new(FileDiscoverer::new(vec![pattern], INTERVAL, counter()))
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

/// Sends as it is told to.
#[derive(Debug)]
struct Scripted(Vec<(Duration, Update)>);

impl Discoverer for Scripted {
    fn run(self: Box<Self>, updates: Updates, _: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            for (pause, update) in self.0 {
                tokio::time::sleep(pause).await;
                updates.send(vec![update]).await;
            }
            updates.closed().await;
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_manager_merges_sets_and_waits_for_changes_that_come_together() {
    let named = |source: &str, addresses: &[&str], failure: Option<&str>| Update {
        group: TargetGroup { source: source.to_owned(), ..group(addresses) },
        failure: failure.map(str::to_owned),
    };
    let provider = |set: &str, script: Vec<(u64, Update)>| Provider {
        set: set.to_owned(),
        discoverer: Box::new(Scripted(script.into_iter().map(|(s, u)| (Duration::from_secs(s), u)).collect())),
    };
    let metrics = Metrics::new();
    let (manager, mut snapshots) = Manager::new(Duration::from_secs(5), &metrics);
    let shutdown = CancellationToken::new();
    let providers = vec![
        // Both within the first five seconds, then a failure, then nothing more.
        provider(
            "x",
            vec![
                (1, named("s", &["a:1"], None)),
                (2, named("s", &["a:2"], None)),
                (20, named("s", &["a:2"], Some("no such name"))),
                (20, named("s", &[], None)),
            ],
        ),
        // A source of the same name is another provider's own.
        provider("x", vec![(3, named("s", &["b:1"], None))]),
        provider("y", vec![(100, named("t", &["c:1"], None))]),
    ];
    let task = tokio::spawn(manager.run(providers, shutdown.clone()));
    let mut next = async || {
        tokio::time::timeout(Duration::from_secs(600), snapshots.changed()).await.unwrap().unwrap();
        let now = snapshots.borrow_and_update().clone();
        let shown = |set: &TargetSet| -> (Vec<String>, usize) {
            let addresses = set.groups.iter().flat_map(|g| g.addresses().map(str::to_owned).collect::<Vec<_>>());
            (addresses.collect(), set.failures.len())
        };
        (shown(&now["x"]), shown(&now["y"]))
    };
    let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
    assert_eq!(next().await, ((vec![], 0), (vec![], 0)));
    assert_eq!(next().await, ((texts(&["a:2", "b:1"]), 0), (vec![], 0)));
    assert_eq!(next().await, ((texts(&["a:2", "b:1"]), 1), (vec![], 0)));
    assert_eq!(next().await, ((texts(&["b:1"]), 0), (vec![], 0)));
    assert_eq!(next().await, ((texts(&["b:1"]), 0), (texts(&["c:1"]), 0)));
    let encoded = metrics.encode();
    for line in ["prometheus_sd_received_updates_total 6", "prometheus_sd_discovered_targets{config=\"x\"} 1"] {
        assert!(encoded.contains(line), "{encoded}");
    }
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it goes on").unwrap();
}
