//! Which discoverers run, for which sets, and what each has found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use model::TargetGroup;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Snapshot, TargetSet};
use crate::Update;

/// How long targets of an ended discoverer stay where the one that follows it has not looked yet.
const LEFTOVERS_STAY: Duration = Duration::from_secs(30);

/// What is known of a source: the group is empty until it could be read.
#[derive(Debug)]
struct Source {
    group: Arc<TargetGroup>,
    failure: Option<String>,
}

/// A discoverer that runs.
#[derive(Debug)]
pub(super) struct Running<C> {
    id: usize,
    config: C,
    sets: BTreeSet<String>,
    /// The sets that it is for in the configuration that is being applied.
    wanted: BTreeSet<String>,
    sources: BTreeMap<String, Source>,
    stop: CancellationToken,
    has_reported: bool,
}

impl<C> Running<C> {
    pub(super) fn new(id: usize, config: C, set: String, stop: CancellationToken) -> Self {
        let (sets, wanted) = (BTreeSet::new(), BTreeSet::from([set]));
        Self { id, config, sets, wanted, sources: BTreeMap::new(), stop, has_reported: false }
    }

    pub(super) fn first_set(&self) -> &str {
        self.sets.first().map_or("", String::as_str)
    }

    pub(super) fn take_in(&mut self, updates: Vec<Update>) {
        for update in updates {
            let name = update.group.source.clone();
            if update.is_gone() {
                self.sources.remove(&name);
            } else {
                self.sources.insert(name, Source { group: Arc::new(update.group), failure: update.failure });
            }
        }
    }

    fn groups(&self) -> impl Iterator<Item = Arc<TargetGroup>> {
        self.sources.values().map(|source| &source.group).filter(|group| !group.targets.is_empty()).cloned()
    }
}

/// Targets of discoverers that have ended, kept until those that follow them have looked.
#[derive(Debug)]
struct Leftovers {
    groups: Vec<Arc<TargetGroup>>,
    waits_for: BTreeSet<usize>,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct State<C> {
    sets: BTreeSet<String>,
    running: Vec<Running<C>>,
    /// By set; what no discoverer could be made of.
    failed: Vec<(String, String)>,
    leftovers: BTreeMap<String, Leftovers>,
    ids: usize,
}

impl<C> Default for State<C> {
    fn default() -> Self {
        Self { sets: BTreeSet::new(), running: Vec::new(), failed: Vec::new(), leftovers: BTreeMap::new(), ids: 0 }
    }
}

impl<C: PartialEq> State<C> {
    /// Begins to apply a configuration of these sets.
    pub(super) fn begin(&mut self, sets: impl Iterator<Item = String>) {
        self.sets = sets.collect();
        self.failed.clear();
        self.running.iter_mut().for_each(|running| running.wanted.clear());
    }

    /// Whether a discoverer of this configuration runs; it is now for this set, too.
    pub(super) fn share(&mut self, set: &str, config: &C) -> bool {
        let found = self.running.iter_mut().find(|running| running.config == *config);
        found.map(|running| running.wanted.insert(set.to_owned())).is_some()
    }

    pub(super) fn next_id(&mut self) -> usize {
        self.ids += 1;
        self.ids
    }

    pub(super) fn add(&mut self, running: Running<C>) {
        self.running.push(running);
    }

    pub(super) fn failed(&mut self, set: &str, why: String) {
        self.failed.push((set.to_owned(), why));
    }

    /// Ends what is not wanted any more.
    pub(super) fn commit(&mut self, now: Instant) {
        let mut left: BTreeMap<String, Vec<Arc<TargetGroup>>> = BTreeMap::new();
        let mut waiting: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for running in &mut self.running {
            for set in running.sets.difference(&running.wanted) {
                left.entry(set.clone()).or_default().extend(running.groups());
            }
            for set in running.wanted.iter().filter(|_| !running.has_reported) {
                waiting.entry(set.clone()).or_default().insert(running.id);
            }
            running.sets = std::mem::take(&mut running.wanted);
            if running.sets.is_empty() {
                running.stop.cancel();
            }
        }
        self.running.retain(|running| !running.sets.is_empty());
        // What is still left of the time before stays with what is left now.
        for (set, leftovers) in std::mem::take(&mut self.leftovers) {
            left.entry(set).or_default().extend(leftovers.groups);
        }
        let until = now + LEFTOVERS_STAY;
        self.leftovers = left
            .into_iter()
            .filter(|(_, groups)| !groups.is_empty())
            .filter_map(|(set, groups)| {
                let waits_for = waiting.remove(&set)?;
                Some((set, Leftovers { groups, waits_for, until }))
            })
            .collect();
    }

    pub(super) fn running(&mut self, id: usize) -> Option<&mut Running<C>> {
        self.running.iter_mut().find(|running| running.id == id)
    }

    /// The discoverer of this number has looked.
    pub(super) fn reported(&mut self, id: usize) {
        if let Some(running) = self.running(id) {
            running.has_reported = true;
        }
        self.leftovers.retain(|_, leftovers| {
            leftovers.waits_for.remove(&id);
            !leftovers.waits_for.is_empty()
        });
    }

    /// When the first leftovers are to go.
    pub(super) fn leftovers_end(&self) -> Option<Instant> {
        self.leftovers.values().map(|leftovers| leftovers.until).min()
    }

    pub(super) fn end_leftovers(&mut self, now: Instant) {
        self.leftovers.retain(|_, leftovers| leftovers.until > now);
    }

    pub(super) fn stop_all(&self) {
        self.running.iter().for_each(|running| running.stop.cancel());
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut now: Snapshot = self.sets.iter().map(|set| (set.clone(), TargetSet::default())).collect();
        for running in &self.running {
            for set in &running.sets {
                let Some(set) = now.get_mut(set) else { continue };
                set.groups.extend(running.groups());
                let failures =
                    running.sources.iter().filter_map(|(name, source)| Some((name, source.failure.as_ref()?)));
                set.failures.extend(failures.map(|(name, why)| (name.clone(), why.clone())));
            }
        }
        for (set, leftovers) in &self.leftovers {
            if let Some(set) = now.get_mut(set) {
                set.groups.extend(leftovers.groups.iter().cloned());
            }
        }
        for (set, why) in &self.failed {
            if let Some(set) = now.get_mut(set) {
                set.failures.push((String::new(), why.clone()));
            }
        }
        now
    }
}
