//! What a manager makes of many discoverers, and of a configuration that changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use discovery::{Discoverer, Manager, ManagerHandle, ManagerOptions, Snapshot, Update, Updates};
use futures::future::BoxFuture;
use labels::Labels;
use model::{ADDRESS_LABEL, FakeClock, TargetGroup};
use telemetry::Metrics;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A discoverer of this name sends what the test tells it to.
#[derive(Debug)]
struct Told(mpsc::UnboundedReceiver<Update>);

impl Discoverer for Told {
    fn run(mut self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    Some(update) = self.0.recv() => assert!(updates.send(vec![update]).await || shutdown.is_cancelled()),
                }
            }
        })
    }
}

/// A manager whose discoverers are known by their names.
struct World {
    handle: ManagerHandle<&'static str>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    tell: Arc<Mutex<BTreeMap<&'static str, mpsc::UnboundedSender<Update>>>>,
    started: Arc<AtomicUsize>,
    metrics: Metrics,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn update(source: &str, addresses: &[&str], failure: Option<&str>) -> Update {
    let targets = addresses.iter().map(|a| Labels::from_pairs([(ADDRESS_LABEL, a)])).collect();
    let group = TargetGroup { source: source.to_owned(), targets, labels: Labels::from_pairs([("a", "b")]) };
    Update { group, failure: failure.map(str::to_owned) }
}

impl World {
    fn start() -> Self {
        let tell = Arc::new(Mutex::new(BTreeMap::new()));
        let started = Arc::new(AtomicUsize::new(0));
        let (senders, count) = (tell.clone(), started.clone());
        let build = Box::new(move |set: &str, name: &&'static str| {
            if *name == "bad" {
                return Err(format!("no such thing for {set}"));
            }
            count.fetch_add(1, Ordering::Relaxed);
            let (sender, receiver) = mpsc::unbounded_channel();
            senders.lock().unwrap().insert(*name, sender);
            Ok(Box::new(Told(receiver)) as Box<dyn Discoverer>)
        });
        let metrics = Metrics::new();
        let clock = Arc::new(FakeClock::at(7000));
        let options = ManagerOptions { name: "scrape", interval: Duration::from_secs(5), clock, build };
        let (manager, handle, snapshots) = Manager::new(options, &metrics);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(manager.run(shutdown.clone()));
        Self { handle, snapshots, tell, started, metrics, shutdown, task }
    }

    async fn apply(&self, sets: &[(&str, &[&'static str])]) -> Vec<String> {
        let sets = sets.iter().map(|(set, configs)| ((*set).to_owned(), configs.to_vec())).collect();
        self.handle.apply(sets).await
    }

    fn tell(&self, name: &str, update: Update) {
        self.tell.lock().unwrap()[name].send(update).unwrap();
    }

    /// Addresses and failures of each set, as they are now.
    fn now(&self) -> BTreeMap<String, (Vec<String>, Vec<String>)> {
        let snapshot = self.snapshots.borrow().clone();
        let shown = snapshot.iter().map(|(name, set)| {
            let addresses = set.groups.iter().flat_map(|g| g.addresses().map(str::to_owned).collect::<Vec<_>>());
            (name.clone(), (addresses.collect(), set.failures.iter().map(|(_, why)| why.clone()).collect()))
        });
        shown.collect()
    }

    /// Waits until a set has these addresses.
    async fn becomes(&mut self, set: &str, addresses: &[&str]) {
        let waiting = async {
            loop {
                if self.now().get(set).is_some_and(|(found, _)| found == addresses) {
                    return;
                }
                self.snapshots.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(600), waiting).await;
        assert!(waited.is_ok(), "{set} is not {addresses:?}: {:?}", self.now());
    }
}

#[tokio::test(start_paused = true)]
async fn sources_of_all_discoverers_are_merged() {
    let mut world = World::start();
    assert!(world.apply(&[("x", &["one", "two"]), ("y", &["three"])]).await.is_empty());
    assert_eq!(world.now().len(), 2);
    world.tell("one", update("s", &["a:1"], None));
    world.becomes("x", &["a:1"]).await;
    // A source of the same name is another discoverer's own.
    world.tell("two", update("s", &["b:1"], None));
    world.becomes("x", &["a:1", "b:1"]).await;
    world.tell("one", update("s", &["a:1"], Some("no such name")));
    world.tell("three", update("t", &["c:1"], None));
    world.becomes("y", &["c:1"]).await;
    assert_eq!(world.now()["x"], (vec!["a:1".to_owned(), "b:1".to_owned()], vec!["no such name".to_owned()]));
    world.tell("one", update("s", &[], None));
    world.becomes("x", &["b:1"]).await;
    let encoded = world.metrics.encode();
    for line in [
        "prometheus_sd_received_updates_total{name=\"scrape\"} 5",
        "prometheus_sd_discovered_targets{name=\"scrape\",config=\"x\"} 1",
        "prometheus_sd_last_update_timestamp_seconds{name=\"scrape\",config=\"y\"} 7",
        "prometheus_sd_failed_configs{name=\"scrape\"} 0",
    ] {
        assert!(encoded.contains(line), "{line}: {encoded}");
    }
    world.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(5), world.task).await.expect("it goes on").unwrap();
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_together_make_one_snapshot() {
    let mut world = World::start();
    world.apply(&[("x", &["one"])]).await;
    for i in 0..100 {
        world.tell("one", update(&i.to_string(), &["a:1"], None));
    }
    let all = vec!["a:1"; 100];
    world.becomes("x", &all).await;
    // The empty set, at most one after the first update, and one with the rest.
    let line =
        world.metrics.encode().lines().find(|l| l.starts_with("prometheus_sd_updates_total")).unwrap().to_owned();
    let sent: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(sent <= 3, "{line}");
}

#[tokio::test(start_paused = true)]
async fn what_stays_in_the_configuration_goes_on() {
    let mut world = World::start();
    world.apply(&[("x", &["one"]), ("y", &["two"])]).await;
    world.tell("one", update("s", &["a:1"], None));
    world.tell("two", update("s", &["b:1"], None));
    world.becomes("y", &["b:1"]).await;
    world.becomes("x", &["a:1"]).await;

    // The same for another set too, whose targets are there at once.
    world.apply(&[("x", &["one"]), ("y", &["two"]), ("z", &["one"])]).await;
    assert_eq!(world.started.load(Ordering::Relaxed), 2);
    assert_eq!(world.now()["z"].0, ["a:1"]);
    world.tell("one", update("s", &["a:2"], None));
    world.becomes("z", &["a:2"]).await;
    world.becomes("x", &["a:2"]).await;

    // A set that is gone leaves nothing, neither targets nor metrics; one without configurations is empty.
    world.apply(&[("x", &["one"]), ("y", &[])]).await;
    let now = world.now();
    assert_eq!((now.len(), now["x"].0.len(), now["y"].0.len()), (2, 1, 0));
    let encoded = world.metrics.encode();
    assert!(!encoded.contains("config=\"z\"") && encoded.contains("config=\"y\"} 0"), "{encoded}");
    // Its discoverer has ended.
    let ended = world.tell.lock().unwrap().remove("two").unwrap();
    tokio::time::timeout(Duration::from_secs(5), ended.closed()).await.expect("it goes on");
    // An ended discoverer that comes back begins again.
    world.apply(&[("x", &["one"]), ("y", &["two"])]).await;
    assert_eq!((world.started.load(Ordering::Relaxed), world.now()["y"].0.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn targets_stay_until_what_follows_has_looked() {
    let mut world = World::start();
    world.apply(&[("x", &["one"])]).await;
    world.tell("one", update("s", &["a:1"], None));
    world.becomes("x", &["a:1"]).await;
    world.apply(&[("x", &["two"])]).await;
    assert_eq!(world.now()["x"].0, ["a:1"]);
    world.tell("two", update("s", &["a:2"], None));
    world.becomes("x", &["a:2"]).await;
    // Not for ever.
    world.apply(&[("x", &["three"])]).await;
    assert_eq!(world.now()["x"].0, ["a:2"]);
    let begin = tokio::time::Instant::now();
    world.becomes("x", &[]).await;
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_without_a_discoverer_is_named() {
    let mut world = World::start();
    let failures = world.apply(&[("x", &["one", "bad"])]).await;
    assert_eq!(failures, ["x: no such thing for x"]);
    world.tell("one", update("s", &["a:1"], None));
    world.becomes("x", &["a:1"]).await;
    assert_eq!(world.now()["x"].1, ["no such thing for x"]);
    assert!(world.metrics.encode().contains("prometheus_sd_failed_configs{name=\"scrape\"} 1"));
    assert!(world.apply(&[("x", &["one"])]).await.is_empty());
    assert_eq!((world.now()["x"].0.len(), world.now()["x"].1.len()), (1, 0));
}
