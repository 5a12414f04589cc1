//! Two or three compactors over one bucket in simulated time. After each operation on the bucket a seeded chooser decides
//! whose turn is next, who dies, who sleeps and for how long; after each change the invariants are checked.

mod engine;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use block::meta::{Compaction, ThanosMeta};
use block::{BlockId, BlockMeta, META_FILE};
use bucket::deletions::{self, Request};
use bucket::fetch::View;
use bucket::listing::list_blocks;
use bucket::marks::DeletionMark;
use bucket::{FetchOptions, Filters};
use labels::Matcher;
use model::{Clock, TimeRange};
use objstore::{Bucket, ConditionalCreate, Op, Settings as BucketSettings};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use service::Failpoints;
use telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::compactor::{Compactor, Deps};
use crate::engine::Depth;
use crate::lease::LEASES_DIR;
use crate::output::parts;
use crate::policy::Policy;
use crate::schedule::Work;
use crate::settings::Settings;
use engine::{FakeEngine, Unit, units};
use store::{SimClock, Stamped, Turns};

const HOUR: i64 = 3_600_000;
const BASE: i64 = 1_700_006_400_000 / (14 * 24 * HOUR) * (14 * 24 * HOUR);
const SERIES: [&str; 3] = ["x", "y", "z"];

/// What happens besides.
#[derive(Debug, Clone, Copy)]
struct Plan {
    seed: u64,
    compactors: usize,
    kills: bool,
    pauses: bool,
    split: bool,
    delete_series: bool,
}

struct World {
    plan: Plan,
    rng: StdRng,
    clock: SimClock,
    /// Without turns.
    bucket: Bucket,
    turns: Turns,
    ids: Arc<AtomicU64>,
    metrics: Metrics,
    tasks: Vec<Option<JoinHandle<()>>>,
    /// Until when, ms.
    asleep: Vec<i64>,
    /// All that must be found, by block uploaded.
    uploaded: BTreeMap<BlockId, BTreeSet<Unit>>,
    request: Option<Request>,
    visible_before: BTreeMap<BlockId, Option<i64>>,
    steps: u64,
    next_h: i64,
    clusters: BTreeMap<BlockId, &'static str>,
    log: Vec<String>,
}

fn settings(plan: Plan) -> Settings {
    Settings {
        verify: Depth::Index,
        lease_ttl: Duration::from_secs(60),
        policy: Policy::new([0; 3]),
        split: plan.split,
        filters: Filters { consistency_delay_ms: 30 * 60_000, ..Filters::default() },
        compaction_concurrency: 2,
        ..Settings::default()
    }
}

impl World {
    async fn new(plan: Plan) -> Self {
        let clock = SimClock::new(BASE + 100 * HOUR);
        let store = Arc::new(Stamped::new(clock.clone()));
        let bucket = Bucket::new("sim", store, BucketSettings::default());
        let mut world = Self {
            plan,
            rng: StdRng::seed_from_u64(plan.seed),
            clock,
            bucket,
            turns: Turns::default(),
            ids: Arc::new(AtomicU64::new(1)),
            metrics: Metrics::new(),
            tasks: (0..plan.compactors).map(|_| None).collect(),
            asleep: vec![0; plan.compactors],
            uploaded: BTreeMap::new(),
            request: None,
            visible_before: BTreeMap::new(),
            steps: 0,
            next_h: 12,
            clusters: BTreeMap::new(),
            log: Vec::new(),
        };
        for cluster in ["a", "b"] {
            for at in 0..6 {
                world.upload(cluster, at * 2, at * 2 + 2).await;
            }
        }
        // an overlap
        world.upload("a", 3, 5).await;
        if plan.delete_series {
            let selector = vec![Matcher::equal("s", "y"), Matcher::equal("cluster", "a")];
            let now = world.clock.now_ms();
            let request = Request::new(BlockId::new(now as u64, 7), now, &[selector], TimeRange::ALL, "");
            deletions::create(&world.bucket, &request).await.unwrap();
            world.request = Some(request);
        }
        for who in 0..plan.compactors {
            world.start(who);
        }
        world
    }

    async fn upload(&mut self, cluster: &'static str, from_h: i64, to_h: i64) {
        let id = BlockId::new((BASE + to_h * HOUR) as u64, u128::from(self.ids.fetch_add(1, Ordering::Relaxed)));
        let mut meta = BlockMeta {
            ulid: id,
            min_time: BASE + from_h * HOUR,
            max_time: BASE + to_h * HOUR,
            version: 1,
            compaction: Compaction { level: 1, sources: vec![id], ..Compaction::default() },
            thanos: Some(ThanosMeta {
                version: 1,
                labels: [("cluster".to_owned(), cluster.to_owned())].into(),
                source: "sidecar".to_owned(),
                ..ThanosMeta::default()
            }),
            ..BlockMeta::default()
        };
        let units: BTreeSet<Unit> = SERIES.iter().map(|s| format!("{id} {s}")).collect();
        engine::write(&self.bucket, &mut meta, &units).await.unwrap();
        self.bucket.put(&format!("{id}/{META_FILE}"), meta.to_json()).await.unwrap();
        self.uploaded.insert(id, units);
        self.clusters.insert(id, cluster);
    }

    fn compactor(&self, who: usize, name: &str) -> Compactor {
        let bucket = self.bucket.decorated(self.turns.hook(who));
        let (clock, ids): (Arc<dyn Clock>, _) = (Arc::new(self.clock.clone()), self.ids.clone());
        let of_ids = self.clock.clone();
        let deps = Deps {
            engine: Arc::new(FakeEngine {
                bucket: bucket.clone(),
                units_max: if self.plan.split { 8 } else { usize::MAX },
            }),
            bucket,
            conditional: ConditionalCreate::Honoured,
            store_clock: None,
            clock,
            metrics: self.metrics.clone(),
            holder: name.to_owned(),
            next_id: Arc::new(move || {
                BlockId::new(of_ids.now_ms() as u64, u128::from(ids.fetch_add(1, Ordering::Relaxed)) << 8)
            }),
            fetch: FetchOptions::default(),
            failpoints: Failpoints::none(),
        };
        Compactor::new(settings(self.plan), deps)
    }

    fn start(&mut self, who: usize) {
        let name = format!("c{who}-{}", self.ids.fetch_add(1, Ordering::Relaxed));
        self.log.push(format!("{name} starts"));
        let compactor = self.compactor(who, &name);
        self.tasks[who] = Some(tokio::spawn(async move {
            let cancel = CancellationToken::new();
            let mut rest = Duration::from_secs(30);
            loop {
                let merged = compactor.pass(Work::Compaction, &cancel).await.map_or(0, |p| p.done);
                let coarse = compactor.pass(Work::Downsampling, &cancel).await.map_or(0, |p| p.done);
                let _ = compactor.clean().await;
                // the longer nothing happens, the longer it may take: time passes at little cost
                rest = if merged + coarse > 0 {
                    Duration::from_secs(30)
                } else {
                    (rest * 2).min(Duration::from_secs(18_000))
                };
                tokio::time::sleep(rest).await;
            }
        }));
    }

    /// Lets all tasks run until each waits for its turn or sleeps.
    async fn settle(&self) {
        for _ in 0..40 {
            tokio::task::yield_now().await;
        }
    }

    /// One operation, or a rest if nobody has one.
    async fn step(&mut self, faults: bool) {
        self.settle().await;
        self.steps += 1;
        let now = self.clock.now_ms();
        if faults && self.steps.is_multiple_of(60) && self.next_h < 60 {
            let (from, cluster) = (self.next_h, if self.rng.random_bool(0.5) { "a" } else { "b" });
            self.next_h += 2;
            self.upload(cluster, from, from + 2).await;
        }
        let chosen = {
            let mut waiting = self.turns.waiting.lock();
            waiting.retain(|w| !w.go.is_closed());
            let awake: Vec<usize> = (0..waiting.len()).filter(|at| self.asleep[waiting[*at].who] <= now).collect();
            let pick = if awake.is_empty() { None } else { Some(awake[self.rng.random_range(0..awake.len())]) };
            pick.map(|at| {
                let waits = &waiting[at];
                // most faults strike where something is about to change
                let matters = matches!(waits.op, Op::Upload | Op::Delete);
                let strikes = faults && self.rng.random_ratio(1, if matters { 12 } else { 200 });
                let who = waits.who;
                let kill = self.plan.kills && (!self.plan.pauses || self.rng.random_bool(0.5));
                if strikes && kill {
                    return Err((who, true));
                }
                if strikes && self.plan.pauses {
                    return Err((who, false));
                }
                Ok(waiting.remove(at))
            })
        };
        let chosen = match chosen {
            Some(Ok(turn)) => Some(turn),
            None => None,
            Some(Err((who, true))) => {
                if let Some(task) = self.tasks[who].take() {
                    task.abort();
                    let _ = task.await;
                    self.turns.waiting.lock().retain(|w| w.who != who);
                    self.log.push(format!("{} c{who} killed", self.steps));
                    self.start(who);
                }
                return;
            }
            Some(Err((who, false))) => {
                let long = [30_000, 100_000, 400_000, 5 * HOUR, 100 * HOUR][self.rng.random_range(0..5)];
                self.asleep[who] = now + long;
                self.log.push(format!("{} c{who} sleeps {} s", self.steps, long / 1000));
                return;
            }
        };
        match chosen {
            Some(turn) => {
                let changes = matches!(turn.op, Op::Upload | Op::Delete);
                if changes {
                    self.log.push(format!("{} c{} {:?} {}", self.steps, turn.who, turn.op, turn.path));
                }
                let _ = turn.go.send(());
                self.settle().await;
                if changes && !turn.path.starts_with(LEASES_DIR) {
                    self.check().await;
                }
            }
            None => {
                let rest = Duration::from_secs(self.rng.random_range(5..40));
                // whoever sleeps for long lets the others come to rest: then time may jump
                let until = self.asleep.iter().copied().filter(|t| *t > now).min();
                let idle = self.asleep.iter().all(|t| *t > now);
                match until {
                    Some(until) if idle => tokio::time::sleep(Duration::from_millis((until - now) as u64)).await,
                    _ => tokio::time::sleep(rest).await,
                }
            }
        }
    }

    fn fail(&self, what: &str) -> ! {
        let tail = self.log.len().saturating_sub(400);
        panic!("{:?} step {}: {what}\n{}", self.plan, self.steps, self.log[tail..].join("\n"));
    }

    async fn view(&self) -> View {
        let objects = list_blocks(&self.bucket).await.unwrap();
        let mut view = View::default();
        for (id, found) in &objects {
            if found.meta().is_some() {
                let json = self.bucket.get(&format!("{id}/{META_FILE}")).await.unwrap();
                view.metas.insert(*id, Arc::new(BlockMeta::parse("meta", &json).unwrap()));
            }
            if let Some(mark) = found.deletion_mark() {
                let mark: DeletionMark = serde_json::from_slice(&self.bucket.get(&mark.path).await.unwrap()).unwrap();
                view.deletion_marks.insert(*id, mark);
            }
        }
        view.objects = objects;
        view
    }

    fn is_deleted_series(&self, unit: &str, cluster_a: &BTreeSet<BlockId>) -> bool {
        self.request.is_some()
            && unit.ends_with(" y")
            && BlockId::parse(unit.split(' ').next().unwrap_or_default()).is_ok_and(|id| cluster_a.contains(&id))
    }

    fn all_units(&self) -> BTreeSet<Unit> {
        self.uploaded.values().flatten().cloned().collect()
    }

    /// The invariants.
    async fn check(&mut self) {
        let view = self.view().await;
        let now = self.clock.now_ms();
        // I5: what is visible is whole
        for (id, meta) in &view.metas {
            let mut missing = None;
            for file in meta.thanos.iter().flat_map(|t| &t.files) {
                let there = view.objects[id].objects.get(&file.rel_path).map(|o| o.size);
                if there != Some(file.size_bytes) {
                    missing = Some(&file.rel_path);
                }
            }
            if let Some(missing) = missing {
                // the one exception: a meta.json that arrived days late, after its block was replaced and deleted
                let held = view.metas.values().any(|other| {
                    other.ulid != *id && meta.compaction.sources.iter().all(|s| other.compaction.sources.contains(s))
                });
                if !held {
                    self.fail(&format!("I5: {id} is visible without {missing}"));
                }
            }
        }
        // I7: what was deleted was marked long ago
        for (id, marked) in &self.visible_before {
            if !view.metas.contains_key(id) {
                match marked {
                    Some(at) if now - at * 1000 >= 48 * HOUR => {}
                    other => self.fail(&format!("I7: {id} deleted, marked {other:?}")),
                }
            }
        }
        let marked = |id: &BlockId| view.deletion_marks.get(id).map(|m| m.deletion_time);
        self.visible_before = view.metas.keys().map(|id| (*id, marked(id))).collect();
        // I6: what readers see holds everything
        let cluster_a: BTreeSet<BlockId> = self.uploaded.keys().copied().filter(|id| self.cluster(id) == "a").collect();
        let filters =
            Filters { ignore_deletion_marks_delay_ms: Some(24 * HOUR), deduplicate: true, ..Filters::default() };
        let read = filters.apply(&view, now);
        let mut seen: BTreeMap<(i64, Unit), BlockId> = BTreeMap::new();
        let incomplete = view.metas.values().any(|m| parts(m).iter().any(|p| !view.metas.contains_key(p)));
        for (id, meta) in &read.kept {
            let Ok(units) = units(&self.bucket, *id).await else { continue };
            for unit in units {
                let before = seen.insert((meta.resolution_ms(), unit.clone()), *id);
                // I9: nothing is there twice
                if let Some(other) = before.filter(|_| !incomplete)
                    && !view.deletion_marks.contains_key(&other)
                    && !view.deletion_marks.contains_key(id)
                {
                    self.fail(&format!("I9: {unit} at {} is in {other} and {id}", meta.resolution_ms()));
                }
            }
        }
        for unit in self.all_units() {
            if !seen.contains_key(&(0, unit.clone())) && !self.is_deleted_series(&unit, &cluster_a) {
                self.fail(&format!("I6: {unit} is gone"));
            }
        }
    }

    fn cluster(&self, id: &BlockId) -> &'static str {
        self.clusters.get(id).copied().unwrap_or_default()
    }

    /// No faults any more: the bucket comes to rest.
    async fn converge(&mut self) {
        for task in self.tasks.iter_mut().filter_map(Option::take) {
            task.abort();
            let _ = task.await;
        }
        self.turns.open();
        let compactor = self.compactor(0, "last");
        let cancel = CancellationToken::new();
        let mut quiet = 0;
        for _ in 0..12 {
            // leases of the dead run out, marks come of age
            tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
            let merged = compactor.pass(Work::Compaction, &cancel).await.unwrap();
            let coarse = compactor.pass(Work::Downsampling, &cancel).await.unwrap();
            let cleaned = compactor.clean().await.unwrap();
            self.check().await;
            if merged.failed + coarse.failed + cleaned.failed > 0 {
                self.fail("I8: failures without faults");
            }
            quiet = if merged.done + coarse.done + cleaned.deleted + cleaned.marked + cleaned.partial == 0 {
                quiet + 1
            } else {
                0
            };
        }
        if quiet < 3 {
            self.fail("I8: it does not come to rest");
        }
        let view = self.view().await;
        let snapshot = compactor.sync().await.unwrap();
        if let Some((key, _)) =
            snapshot.leases.iter().find(|(_, l)| l.entry.as_ref().is_some_and(|e| e.commit.is_some()))
        {
            self.fail(&format!("I8: {key} is not finished"));
        }
        if let Some(id) = view.objects.keys().find(|id| !view.metas.contains_key(id)) {
            self.fail(&format!("I8: {id} was never cleaned up"));
        }
        if !view.deletion_marks.is_empty() {
            self.fail("I8: marked blocks are left");
        }
        // a quiet bucket stays as it is (thanos-io/thanos#2459)
        if let Some(request) = &self.request {
            assert!(snapshot.requests.requests[&request.id].done.is_some(), "request not done");
            for id in view.metas.keys() {
                let cluster = view.metas[id].thanos.as_ref().unwrap().labels["cluster"].clone();
                let left = units(&self.bucket, *id).await.unwrap();
                let old = |u: &Unit| {
                    let from = u.split(' ').next().and_then(|id| BlockId::parse(id).ok());
                    from.is_some_and(|id| id.time_ms() <= request.created_ms)
                };
                let bad = cluster == "a" && left.iter().any(|u| u.ends_with(" y") && old(u));
                assert!(!bad, "{id} holds deleted series");
            }
        }
        let raw: BTreeSet<Unit> = {
            let mut all = BTreeSet::new();
            for meta in view.metas.values().filter(|m| m.resolution_ms() == 0) {
                all.extend(units(&self.bucket, meta.ulid).await.unwrap());
            }
            all
        };
        for meta in view.metas.values().filter(|m| m.resolution_ms() == 0 && m.compaction.level == 1) {
            if self.plan.split {
                break;
            }
            // the first 8 h were merged; the rest may wait for newer blocks
            if meta.max_time <= BASE + 8 * HOUR {
                self.fail(&format!("I8: {} was not merged", meta.ulid));
            }
        }
        let cluster_a: BTreeSet<BlockId> = self.uploaded.keys().copied().filter(|id| self.cluster(id) == "a").collect();
        let lost: Vec<_> = self.all_units().into_iter().filter(|u| !raw.contains(u)).collect();
        if let Some(unit) = lost.iter().find(|u| !self.is_deleted_series(u, &cluster_a)) {
            self.fail(&format!("{unit} is gone in the end"));
        }
    }
}

async fn run(plan: Plan) -> Vec<u64> {
    let mut world = World::new(plan).await;
    let steps = if plan.pauses || plan.kills { 4000 } else { 2500 };
    for _ in 0..steps {
        world.step(true).await;
    }
    world.converge().await;
    let text = world.metrics.encode();
    let sum = |name: &str| {
        let lines = text.lines().filter(|l| l.starts_with(name));
        lines.filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    };
    COUNTED.iter().map(|name| sum(name)).collect()
}

/// What must have taken place for a test to have shown anything.
const COUNTED: [&str; 6] = [
    "thanos_compact_group_compactions_total",
    "thanos_compact_downsample_total",
    "aion_compact_recovered_total",
    "aion_compact_leases_lost_total",
    "thanos_compact_blocks_cleaned_total",
    "aion_compact_rewrites_total",
];

fn seeds() -> u64 {
    std::env::var("AION_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6)
}

/// Runs all seeds; `least` is what must have taken place in all together, by [`COUNTED`].
fn all(name: u64, least: [u64; 6], plan: impl Fn(u64) -> Plan) {
    let mut counts = vec![0; COUNTED.len()];
    for seed in 0..seeds() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let counted = runtime.block_on(run(plan(name * 1_000_000 + seed)));
        counts.iter_mut().zip(counted).for_each(|(sum, n)| *sum += n);
    }
    println!("{:?}", COUNTED.iter().zip(&counts).collect::<Vec<_>>());
    for ((name, count), least) in COUNTED.iter().zip(&counts).zip(least) {
        assert!(*count >= least, "{name}: {count}, at least {least} expected");
    }
}

fn plan(seed: u64) -> Plan {
    Plan { seed, compactors: 2, kills: false, pauses: false, split: false, delete_series: false }
}

#[test]
fn one_alone() {
    all(1, [0; 6], |seed| Plan { compactors: 1, ..plan(seed) });
}

#[test]
fn three_in_any_order() {
    all(2, [0; 6], |seed| Plan { compactors: 3, ..plan(seed) });
}

#[test]
fn two_that_die() {
    all(3, [0; 6], |seed| Plan { kills: true, ..plan(seed) });
}

#[test]
fn three_that_sleep() {
    all(4, [0; 6], |seed| Plan { compactors: 3, pauses: true, ..plan(seed) });
}

#[test]
fn three_that_sleep_and_die_and_split_and_delete() {
    all(5, [0; 6], |seed| Plan {
        compactors: 3,
        kills: true,
        pauses: true,
        split: seed % 2 == 0,
        delete_series: seed % 3 != 0,
        ..plan(seed)
    });
}
