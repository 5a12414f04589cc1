//! A database, and what it has acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use labels::{Labels, Matcher};
use model::{Clock, Exemplar, FakeClock, TimeRange};
use storage::append::{AppendOptions, Appendable, Column, Exemplars, Floats, Histograms, SeriesRef, Visible};
use storage::{Ctx, TsdbAdmin};
use telemetry::Metrics;
use tempfile::TempDir;
use testkit::copy_dir;

use super::super::super::admin::Admin;
use super::super::super::options::TsdbOptions;
use super::super::super::tsdb::{CHUNKS_DIR, Tsdb};
use super::damage::{Damage, remove_snapshots, saved};
use super::disk::Filling;
use super::given::Given;
use super::random::Random;
use super::read::{Data, data, difference, exemplars};
use super::samples::{SERIES, Sample, labels, sample};
use crate::head::{Head, HeadParts};
use crate::journal::LogJournal;
use crate::mapped::{MappedChunks, MappedOptions};
use crate::replay::{Inputs, Replay, Replayed};

const TICK_MS: i64 = 10_000;
/// A multiple of the blocks' length.
const START: i64 = 1_700_006_400_000;
const BLOCK_MS: i64 = 20 * 60_000;

pub(super) struct World {
    seed: u64,
    random: Random,
    given: Given,
    disk: Filling,
    dir: TempDir,
    tsdb: Arc<Tsdb>,
    tick: u64,
    /// What was acknowledged.
    pub(super) model: Data,
    /// What was not, and may be there all the same.
    doubtful: Data,
    deleted: Data,
    deletes: bool,
    /// Times at which nothing late comes any more.
    deleted_ms: Vec<(i64, i64)>,
    older: Option<Vec<u8>>,
    pub(super) starts: usize,
    pub(super) used: usize,
    done: Vec<String>,
}

/// What a start found.
struct Found {
    data: Data,
    hints: Data,
    exemplars: String,
    series: usize,
    stale: usize,
}

fn options(random: &mut Random, disk: &Filling) -> TsdbOptions {
    let mut options = TsdbOptions { block_ms: BLOCK_MS, block_ms_max: 9 * BLOCK_MS, ..TsdbOptions::default() };
    options.retention.time_ms = 0;
    options.unsaved_bytes = [1, 5_000, 50_000][random.below(3)];
    options.replay_threads = 1 + random.below(3);
    options.memory_snapshot = random.one_in(4);
    options.overlapping_compaction = !random.one_in(4);
    options.head.chunk_range_ms = BLOCK_MS;
    options.head.out_of_order_window_ms = [0, BLOCK_MS / 2, 3 * BLOCK_MS][random.below(3)];
    options.head.out_of_order_samples_max = 5;
    options.head.exemplars_max = 40;
    options.head.xor2 = random.one_in(4);
    options.head.histogram_starts = random.one_in(4);
    options.head.metadata_records = random.one_in(2);
    options.journal.sync_interval = Duration::from_secs(60);
    options.journal.wal.segment_bytes = 64 << 10;
    options.journal.wal.disk = Arc::new(disk.clone());
    options
}

impl World {
    pub(super) async fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let (disk, clock) = (Filling::new(), Arc::new(FakeClock::at(START)));
        let options = options(&mut random, &disk);
        let deletes = random.one_in(2);
        let dir = tempfile::tempdir().unwrap();
        let given = Given::new(clock, options);
        let tsdb = given.open(dir.path()).await;
        let (model, doubtful, deleted) = Default::default();
        Self {
            seed,
            random,
            given,
            disk,
            dir,
            tsdb,
            tick: 0,
            model,
            doubtful,
            deleted,
            deletes,
            deleted_ms: Vec::new(),
            older: None,
            starts: 0,
            used: 0,
            done: Vec::new(),
        }
    }

    fn fail(&self, what: &str) -> ! {
        let last = self.done.len().saturating_sub(40);
        panic!("AION_SIM_SEED={}: {what}\nthe last steps: {}", self.seed, self.done[last..].join(", "));
    }

    pub(super) async fn step(&mut self) {
        match self.random.below(20) {
            0..7 => {
                let scrapes = 1 + self.random.below(40);
                self.note(format!("{scrapes} scrapes"));
                for _ in 0..scrapes {
                    self.scrape().await;
                }
            }
            7 => self.late().await,
            8 => {
                self.note("map");
                self.tsdb.map_full_chunks().await.unwrap();
            }
            9..13 => self.save().await,
            13 | 14 => {
                let share = [0.0, 0.0, 0.1][self.random.below(3)];
                self.note(format!("maintain {share}"));
                self.tsdb.set_stale_series_threshold(share);
                let maintained = self.tsdb.maintain().await;
                if !self.disk.is_full() {
                    maintained.unwrap_or_else(|e| self.fail(&e.to_string()));
                }
            }
            15 if self.deletes => self.delete().await,
            15 => {}
            16 => {
                let bytes = [self.random.below(3000), self.random.below(60_000)][self.random.below(2)] as u64;
                self.note(format!("disk full in {bytes}"));
                self.disk.set(bytes);
            }
            _ => {
                self.disk.set(u64::MAX);
                self.restart().await;
            }
        }
    }

    fn note(&mut self, what: impl Into<String>) {
        self.done.push(what.into());
    }

    pub(super) async fn end(&mut self) {
        self.disk.set(u64::MAX);
        self.restart().await;
        self.tsdb.close().await.unwrap();
    }

    fn now_ms(&self) -> i64 {
        START + self.tick as i64 * TICK_MS
    }

    async fn scrape(&mut self) {
        self.tick += 1;
        self.given.clock.set(self.now_ms());
        let mut rows = Vec::new();
        for n in 0..SERIES {
            if let Some(sample) = sample(n, self.tick, &mut self.random) {
                rows.push((n, self.now_ms(), sample));
            }
        }
        self.append(&rows).await;
    }

    /// Samples that come late, some of them too late.
    async fn late(&mut self) {
        self.note("late");
        let mut rows = Vec::new();
        for n in [1, 5, 6, 7, 10, 13] {
            let back_ms = self.random.below(4 * BLOCK_MS as usize) as i64;
            let at_ms = self.now_ms() - back_ms / TICK_MS * TICK_MS - 1 - self.random.below(9_000) as i64;
            let key = (Labels::from_pairs(labels(n)).to_string(), at_ms);
            let is_free = !self.model.contains_key(&key) && !self.doubtful.contains_key(&key);
            if is_free
                && !self.deleted_ms.iter().any(|(min, max)| (*min..=*max).contains(&at_ms))
                && let Some(sample) = sample(n, self.tick, &mut self.random)
            {
                rows.push((n, at_ms, sample));
            }
        }
        self.append(&rows).await;
    }

    async fn append(&mut self, rows: &[(usize, i64, Sample)]) {
        let pairs: Vec<_> = (0..SERIES).map(labels).collect();
        let of = |n: usize| pairs[n].iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>();
        let wanted: Vec<_> = rows.iter().map(|(n, ..)| of(*n)).collect();
        let wanted: Vec<&[(&str, &str)]> = wanted.iter().map(Vec::as_slice).collect();
        let mut appender = self.tsdb.appender(&Ctx::background(), AppendOptions::default());
        let refs: Vec<SeriesRef> = appender.resolve(&wanted).unwrap().into_iter().map(|found| found.unwrap()).collect();
        let (mut floats, mut values, mut of_histograms, mut histograms) = (vec![], vec![], vec![], vec![]);
        for (row, (_, _, sample)) in rows.iter().enumerate() {
            match sample {
                Sample::Float(value) => (floats.push(row), values.push(*value)).1,
                Sample::Histogram(value) => (of_histograms.push(row), histograms.push(value.clone())).1,
            }
        }
        let columns = |of: &[usize]| {
            let series: Vec<_> = of.iter().map(|row| refs[*row]).collect();
            let times: Vec<_> = of.iter().map(|row| rows[*row].1).collect();
            let starts: Vec<_> = times.iter().map(|t| t - 5_000 - t % 7).collect();
            (series, times, starts)
        };
        let mut refused = Vec::new();
        let (series, times, starts) = columns(&floats);
        let starts_ms = if self.given.options.head.xor2 { &starts[..] } else { &[] };
        let batch = Floats { series: &series, times_ms: &times, values: &values, starts_ms };
        refused.extend(appender.floats(batch).unwrap().into_iter().map(|refused| floats[refused.row]));
        let (series, times, starts) = columns(&of_histograms);
        let starts_ms = if self.given.options.head.histogram_starts { &starts[..] } else { &[] };
        let batch = Histograms { series: &series, times_ms: &times, values: &histograms, starts_ms };
        refused.extend(appender.histograms(batch).unwrap().into_iter().map(|refused| of_histograms[refused.row]));
        if self.random.one_in(3) && !refs.is_empty() {
            let at = self.random.below(refs.len());
            let labels = Labels::from_pairs([("trace", self.tick.to_string())]);
            let exemplar = Exemplar { labels, value: 1.0, timestamp_ms: rows[at].1 };
            appender.exemplars(Exemplars { series: &[refs[at]], exemplars: &[exemplar] }).unwrap();
        }
        let committed = appender.commit().await;
        if let Ok(committed) = &committed {
            for (column, why) in &committed.refused {
                match column {
                    Column::Floats => refused.push(floats[why.row]),
                    Column::Histograms => refused.push(of_histograms[why.row]),
                    Column::Exemplars => {}
                }
            }
        }
        let into = match committed {
            Ok(_) => &mut self.model,
            Err(e) if e.visible == Visible::Nothing => return,
            Err(_) => &mut self.doubtful,
        };
        for (_, (n, at_ms, sample)) in rows.iter().enumerate().filter(|(row, _)| !refused.contains(row)) {
            into.insert((Labels::from_pairs(labels(*n)).to_string(), *at_ms), sample.shown());
        }
    }

    /// Chooses a place and saves, with more samples between at times.
    async fn save(&mut self) {
        let between = self.random.one_in(3);
        self.note(if between { "save, with scrapes between" } else { "save" });
        let keeps = self.random.one_in(4);
        for part in 0..2 {
            if let Err(error) = self.tsdb.save_open_chunks().await
                && !self.disk.is_full()
            {
                self.fail(&format!("not saved: {error}"));
            }
            if between && part == 0 {
                for _ in 0..self.random.below(30) {
                    self.scrape().await;
                }
                if self.random.one_in(2) {
                    self.tsdb.map_full_chunks().await.unwrap();
                }
            }
        }
        if keeps && let Ok(bytes) = std::fs::read(saved(self.dir.path())) {
            self.older = Some(bytes);
        }
    }

    async fn delete(&mut self) {
        let from = self.now_ms() - self.random.below(5 * BLOCK_MS as usize) as i64;
        let range = TimeRange::new(from, (from + self.random.below(BLOCK_MS as usize) as i64).min(self.now_ms()));
        let name = ["m0", "m1", "m2"][self.random.below(3)];
        self.note(format!("delete {name}"));
        let selectors = vec![vec![Matcher::equal("__name__", name)]];
        let ended = Admin(self.tsdb.clone()).delete_series(&Ctx::background(), selectors, range).await;
        if self.disk.is_full() && ended.is_err() {
            // What of it is deleted is not known.
            return self.doubt(name, range);
        }
        ended.unwrap();
        self.deleted_ms.push((range.min, range.max));
        let is_meant = |(labels, t): &(String, i64)| labels.contains(&format!("\"{name}\"")) && range.contains(*t);
        for gone in [&mut self.model, &mut self.doubtful] {
            let keys: Vec<_> = gone.keys().filter(|key| is_meant(key)).cloned().collect();
            for key in keys {
                let value = gone.remove(&key).unwrap();
                self.deleted.insert(key, value);
            }
        }
        if self.random.one_in(3) {
            let cleaned = Admin(self.tsdb.clone()).clean_tombstones(&Ctx::background()).await;
            cleaned.unwrap();
        }
    }

    fn doubt(&mut self, name: &str, range: TimeRange) {
        let is_meant = |(labels, t): &(String, i64)| labels.contains(&format!("\"{name}\"")) && range.contains(*t);
        let keys: Vec<_> = self.model.keys().filter(|key| is_meant(key)).cloned().collect();
        for key in keys {
            let value = self.model.remove(&key).unwrap();
            self.doubtful.insert(key, value);
        }
        self.deleted_ms.push((range.min, range.max));
    }

    /// Kills the database, or closes it, damages its files, and starts it again: with its saved open chunks and without them.
    async fn restart(&mut self) {
        let close = self.random.one_in(3);
        let live = found(&self.tsdb).await;
        if let Some(difference) = difference(&self.named(&live.data), &self.model) {
            self.fail(&format!("before a start: {difference}"));
        }
        if close {
            self.tsdb.close().await.unwrap();
        }
        let damage = Damage::any(&mut self.random);
        let [whole, plain, tried, logged] = [(); 4].map(|()| tempfile::tempdir().unwrap());
        copy_dir(self.dir.path(), whole.path());
        self.tsdb.close().await.unwrap();
        damage.inflict(whole.path(), self.older.as_deref(), &mut self.random);
        copy_dir(whole.path(), plain.path());
        copy_dir(whole.path(), tried.path());
        copy_dir(whole.path(), logged.path());
        _ = std::fs::remove_file(saved(logged.path()));
        remove_snapshots(logged.path());
        _ = std::fs::remove_file(saved(plain.path()));
        let early = self.random.one_in(3);
        let how = if close { "close" } else { "kill" };
        self.note(format!("{how} {damage:?}{}", if early { ", with a scrape before the replay" } else { "" }));
        let without = found(&self.given.open(plain.path()).await).await;
        let replayed = tally(tried.path(), &self.given).await;
        self.starts += 1;
        self.used += usize::from(replayed.saved_chunks > 0);
        self.dir = whole;
        if early {
            let begin;
            (self.tsdb, begin) = self.given.open_early(self.dir.path()).await;
            self.scrape().await;
            drop(begin);
            self.tsdb.replayed().await;
        } else {
            self.tsdb = self.given.open(self.dir.path()).await;
        }
        let with = found(&self.tsdb).await;
        self.compare((damage, early), &with, &without);
        let logged =
            if damage.loses() { found(&self.given.open(logged.path()).await).await.data } else { without.data };
        if damage.loses() {
            // What came before the replay is there for ever, too.
            let now_ms = self.now_ms();
            self.model.retain(|(_, at_ms), _| early && *at_ms == now_ms);
            self.model.extend(logged.clone());
            self.deleted.clear();
        }
        // What the log has is there for ever. What it lacks is there as long as it is saved, or for one start from a snapshot.
        self.doubtful.clear();
        for (key, value) in with.data {
            if logged.contains_key(&key) {
                self.model.entry(key).or_insert(value);
            } else if !self.model.contains_key(&key) {
                self.doubtful.insert(key, value);
            }
        }
    }

    /// Without what is doubtful.
    fn named(&self, data: &Data) -> Data {
        let is_doubtful = |key, value| !self.model.contains_key(key) && self.doubtful.get(key) == Some(value);
        data.iter().filter(|(key, value)| !is_doubtful(key, *value)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn compare(&self, (damage, early): (Damage, bool), with: &Found, without: &Found) {
        if damage.loses() {
            let lost: Data = without
                .data
                .iter()
                .filter(|(key, value)| with.data.get(*key) != Some(value))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            if !lost.is_empty() {
                self.fail(&format!("{} lost by saved open chunks: {:?}", lost.len(), lost.iter().next()));
            }
            let known = |key: &(String, i64)| {
                [&self.model, &self.doubtful, &self.deleted].into_iter().find_map(|all| all.get(key))
            };
            if let Some(invented) = with.data.iter().find(|(key, value)| known(key) != Some(value)) {
                self.fail(&format!("invented: {invented:?}"));
            }
            return;
        }
        let mut right = self.model.clone();
        if early {
            right.retain(|(_, at_ms), _| *at_ms < self.now_ms());
        }
        if let Some(difference) = difference(&self.named(&without.data), &right) {
            self.fail(&format!("without saved open chunks: {difference}"));
        }
        if let Some(difference) = difference(&self.named(&with.data), &self.model) {
            self.fail(&format!("with saved open chunks: {difference}"));
        }
        if early {
            // Only one of them has what came meanwhile.
            return;
        }
        let mut hints = with.hints.clone();
        hints.retain(|key, _| without.hints.contains_key(key));
        if let Some(difference) = difference(&hints, &without.hints) {
            self.fail(&format!("resets: {difference}"));
        }
        if with.exemplars != without.exemplars {
            self.fail("other exemplars");
        }
        if (with.series, with.stale) != (without.series, without.stale) {
            self.fail(&format!(
                "{:?} series, stale ones: {:?}",
                (with.series, without.series),
                (with.stale, without.stale)
            ));
        }
    }
}

async fn found(tsdb: &Arc<Tsdb>) -> Found {
    let (data, hints) = data(tsdb).await;
    let exemplars = exemplars(tsdb).await;
    Found { data, hints, exemplars, series: tsdb.head.series(), stale: tsdb.head.stale_series() }
}

/// What a start in `dir` does.
async fn tally(dir: &Path, given: &Given) -> Replayed {
    let Given { options, clock, .. } = given;
    let metrics = Metrics::new();
    let blocks = super::super::super::blocks::Blocks::open(dir, options.clone(), given.deps()).unwrap();
    let min_valid_ms = blocks.views.current().head_begins_ms().unwrap_or(i64::MIN);
    let journal = Arc::new(LogJournal::open(dir, options.journal.clone(), &metrics).unwrap());
    let chunks = Arc::new(MappedChunks::open(&dir.join(CHUNKS_DIR), MappedOptions::default()).unwrap());
    let (clock, before) = (clock.clone() as Arc<dyn Clock>, journal.before());
    let parts = HeadParts { clock, metrics, journal: journal.clone(), chunks: chunks.clone(), seed: 7 };
    let head = Head::new(parts, options.head.clone());
    head.set_min_valid_time(min_valid_ms);
    let inputs = Inputs {
        data: dir,
        head: &head,
        chunks,
        last_wal: before.wal,
        last_wbl: before.wbl,
        unhidden: before.unhidden,
        min_valid_ms,
        threads: 1,
    };
    let replay = Replay::prepare(inputs).unwrap();
    let replayed = tokio::task::spawn_blocking(move || replay.run(&mut |_| {}, &|| false)).await.unwrap().unwrap();
    journal.close();
    replayed
}
