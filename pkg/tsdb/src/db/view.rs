//! The blocks of the data directory as readers see them. A reader keeps the view that it began with: a block that is
//! deleted meanwhile stays readable for it, since its files are mapped.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use block::survey::Survey;
use block::{BlockId, BlockMeta, LocalBlock, META_FILE};
use labels::Labels;
use model::TimeRange;
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::disk::dir_bytes;
use super::error::{Error, Result};

/// A `meta.json` larger than this is not read.
const META_BYTES_MAX: u64 = 64 << 20;

/// A block that is served.
#[derive(Debug, Clone)]
pub(crate) struct OpenBlock {
    pub(crate) block: LocalBlock,
    /// As on disk: what was noted since the block was opened is in it.
    pub(crate) meta: BlockMeta,
    pub(crate) dir: PathBuf,
    /// Of all its files.
    pub(crate) bytes: u64,
    contradiction: Option<Contradiction>,
}

/// What the index says otherwise than the meta.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contradiction {
    /// The times of both.
    range: TimeRange,
    /// All series were looked at, so that nothing lies outside of the range.
    is_complete: bool,
    text: String,
}

/// Bytes of series that are held against the meta when a block is opened.
const SURVEY_BYTES_MAX: usize = 1 << 20;

impl Contradiction {
    fn of(meta: &BlockMeta, survey: &Survey) -> Option<Self> {
        let (told, has) = (meta.stats.num_series, survey.series);
        if survey.is_complete && told > 0 && told != has {
            let text = format!("its meta.json tells of {told} series, its index has {has}");
            return Some(Self { range: range_of(meta), is_complete: true, text });
        }
        let own = range_of(meta);
        // A window of downsampled data bears the time of its end.
        let spare = meta.resolution_ms().max(0);
        let is_inside =
            survey.min_time.saturating_add(spare) >= own.min && survey.max_time.saturating_sub(spare) <= own.max;
        if survey.min_time > survey.max_time || is_inside {
            return None;
        }
        let text = format!(
            "its meta.json tells of data from {} to {}, its index has some from {} to {}",
            own.min, own.max, survey.min_time, survey.max_time
        );
        let range = TimeRange::new(own.min.min(survey.min_time), own.max.max(survey.max_time));
        Some(Self { range, is_complete: survey.is_complete, text })
    }
}

/// A block that cannot be served. It stays where it is: somebody may be able to repair it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SetAside {
    pub(crate) id: BlockId,
    /// The times that it may have data of; `None` = not known.
    pub(crate) range: Option<TimeRange>,
    pub(crate) why: String,
}

/// All blocks at one moment.
#[derive(Debug)]
pub(crate) struct View {
    /// By their begin.
    pub(crate) blocks: Vec<Arc<OpenBlock>>,
    pub(crate) set_aside: Vec<SetAside>,
    /// Dropped with the view.
    _end: watch::Sender<()>,
}

/// The current view, and those before it that somebody still reads.
#[derive(Debug)]
pub(crate) struct Views {
    current: RwLock<Arc<View>>,
    /// Ends when the current one does.
    current_end: Mutex<watch::Receiver<()>>,
    old: Mutex<Vec<watch::Receiver<()>>>,
}

/// What is found in a data directory.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) blocks: Vec<Arc<OpenBlock>>,
    pub(crate) set_aside: Vec<SetAside>,
}

impl OpenBlock {
    /// Opens the block in `dir`, whose meta is known.
    pub(crate) fn open(dir: &Path, meta: BlockMeta) -> Result<Self> {
        // External labels are put over series where blocks leave the server, not in its own answers.
        let mut block = LocalBlock::open_with(dir, meta.clone(), Labels::empty())?;
        let contradiction = Contradiction::of(&meta, &block.index().survey(SURVEY_BYTES_MAX));
        if let Some(found) = &contradiction {
            tracing::warn!(block = %meta.ulid, why = found.text, "meta.json is corrupt: find a sound copy, or correct it");
            let (min_time, max_time) = (found.range.min, found.range.max.saturating_add(1));
            block = LocalBlock::open_with(dir, BlockMeta { min_time, max_time, ..meta.clone() }, Labels::empty())?;
        }
        Ok(Self { block, meta, dir: dir.to_owned(), bytes: dir_bytes(dir), contradiction })
    }

    /// The times that it may have samples of.
    pub(crate) fn range(&self) -> TimeRange {
        self.contradiction.as_ref().map_or_else(|| range_of(&self.meta), |found| found.range)
    }

    /// For an answer over `range`: that data may be missing, since the meta does not fit the index, and whether nothing
    /// is.
    pub(crate) fn doubt(&self, range: TimeRange) -> Option<(String, bool)> {
        let found = self.contradiction.as_ref().filter(|found| !found.is_complete || found.range.overlaps(range))?;
        let text = format!("block {}: {}; find a sound copy of meta.json, or correct it", self.meta.ulid, found.text);
        Some((text, found.is_complete))
    }
}

/// Both ends inclusive.
fn range_of(meta: &BlockMeta) -> TimeRange {
    TimeRange::new(meta.min_time, meta.max_time.saturating_sub(1).max(meta.min_time))
}

impl SetAside {
    /// Whether data of `range` may be missing.
    pub(crate) fn may_have(&self, range: TimeRange) -> bool {
        self.range.is_none_or(|own| own.overlaps(range))
    }

    /// For an answer that may lack its data.
    pub(crate) fn warning(&self) -> String {
        format!("block {} is not read, its data is missing: {}", self.id, self.why)
    }
}

impl View {
    fn new(mut found: Found) -> (Arc<Self>, watch::Receiver<()>) {
        found.blocks.sort_by_key(|b| (b.meta.min_time, b.meta.ulid));
        found.set_aside.sort_by_key(|b| b.id);
        let (sender, receiver) = watch::channel(());
        (Arc::new(Self { blocks: found.blocks, set_aside: found.set_aside, _end: sender }), receiver)
    }

    /// End of the newest block that holds all series, exclusive: the head takes nothing before it at a start. Blocks of
    /// late samples and of single series say nothing about the others.
    pub(crate) fn head_begins_ms(&self) -> Option<i64> {
        let whole = self.blocks.iter().filter(|b| b.meta.compaction.hints.is_empty());
        whole.map(|b| b.meta.max_time).max()
    }

    pub(crate) fn metas(&self) -> Vec<&BlockMeta> {
        self.blocks.iter().map(|b| &b.meta).collect()
    }

    pub(crate) fn get(&self, id: BlockId) -> Option<&Arc<OpenBlock>> {
        self.blocks.iter().find(|b| b.meta.ulid == id)
    }
}

impl Views {
    pub(crate) fn new(found: Found) -> Self {
        let (view, end) = View::new(found);
        Self { current: RwLock::new(view), current_end: Mutex::new(end), old: Mutex::default() }
    }

    pub(crate) fn current(&self) -> Arc<View> {
        self.current.read().clone()
    }

    /// Readers that begin from now on see `found`.
    pub(crate) fn replace(&self, found: Found) {
        let (view, end) = View::new(found);
        let ended = std::mem::replace(&mut *self.current_end.lock(), end);
        let mut old = self.old.lock();
        old.retain(|end| end.has_changed().is_ok());
        old.push(ended);
        drop(old);
        *self.current.write() = view;
    }

    /// Completes when nobody reads a view from before the call any more.
    pub(crate) async fn settled(&self) {
        let waiting: Vec<_> = self.old.lock().drain(..).collect();
        for mut end in waiting {
            // What is not over must be waited for again, should this future be dropped.
            self.old.lock().push(end.clone());
            while end.changed().await.is_ok() {}
        }
        self.old.lock().retain(|end| end.has_changed().is_ok());
    }
}

/// Looks for blocks in `dir`. Those in `known` are not opened again.
pub(crate) fn scan(dir: &Path, known: &[Arc<OpenBlock>]) -> Result<Found> {
    let known: BTreeMap<BlockId, &Arc<OpenBlock>> = known.iter().map(|b| (b.meta.ulid, b)).collect();
    let mut found = Found::default();
    for entry in fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let entry = entry.map_err(Error::io("list", dir))?;
        let Some(id) = entry.file_name().to_str().and_then(|name| BlockId::parse(name).ok()) else { continue };
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        if let Some(block) = known.get(&id) {
            found.blocks.push((*block).clone());
            continue;
        }
        match read_meta(&path, id) {
            Ok(meta) => match OpenBlock::open(&path, meta.clone()) {
                Ok(block) => found.blocks.push(Arc::new(block)),
                Err(e) => found.set_aside.push(SetAside { id, range: Some(range_of(&meta)), why: e.to_string() }),
            },
            // Deleted meanwhile, or a directory without anything in it.
            Err(_) if is_empty(&path) => {}
            Err(why) => found.set_aside.push(SetAside { id, range: None, why }),
        }
    }
    Ok(found)
}

/// Reads the `meta.json` of block `id` in `dir`.
fn read_meta(dir: &Path, id: BlockId) -> std::result::Result<BlockMeta, String> {
    let path = dir.join(META_FILE);
    let text = |e: io::Error| format!("{}: {e}", path.display());
    let size = fs::metadata(&path).map_err(text)?.len();
    if size > META_BYTES_MAX {
        return Err(format!("{}: {size} bytes are no meta.json", path.display()));
    }
    let json = fs::read(&path).map_err(text)?;
    let meta = BlockMeta::parse(&path.display().to_string(), &json).map_err(|e| e.to_string())?;
    if meta.ulid != id {
        return Err(format!("{}: is of block {}", path.display(), meta.ulid));
    }
    Ok(meta)
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

/// Of blocks whose child is there, the ids: a compaction ended after its new block was in place, and before the old ones
/// were deleted.
pub(crate) fn replaced(found: &Found) -> Vec<BlockId> {
    let mut ids = Vec::new();
    for child in &found.blocks {
        for parent in &child.meta.compaction.parents {
            let covers = child.meta.min_time <= parent.min_time && parent.max_time <= child.meta.max_time;
            if parent.ulid != child.meta.ulid && parent.ulid != BlockId::default() && covers {
                ids.push(parent.ulid);
            }
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn views_end_with_their_readers() {
        let views = Views::new(Found::default());
        views.settled().await;
        let reader = views.current();
        views.replace(Found::default());
        let later = views.current();
        views.replace(Found::default());
        for _ in 0..2 {
            // Waiting that is given up forgets nothing.
            let mut settled = Box::pin(views.settled());
            assert!(matches!(futures::poll!(&mut settled), Poll::Pending));
        }
        drop(later);
        let mut settled = Box::pin(views.settled());
        assert!(matches!(futures::poll!(&mut settled), Poll::Pending));
        drop(reader);
        settled.await;
        let current = views.current();
        views.settled().await;
        assert!(current.blocks.is_empty() && current.head_begins_ms().is_none());
    }
}
