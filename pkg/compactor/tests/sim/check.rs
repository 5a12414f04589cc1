//! What must hold at every moment, and in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use block::{BlockId, BlockMeta, META_FILE};
use bucket::Filters;
use bucket::View;
use bucket::marks::CLEANUP_MARK;
use bucket::marks::{DELETION_MARK, DeletionMark, NO_COMPACT_MARK};

use super::HOUR;
use super::engine::{DATA, Unit, units};
use super::store::{State, Store};
use crate::output::{parts, sources};

/// From mark to deletion, ms.
const DELAY_MS: i64 = 48 * HOUR;
/// From mark to when readers leave a block out, ms.
const READERS_DELAY_MS: i64 = 24 * HOUR;

/// What is known of one text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At this resolution it must be seen.
    Raw,
    /// It is past its retention as it was: a downsampled one must be seen.
    Coarser,
    /// Somebody asked to delete it.
    Nothing,
}

/// A visible block at the last check.
#[derive(Debug, Clone)]
struct Before {
    /// When its mark was written by the true clock, ms.
    marked_ms: Option<i64>,
    resolution_ms: i64,
    units: Arc<BTreeSet<Unit>>,
}

/// One block as it lies there.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub(super) meta: Option<Arc<BlockMeta>>,
    pub(super) mark: Option<(DeletionMark, i64)>,
    pub(super) no_compact: bool,
    pub(super) cleanup_mark: bool,
    pub(super) units: Option<Arc<BTreeSet<Unit>>>,
    pub(super) newest_ms: i64,
    sizes: BTreeMap<String, u64>,
}

impl Block {
    /// What of the files that its meta names is not there.
    pub(super) fn missing(&self) -> Option<String> {
        let files = self.meta.iter().flat_map(|m| &m.thanos).flat_map(|t| &t.files);
        files.filter(|f| self.sizes.get(&f.rel_path) != Some(&f.size_bytes)).map(|f| f.rel_path.clone()).next()
    }
}

/// Looks at the bucket without asking anybody, and remembers what it saw.
#[derive(Debug, Default)]
pub(super) struct Checker {
    metas: HashMap<u64, Arc<BlockMeta>>,
    units: HashMap<u64, Arc<BTreeSet<Unit>>>,
    before: BTreeMap<BlockId, Before>,
    /// What was visible at a downsampled resolution once.
    coarse: BTreeSet<(i64, Unit)>,
    /// The last write to blocks that were not visible.
    partial: BTreeMap<BlockId, i64>,
    /// Blocks that were not made by compactors.
    pub(super) uploads: BTreeSet<BlockId>,
    /// A block whose uploader has not looked at it for the last time: it may be visible and lack files until then.
    pub(super) unfinished: Option<BlockId>,
    changes: u64,
    /// Checks that found something changed.
    pub(super) checks: u64,
}

impl Checker {
    /// All blocks.
    pub(super) fn blocks(&mut self, state: &State) -> BTreeMap<BlockId, Block> {
        let mut found: BTreeMap<BlockId, Block> = BTreeMap::new();
        for (path, held) in &state.objects {
            let Some((dir, rest)) = path.split_once('/') else { continue };
            let Ok(id) = BlockId::parse(dir) else { continue };
            let block = found.entry(id).or_default();
            if rest == CLEANUP_MARK {
                block.cleanup_mark = true;
                continue;
            }
            block.newest_ms = block.newest_ms.max(held.stamp_ms);
            block.sizes.insert(rest.to_owned(), held.body.len() as u64);
            match rest {
                META_FILE => {
                    let parse = || Arc::new(BlockMeta::parse(path, &held.body).unwrap());
                    block.meta = Some(self.metas.entry(held.etag).or_insert_with(parse).clone());
                }
                DATA => {
                    let read = || Arc::new(units(&held.body));
                    block.units = Some(self.units.entry(held.etag).or_insert_with(read).clone());
                }
                DELETION_MARK => block.mark = Some((serde_json::from_slice(&held.body).unwrap(), held.stamp_ms)),
                NO_COMPACT_MARK => block.no_compact = true,
                _ => {}
            }
        }
        found
    }

    /// A block that somebody else deleted.
    pub(super) fn forget(&mut self, id: BlockId) {
        self.before.remove(&id);
    }

    /// The invariants; `wanted` tells all texts ever uploaded and what must be seen of them.
    pub(super) fn check(
        &mut self,
        store: &Store,
        now_ms: i64,
        wanted: &dyn Fn(&mut dyn FnMut(&Unit, Wanted)),
        is_deleted: &dyn Fn(&Unit) -> bool,
    ) -> Result<(), String> {
        let state = store.state();
        if state.changes == self.changes {
            return Ok(());
        }
        self.changes = state.changes;
        self.checks += 1;
        let blocks = self.blocks(&state);
        drop(state);
        self.whole(&blocks)?;
        self.deleted(&blocks, now_ms, is_deleted)?;
        self.seen(&blocks, now_ms, wanted, is_deleted)
    }

    /// I5: what is visible is whole.
    fn whole(&self, blocks: &BTreeMap<BlockId, Block>) -> Result<(), String> {
        for (id, block) in blocks {
            let (Some(meta), Some(missing)) = (&block.meta, block.missing()) else { continue };
            if self.unfinished == Some(*id) {
                continue;
            }
            // the one exception: a meta.json that arrived days late, after its block was replaced and deleted
            let holds =
                |other: &BlockMeta| meta.compaction.sources.iter().all(|s| other.compaction.sources.contains(s));
            let others = blocks.iter().filter(|(other, block)| *other != id && block.missing().is_none());
            if !others.flat_map(|(_, other)| &other.meta).any(|other| holds(other)) {
                return Err(format!("I5: {id} is visible without {missing}"));
            }
        }
        Ok(())
    }

    /// I7: what was deleted was marked long ago and is held by others; nobody's upload was taken away.
    fn deleted(
        &mut self,
        blocks: &BTreeMap<BlockId, Block>,
        now_ms: i64,
        is_deleted: &dyn Fn(&Unit) -> bool,
    ) -> Result<(), String> {
        let is_visible = |id: &BlockId| blocks.get(id).is_some_and(|b| b.meta.is_some());
        for (id, before) in self.before.iter().filter(|(id, _)| !is_visible(id)) {
            match before.marked_ms {
                Some(at_ms) if now_ms - at_ms >= DELAY_MS => {}
                at => return Err(format!("I7: {id} deleted, marked {at:?}")),
            }
            let holds = |unit: &Unit, downsampled: bool| {
                blocks.values().any(|b| {
                    let resolution_ms = b.meta.as_ref().map(|m| m.resolution_ms());
                    let is_fit = resolution_ms == Some(before.resolution_ms)
                        || downsampled && resolution_ms.is_some_and(|r| r > before.resolution_ms);
                    is_fit && b.missing().is_none() && b.units.as_ref().is_some_and(|u| u.contains(unit))
                })
            };
            // what is past its retention is checked below: here it is enough that a downsampled block has it
            if let Some(unit) = before.units.iter().find(|u| !is_deleted(u) && !holds(u, true)) {
                return Err(format!("I7: {id} deleted, nothing else holds {unit}"));
            }
        }
        for (id, written_ms) in &self.partial {
            if !blocks.contains_key(id) && now_ms - written_ms < DELAY_MS && self.uploads.contains(id) {
                return Err(format!("I7: the upload {id} was taken away, last written to at {written_ms}"));
            }
        }
        let partial = blocks.iter().filter(|(_, b)| b.meta.is_none() && b.mark.is_none() && !b.sizes.is_empty());
        self.partial = partial.map(|(id, b)| (*id, b.newest_ms)).collect();
        let before = |block: &Block| {
            Some(Before {
                marked_ms: block.mark.as_ref().map(|(_, at_ms)| *at_ms),
                resolution_ms: block.meta.as_ref()?.resolution_ms(),
                units: block.units.clone().unwrap_or_default(),
            })
        };
        self.before = blocks.iter().filter_map(|(id, block)| Some((*id, before(block)?))).collect();
        Ok(())
    }

    /// I6: what readers see holds everything; I9: nothing is there twice.
    fn seen(
        &mut self,
        blocks: &BTreeMap<BlockId, Block>,
        now_ms: i64,
        wanted: &dyn Fn(&mut dyn FnMut(&Unit, Wanted)),
        is_deleted: &dyn Fn(&Unit) -> bool,
    ) -> Result<(), String> {
        let mut view = View::default();
        for (id, block) in blocks {
            view.metas.extend(block.meta.clone().map(|m| (*id, m)));
            view.deletion_marks.extend(block.mark.clone().map(|(m, _)| (*id, m)));
        }
        let filters =
            Filters { ignore_deletion_marks_delay_ms: Some(READERS_DELAY_MS), deduplicate: true, ..Filters::default() };
        let read = filters.apply(&view, now_ms);
        let mut seen: HashMap<i64, HashMap<&str, BlockId>> = HashMap::new();
        // until all parts of a whole are there at a resolution, those that are do not hide what they were made from
        let sources = |m: &Arc<BlockMeta>| sources(m).into_iter().map(|s| (m.resolution_ms(), s)).collect::<Vec<_>>();
        let there: BTreeSet<(i64, BlockId)> = view.metas.values().flat_map(sources).collect();
        let is_whole = |m: &Arc<BlockMeta>| parts(m).iter().all(|p| there.contains(&(m.resolution_ms(), *p)));
        let incomplete = !view.metas.values().all(is_whole);
        for (id, meta) in &read.kept {
            let Some(units) = &blocks[id].units else { continue };
            let at = seen.entry(meta.resolution_ms()).or_default();
            for unit in &**units {
                let other = at.insert(unit, *id);
                // parts of wholes that were split at a downsampled resolution, and those made from raw parts, do not know of one
                // another: they hold the same twice, which costs room and no sample
                let is_part = |id: &BlockId| view.metas.get(id).is_some_and(|m| !parts(m).is_empty());
                let is_known = meta.resolution_ms() > 0 && (is_part(id) || other.as_ref().is_some_and(is_part));
                if let Some(other) = other.filter(|_| !incomplete && !is_known)
                    && !view.deletion_marks.contains_key(&other)
                    && !view.deletion_marks.contains_key(id)
                {
                    return Err(format!("I9: {unit} at {} is in {other} and {id}", meta.resolution_ms()));
                }
            }
        }
        let has =
            |resolution_ms: i64, unit: &Unit| seen.get(&resolution_ms).is_some_and(|s| s.contains_key(unit.as_str()));
        let mut lost = None;
        wanted(&mut |unit, wanted| {
            let is_there = match wanted {
                Wanted::Raw => has(0, unit),
                Wanted::Coarser => [0, 300_000, 3_600_000].iter().any(|r| has(*r, unit)),
                Wanted::Nothing => true,
            };
            if !is_there && lost.is_none() {
                lost = Some(format!("I6: {unit} is gone, wanted {wanted:?}"));
            }
        });
        if let Some(lost) = lost {
            return Err(lost);
        }
        if let Some((resolution_ms, unit)) = self.coarse.iter().find(|(r, u)| !has(*r, u) && !is_deleted(u)) {
            return Err(format!("I6: {unit} is gone at {resolution_ms}"));
        }
        for (resolution_ms, units) in seen.iter().filter(|(r, _)| **r > 0) {
            for unit in units.keys() {
                let key = (*resolution_ms, (*unit).to_owned());
                if !self.coarse.contains(&key) {
                    self.coarse.insert(key);
                }
            }
        }
        Ok(())
    }

    /// All blocks in short.
    pub(super) fn show(&mut self, store: &Store) -> String {
        let mut out = String::new();
        for (id, block) in self.blocks(&store.state()) {
            let meta = block.meta.clone().unwrap_or_default();
            let (mark, missing) = (block.mark.as_ref().map(|(m, _)| &m.details), block.missing());
            let hour = |ms: i64| (ms - super::BASE) / HOUR;
            let names =
                |ids: Vec<BlockId>| ids.iter().map(|id| id.to_string()[14..].to_owned()).collect::<Vec<_>>().join(" ");
            out += &format!(
                "{id} {:?} at {} {}..{} h of [{}] parts [{}] marked {mark:?} missing {missing:?} no compact {}\n",
                meta.thanos.as_ref().map(|t| &t.labels),
                meta.resolution_ms(),
                hour(meta.min_time),
                hour(meta.max_time),
                names(meta.compaction.sources.clone()),
                names(parts(&meta)),
                block.no_compact
            );
        }
        out
    }

    /// What must hold once all is done: nothing half-finished, no overlaps, nothing that others hold all of.
    pub(super) fn at_rest(&mut self, store: &Store) -> Result<(), String> {
        let blocks = self.blocks(&store.state());
        for (id, block) in &blocks {
            match &block.meta {
                None => return Err(format!("I8: {id} was never cleaned up")),
                Some(_) if block.cleanup_mark => return Err(format!("I8: {id} is left marked to be cleaned up")),
                Some(_) if block.mark.is_some() => return Err(format!("I8: {id} is left with its mark")),
                Some(_) => {}
            }
            if let Some(missing) = block.missing() {
                return Err(format!("I8: {id} is left without {missing}"));
            }
        }
        let metas: Vec<&Arc<BlockMeta>> = blocks.values().filter_map(|b| b.meta.as_ref()).collect();
        for (at, a) in metas.iter().enumerate() {
            for b in metas[at + 1..].iter().filter(|b| a.group_key() == b.group_key()) {
                let sources = |m: &BlockMeta| m.compaction.sources.iter().copied().collect::<BTreeSet<_>>();
                if sources(a).is_subset(&sources(b)) || sources(b).is_subset(&sources(a)) {
                    return Err(format!("I9: {} and {} have the same sources", a.ulid, b.ulid));
                }
                let is_part = |m: &BlockMeta| !parts(m).is_empty() || blocks[&m.ulid].no_compact;
                if a.min_time < b.max_time && b.min_time < a.max_time && !is_part(a) && !is_part(b) {
                    return Err(format!("I9: {} and {} overlap", a.ulid, b.ulid));
                }
            }
        }
        Ok(())
    }
}
