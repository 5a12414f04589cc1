//! Series entries of one block without the labels that nobody looks at: those are not even looked up. What tells series apart
//! is the id, as long as entries stand in the order of their labels, each once.

use std::sync::Arc;

use block::LabelsReader;
use block::series::RawEntry;
use labels::Labels;
use parking_lot::Mutex;
use storage::Place;

use crate::error::{BlockError, BlockResult};

/// References of an entry's labels. Symbols are sorted, so that references order as their texts do.
type References = Vec<(u32, u32)>;

/// Which labels of a block's entries are looked up.
pub(crate) struct Projected {
    names: Arc<[String]>,
    /// External labels that are looked at.
    pub(crate) put: Labels,
    seen: Mutex<Seen>,
}

/// What is known after the entries so far.
#[derive(Default)]
struct Seen {
    /// All labels of the last entry.
    before: References,
    /// Room for those of the next one.
    all: References,
    /// Names by their symbols, and whether they are looked at: a block has few.
    names: Vec<(u32, bool)>,
    gaps: Vec<Gap>,
}

/// An entry that was not read when it was its turn, and its neighbours.
struct Gap {
    id: u32,
    before: References,
    after: Option<References>,
}

fn disorder() -> BlockError {
    BlockError::Disorder("series are out of order".to_owned())
}

impl Projected {
    /// Of a block whose series all have `put` of its external labels; `names` are looked at.
    pub(crate) fn new(names: Arc<[String]>, put: &Labels) -> Self {
        let put = put.only(&names);
        Self { names, put, seen: Mutex::default() }
    }

    /// Takes the labels that nobody looks at out of `raw`, the next entry.
    ///
    /// # Errors
    /// [`BlockError::Disorder`] where it does not belong behind the one before, or its labels are out of order; corrupt data.
    pub(crate) fn next(&self, raw: &mut RawEntry, reader: &mut LabelsReader<'_>) -> BlockResult<()> {
        let seen = &mut *self.seen.lock();
        if seen.before >= raw.labels {
            return Err(disorder());
        }
        seen.all.clone_from(&raw.labels);
        self.keep(&mut seen.names, raw, reader)?;
        std::mem::swap(&mut seen.before, &mut seen.all);
        seen.gaps.iter_mut().for_each(|gap| _ = gap.after.get_or_insert_with(|| seen.before.clone()));
        Ok(())
    }

    /// Passes over the next entry, of `id`, which is read later.
    pub(crate) fn pass_over(&self, id: u32) {
        let seen = &mut *self.seen.lock();
        seen.gaps.push(Gap { id, before: seen.before.clone(), after: None });
    }

    /// As [`Self::next`] for an entry that was passed over.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn late(&self, id: u32, raw: &mut RawEntry, reader: &mut LabelsReader<'_>) -> BlockResult<()> {
        let seen = &mut *self.seen.lock();
        let at = seen.gaps.iter().position(|gap| gap.id == id).ok_or_else(disorder)?;
        let gap = seen.gaps.remove(at);
        if gap.before >= raw.labels || gap.after.as_ref().is_some_and(|after| raw.labels >= *after) {
            return Err(disorder());
        }
        let last = gap.after.is_none().then_some(&mut seen.before);
        let later = seen.gaps.iter_mut().filter(|other| other.id > id && other.before < raw.labels);
        later.map(|other| &mut other.before).chain(last).for_each(|before| before.clone_from(&raw.labels));
        self.keep(&mut seen.names, raw, reader)
    }

    /// Entries that were passed over and not read are corrupt, which was told.
    pub(crate) fn forget_gaps(&self) {
        self.seen.lock().gaps.clear();
    }

    fn keep(&self, names: &mut Vec<(u32, bool)>, raw: &mut RawEntry, reader: &mut LabelsReader<'_>) -> BlockResult<()> {
        if !raw.labels.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(disorder());
        }
        let mut found = Ok(());
        raw.labels.retain(|(name, _)| {
            let known = names.iter().find_map(|(of, is_kept)| (of == name).then_some(*is_kept));
            known.unwrap_or_else(|| match reader.text(*name) {
                Ok(text) => {
                    let is_kept = self.names.binary_search_by(|kept| kept.as_str().cmp(text)).is_ok();
                    names.push((*name, is_kept));
                    is_kept
                }
                Err(e) => {
                    found = Err(BlockError::from(e));
                    false
                }
            })
        });
        found
    }

    /// The labels of the entry of `id`, of which only those that are looked at are left.
    ///
    /// # Errors
    /// Corrupt data.
    pub(crate) fn read(&self, id: u32, raw: &RawEntry, reader: &mut LabelsReader<'_>) -> BlockResult<Labels> {
        let labels = reader.read_behind(Some(Place::new(u64::from(id)).as_str()), &raw.labels)?;
        labels.map_err(|_| disorder())
    }
}
