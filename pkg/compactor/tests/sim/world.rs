//! Compactors over one bucket in simulated time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use block::meta::{Compaction, ThanosMeta};
use block::{BlockId, BlockMeta, META_FILE};
use bucket::deletions::{self, Request};
use bucket::marks::CLEANUP_MARK;
use bucket::marks::DELETION_MARK;
use bucket::{FetchOptions, Filters};
use labels::Matcher;
use model::{Clock, TimeRange};
use objstore::{Bucket, ConditionalCreate, Settings as BucketSettings};
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use telemetry::Metrics;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::check::{Checker, Wanted};
use super::engine::{FakeEngine, Unit, files};
use super::gate::{Gate, Process, Turns};
use super::script::{Script, failpoints};
use super::steps::Strike;
use super::store::{Port, SimClock, Store};
use super::{BASE, DAY, HOUR};
use crate::compactor::{Compactor, Deps};
use crate::engine::Depth;
use crate::planning::Work;
use crate::policy::Policy;
use crate::settings::Settings;

const SERIES: [&str; 3] = ["x", "y", "z"];
/// Raw data is kept for so long, ms, and series `z` for less; downsampled data is kept for ever.
const RAW_MS: i64 = 10 * DAY;
const RAW_Z_MS: i64 = 8 * DAY;

/// What the world is like and what befalls it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) compactors: usize,
    pub(super) kills: bool,
    pub(super) pauses: bool,
    /// Blocks are split by size.
    pub(super) split: bool,
    /// Somebody asked to delete series.
    pub(super) delete_series: bool,
    pub(super) retention: bool,
    /// The store fails, lies about what it did, and shows old listings.
    pub(super) faults: bool,
    /// The store does not honour conditional creates.
    pub(super) unconditional: bool,
    /// Clocks jump by two days and an hour.
    pub(super) jumps: bool,
    /// A few blocks that meet all kinds of work, instead of a stream of them.
    pub(super) life: bool,
}

/// One text that must be found.
#[derive(Debug, Clone)]
struct Info {
    cluster: &'static str,
    max_time: i64,
    /// The block it came in.
    id: BlockId,
}

/// What an uploader does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadStep {
    /// Whether the block is there, or being cleaned up.
    Look,
    /// All files that are not there.
    Send,
    /// Whether all are there and nobody cleans up.
    LookAgain,
    /// `meta.json`.
    Show,
    /// The same once more.
    LookLast,
}

/// A compactor's place, whoever runs there.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) process: Arc<Process>,
    pub(super) clock: SimClock,
    task: Option<JoinHandle<()>>,
}

/// See the module.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) rng: StdRng,
    /// When the uploader goes on: by itself, so that what befalls the others does not hang on it.
    pub(super) of_uploader: StdRng,
    pub(super) clock: SimClock,
    pub(super) store: Store,
    pub(super) turns: Turns,
    pub(super) slots: Vec<Slot>,
    pub(super) script: Arc<Mutex<Script>>,
    pub(super) checker: Checker,
    pub(super) metrics: Metrics,
    ids: Arc<AtomicU64>,
    uploaded: BTreeMap<Unit, Info>,
    request: Option<Request>,
    /// A partial upload.
    pub(super) partial: Option<(BlockMeta, BTreeSet<Unit>)>,
    /// What its uploader does next, once it has come back.
    pub(super) upload_at: Option<UploadStep>,
    /// It comes back right before the n-th change of this block by others, from 1, and does so many steps at once.
    pub(super) come_back: Option<(u64, u32)>,
    /// Changes of this block by others.
    pub(super) touches: u64,
    /// What befalls whoever is about to make the n-th change, from 1.
    pub(super) strike: Option<(u64, Strike)>,
    /// Changes so far, those of leases too.
    pub(super) changes: u64,
    pub(super) steps: u64,
    pub(super) next_h: i64,
    pub(super) throttled: Option<(usize, i64)>,
    pub(super) log: Vec<String>,
}

fn settings(plan: Plan) -> Settings {
    let yaml = "rules: [{name: z, match: '{s=\"z\"}', raw: 8d}]";
    let policy = if plan.retention { Policy::parse(yaml, [RAW_MS, 0, 0]).unwrap() } else { Policy::new([0; 3]) };
    Settings {
        verify: Depth::Index,
        lease_ttl: Duration::from_secs(60),
        policy,
        split: plan.split,
        filters: Filters { consistency_delay_ms: 30 * 60_000, ..Filters::default() },
        compaction_concurrency: if plan.life { 1 } else { 2 },
        ..Settings::default()
    }
}

impl World {
    pub(super) async fn new(plan: Plan) -> Self {
        let clock = SimClock::new(BASE + 100 * HOUR);
        let mut world = Self {
            plan,
            rng: StdRng::seed_from_u64(plan.seed),
            of_uploader: StdRng::seed_from_u64(plan.seed ^ 0x5eed),
            store: Store::new(clock.clone()),
            clock,
            turns: Turns::default(),
            slots: Vec::new(),
            script: Arc::default(),
            checker: Checker::default(),
            metrics: Metrics::new(),
            ids: Arc::new(AtomicU64::new(1)),
            uploaded: BTreeMap::new(),
            request: None,
            partial: None,
            upload_at: None,
            come_back: None,
            touches: 0,
            strike: None,
            changes: 0,
            steps: 0,
            next_h: 12,
            throttled: None,
            log: Vec::new(),
        };
        if plan.life {
            world.fill_with_all_kinds()
        } else {
            world.fill()
        }
        world.break_off();
        if plan.delete_series {
            let selector = vec![Matcher::equal("s", "y"), Matcher::equal("cluster", world.deleted_cluster())];
            let now_ms = world.clock.now_ms();
            let request = Request::new(BlockId::new(now_ms as u64, 7), now_ms, &[selector], TimeRange::ALL, "");
            deletions::create(&world.bucket(None), &request).await.unwrap();
            world.request = Some(request);
        }
        for who in 0..plan.compactors {
            let clock = world.clock.another();
            world.slots.push(Slot { process: Process::new(who), clock, task: None });
            world.start(who);
        }
        world
    }

    fn deleted_cluster(&self) -> &'static str {
        if self.plan.life { "b" } else { "a" }
    }

    /// Two streams of blocks, one with an overlap.
    fn fill(&mut self) {
        for cluster in ["a", "b"] {
            for at in 0..6 {
                self.upload(cluster, at * 2, at * 2 + 2);
            }
        }
        self.upload("a", 3, 5);
    }

    /// Blocks to merge, an overlap, one to be rewritten, two whose data another has.
    fn fill_with_all_kinds(&mut self) {
        for (cluster, from_h, to_h) in
            [("a", 0, 2), ("a", 2, 4), ("a", 3, 5), ("a", 4, 6), ("a", 6, 8), ("a", 8, 10), ("b", 0, 2)]
        {
            self.upload(cluster, from_h, to_h);
        }
        let halves = [self.upload("c", 10, 12), self.upload("c", 12, 14)];
        let (mut meta, mut units) = self.block("c", 10, 14);
        meta.compaction.level = 2;
        meta.compaction.sources = halves.to_vec();
        units.clear();
        units.extend(self.uploaded.iter().filter(|(_, i)| halves.contains(&i.id)).map(|(u, _)| u.clone()));
        let now_ms = self.clock.now_ms();
        self.write(&mut meta, &units, now_ms, true);
        // the meta.json of one that was replaced and deleted, by somebody who slept for days
        let (mut late, _) = self.block("c", 10, 12);
        late.compaction.sources = halves[..1].to_vec();
        let _ = files(&mut late, &units);
        self.store.state().put(&format!("{}/{META_FILE}", late.ulid), late.to_json(), now_ms);
    }

    /// An upload that nobody has written to for two and a half days.
    fn break_off(&mut self) {
        let (mut meta, units) = self.block("b", 20, 22);
        let then_ms = self.clock.now_ms() - 60 * HOUR;
        self.write(&mut meta, &units, then_ms, false);
        self.partial = Some((meta, units));
    }

    fn block(&self, cluster: &'static str, from_h: i64, to_h: i64) -> (BlockMeta, BTreeSet<Unit>) {
        let id = BlockId::new((BASE + to_h * HOUR) as u64, u128::from(self.ids.fetch_add(1, Ordering::Relaxed)));
        let meta = BlockMeta {
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
        (meta, SERIES.iter().map(|s| format!("{id} {s}")).collect())
    }

    fn write(&mut self, meta: &mut BlockMeta, units: &BTreeSet<Unit>, stamp_ms: i64, whole: bool) {
        let files = files(meta, units);
        let mut state = self.store.state();
        for (rel_path, body) in files {
            state.put(&format!("{}/{rel_path}", meta.ulid), body, stamp_ms);
        }
        if whole {
            state.put(&format!("{}/{META_FILE}", meta.ulid), meta.to_json(), stamp_ms);
        }
        drop(state);
        self.checker.uploads.insert(meta.ulid);
    }

    fn acknowledge(&mut self, cluster: &'static str, meta: &BlockMeta, units: BTreeSet<Unit>) {
        let info = Info { cluster, max_time: meta.max_time, id: meta.ulid };
        self.uploaded.extend(units.into_iter().map(|u| (u, info.clone())));
    }

    pub(super) fn upload(&mut self, cluster: &'static str, from_h: i64, to_h: i64) -> BlockId {
        let (mut meta, units) = self.block(cluster, from_h, to_h);
        let now_ms = self.clock.now_ms();
        self.write(&mut meta, &units, now_ms, true);
        self.acknowledge(cluster, &meta, units);
        meta.ulid
    }

    /// Whoever broke an upload off comes back.
    pub(super) fn resume(&mut self) {
        let Some((meta, _)) = &self.partial else { return };
        self.log.push(format!("{} the upload of {} goes on", self.steps, meta.ulid));
        // what is taken away from now on its uploader has to notice
        self.checker.uploads.remove(&meta.ulid);
        self.checker.unfinished = Some(meta.ulid);
        self.upload_at = Some(UploadStep::Look);
    }

    /// The next step of the uploader that has come back, as `bucket::upload` takes them.
    pub(super) fn upload_step(&mut self) {
        let (Some(at), Some((meta, units))) = (self.upload_at, &self.partial) else { return };
        let (mut meta, units, now_ms) = (meta.clone(), units.clone(), self.clock.now_ms());
        let (id, files) = (meta.ulid, files(&mut meta, &units));
        let path = |file: &str| format!("{id}/{file}");
        let mut state = self.store.state();
        let is_there = |state: &super::store::State, file: &str| state.objects.contains_key(&path(file));
        let lacks = |state: &super::store::State| files.iter().any(|(file, _)| !is_there(state, file));
        let send = |state: &mut super::store::State| {
            for (file, body) in files.iter().filter(|(file, _)| !is_there(state, file)).cloned().collect::<Vec<_>>() {
                state.put(&path(file), body, now_ms);
            }
        };
        let is_marked = is_there(&state, CLEANUP_MARK);
        let (is_visible, is_doomed) = (is_there(&state, META_FILE), is_there(&state, DELETION_MARK));
        let (mut is_done, mut is_hidden) = (false, false);
        let next = match at {
            UploadStep::Look if is_visible => UploadStep::LookLast,
            UploadStep::Look if is_marked || is_doomed => UploadStep::Look,
            UploadStep::Look => UploadStep::Send,
            UploadStep::Send => {
                send(&mut state);
                UploadStep::LookAgain
            }
            UploadStep::LookAgain if is_marked || lacks(&state) => UploadStep::Look,
            UploadStep::LookAgain => UploadStep::Show,
            UploadStep::Show => {
                state.put(&path(META_FILE), meta.to_json(), now_ms);
                UploadStep::LookLast
            }
            UploadStep::LookLast if is_marked => {
                state.delete(&path(META_FILE), now_ms);
                is_hidden = true;
                UploadStep::Look
            }
            UploadStep::LookLast if is_doomed => {
                is_done = true;
                UploadStep::Look
            }
            UploadStep::LookLast if !is_visible => UploadStep::Look,
            UploadStep::LookLast if lacks(&state) => {
                send(&mut state);
                UploadStep::LookLast
            }
            UploadStep::LookLast => {
                is_done = true;
                UploadStep::Look
            }
        };
        drop(state);
        self.log.push(format!("{} the uploader: {at:?} then {next:?}, done {is_done}", self.steps));
        self.upload_at = Some(next);
        if is_hidden {
            self.checker.forget(id);
        }
        if is_done {
            (self.upload_at, self.partial) = (None, None);
            self.checker.unfinished = None;
            self.acknowledge("b", &meta, units);
        }
    }

    fn conditional(&self) -> ConditionalCreate {
        if self.plan.unconditional { ConditionalCreate::Ignored } else { ConditionalCreate::Honoured }
    }

    /// The bucket for a process, or as it is.
    fn bucket(&self, process: Option<&Arc<Process>>) -> Bucket {
        let listing = Arc::<Mutex<_>>::default();
        let port = Port { store: self.store.clone(), conditional: self.conditional(), listing: listing.clone() };
        let bucket = Bucket::new("sim", Arc::new(port), BucketSettings::default());
        match process {
            Some(process) => bucket.decorated(Gate { turns: self.turns.clone(), process: process.clone(), listing }),
            None => bucket,
        }
    }

    pub(super) fn compactor(&self, process: &Arc<Process>, clock: SimClock, name: &str) -> Compactor {
        let bucket = self.bucket(Some(process));
        let failpoints = failpoints(&self.script, process, &self.clock);
        let (ids, of_ids) = (self.ids.clone(), self.clock.clone());
        let deps = Deps {
            engine: Arc::new(FakeEngine {
                bucket: bucket.clone(),
                units_max: if self.plan.split { 8 } else { usize::MAX },
                failpoints: failpoints.clone(),
                process: process.clone(),
            }),
            bucket,
            conditional: self.conditional(),
            store_clock: None,
            clock: Arc::new(clock),
            metrics: self.metrics.clone(),
            holder: name.to_owned(),
            next_id: Arc::new(move || {
                BlockId::new(of_ids.now_ms() as u64, u128::from(ids.fetch_add(1, Ordering::Relaxed)) << 8)
            }),
            fetch: FetchOptions::default(),
            failpoints,
        };
        Compactor::new(settings(self.plan), deps)
    }

    fn start(&mut self, who: usize) {
        let name = format!("c{who}-{}", self.ids.fetch_add(1, Ordering::Relaxed));
        self.log.push(format!("{name} starts"));
        let process = Process::new(who);
        let compactor = self.compactor(&process, self.slots[who].clock.clone(), &name);
        let rest_max = Duration::from_secs(if self.plan.life { 30 * 3600 } else { 5 * 3600 });
        let task = tokio::spawn(async move {
            let cancel = CancellationToken::new();
            let mut rest = Duration::from_secs(30);
            loop {
                let merged = compactor.pass(Work::Compaction, &cancel).await.map_or(0, |p| p.done + p.busy);
                let coarse = compactor.pass(Work::Downsampling, &cancel).await.map_or(0, |p| p.done + p.busy);
                let _ = compactor.clean().await;
                // the longer nothing happens, the longer it may take: time passes at little cost
                rest = if merged + coarse > 0 { Duration::from_secs(30) } else { (rest * 4).min(rest_max) };
                tokio::time::sleep(rest).await;
            }
        });
        let slot = &mut self.slots[who];
        slot.process = process;
        slot.task = Some(task);
    }

    /// Ends a process and starts another in its place.
    pub(super) async fn restart(&mut self, who: usize) {
        let slot = &mut self.slots[who];
        slot.process.dead.store(true, Ordering::Relaxed);
        if let Some(task) = slot.task.take() {
            task.abort();
            let _ = task.await;
        }
        self.turns.waiting.lock().retain(|w| !w.process.is_dead());
        self.log.push(format!("{} c{who} killed", self.steps));
        self.start(who);
    }

    pub(super) async fn stop_all(&mut self) {
        for task in self.slots.iter_mut().filter_map(|s| s.task.take()) {
            task.abort();
            let _ = task.await;
        }
        self.slots.iter().for_each(|s| s.clock.off_ms.store(0, Ordering::Relaxed));
        self.turns.open();
    }

    pub(super) fn fail(&mut self, what: &str) -> ! {
        let tail = self.log.len().saturating_sub(400);
        let arms = self.script.lock().arms.clone();
        let blocks = self.checker.show(&self.store);
        let strike = self.strike;
        panic!(
            "{}\n{blocks}{:?} {arms:?} {strike:?} step {}: {what}",
            self.log[tail..].join("\n"),
            self.plan,
            self.steps
        );
    }

    /// Whether a text may be gone because somebody asked for it.
    fn is_deleted(&self, unit: &str, info: &Info) -> bool {
        self.request.is_some() && unit.ends_with(" y") && info.cluster == self.deleted_cluster()
    }

    fn wanted(&self, unit: &str, info: &Info, now_ms: i64) -> Wanted {
        let age_ms = now_ms - info.max_time;
        let is_due = age_ms > RAW_MS || unit.ends_with(" z") && age_ms > RAW_Z_MS;
        match (self.is_deleted(unit, info), self.plan.retention && is_due) {
            (true, _) => Wanted::Nothing,
            (false, true) => Wanted::Coarser,
            (false, false) => Wanted::Raw,
        }
    }

    /// The invariants.
    pub(super) fn check(&mut self) {
        let (store, now_ms) = (self.store.clone(), self.clock.now_ms());
        let mut checker = std::mem::take(&mut self.checker);
        let all = |each: &mut dyn FnMut(&Unit, Wanted)| {
            self.uploaded.iter().for_each(|(unit, info)| each(unit, self.wanted(unit, info, now_ms)));
        };
        let is_deleted = |unit: &Unit| self.uploaded.get(unit).is_none_or(|info| self.is_deleted(unit, info));
        let outcome = checker.check(&store, now_ms, &all, &is_deleted);
        self.checker = checker;
        if let Err(what) = outcome {
            self.fail(&what);
        }
    }

    /// No faults any more: the bucket comes to rest.
    pub(super) async fn converge(&mut self) {
        self.stop_all().await;
        let process = Process::new(usize::MAX);
        let compactor = self.compactor(&process, self.clock.another(), "last");
        let cancel = CancellationToken::new();
        let mut quiet = 0;
        for pass in 0..20 {
            // leases of the dead run out, marks come of age
            tokio::time::sleep(Duration::from_secs(30 * 3600)).await;
            let merged = compactor.pass(Work::Compaction, &cancel).await.unwrap();
            let coarse = compactor.pass(Work::Downsampling, &cancel).await.unwrap();
            let cleaned = compactor.clean().await.unwrap();
            self.check();
            // what failed before may have left blocks alone for hours
            if pass > 0 && merged.failed + coarse.failed + cleaned.failed > 0 {
                self.fail("I8: failures without faults");
            }
            let is_quiet = merged.done + coarse.done + cleaned.deleted + cleaned.marked + cleaned.partial == 0;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 4 {
                break;
            }
        }
        if quiet < 3 {
            self.fail("I8: it does not come to rest");
        }
        let snapshot = compactor.sync().await.unwrap();
        let is_pending = |l: &crate::lease::Listed| l.entry.as_ref().is_some_and(|e| e.commit.is_some());
        if let Some((key, _)) = snapshot.leases.iter().find(|(_, l)| is_pending(l)) {
            self.fail(&format!("I8: {key} is not finished"));
        }
        if let Err(what) = self.checker.at_rest(&self.store) {
            self.fail(&what);
        }
        let blocks = self.checker.blocks(&self.store.state());
        if let Some(request) = &self.request {
            if snapshot.requests.requests[&request.id].done.is_none() {
                self.fail("I8: the request to delete is not done");
            }
            for unit in blocks.values().flat_map(|b| &b.units).flat_map(|u| &**u) {
                let info = &self.uploaded[unit];
                if self.is_deleted(unit, info) && info.id.time_ms() <= request.created_ms {
                    self.fail(&format!("{unit} was to be deleted"));
                }
            }
        }
        // marked within two passes, deleted two days later
        let late_ms = self.clock.now_ms() - RAW_MS - 6 * DAY;
        for meta in blocks.values().flat_map(|b| &b.meta).filter(|m| m.resolution_ms() == 0) {
            if self.plan.retention && meta.max_time < late_ms {
                self.fail(&format!("I8: {} is long past its retention", meta.ulid));
            }
        }
        for meta in blocks.values().flat_map(|b| &b.meta).filter(|m| m.resolution_ms() == 0 && m.compaction.level == 1)
        {
            // the first 8 h are merged; the rest may wait for newer blocks
            if !self.plan.split && !self.plan.life && meta.max_time <= BASE + 8 * HOUR {
                self.fail(&format!("I8: {} was not merged", meta.ulid));
            }
        }
    }
}
