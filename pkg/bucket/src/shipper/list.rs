//! The list of shipped blocks while a pass goes on. It spares requests to the bucket; no upload depends on it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use block::BlockId;
use service::{Failpoint, Failpoints};
use tracing::warn;

use super::shipped::{Shipped, WriteError};

/// What a shipper knows from the pass before.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Blocks of the data directory that are in the bucket.
    shipped: BTreeSet<BlockId>,
    /// The list could not be written and lacks some of them.
    is_unlisted: bool,
}

/// The list while a pass goes on.
#[derive(Debug)]
pub(super) struct List {
    path: PathBuf,
    failpoints: Failpoints,
    shipped: Shipped,
    unread: Option<String>,
    unwritten: Option<String>,
}

impl List {
    /// Reads the list and keeps of it the blocks in `names`. Where the file cannot be read or is behind, `known` stands in.
    /// A block that is in neither is looked up in the bucket before its upload.
    pub(super) fn open(
        path: PathBuf,
        failpoints: Failpoints,
        known: &Known,
        names: &BTreeSet<BlockId>,
    ) -> Result<Self, Failpoint> {
        let (read, unread) = match Shipped::read(&path) {
            Ok(list) => (list, None),
            Err(e) => (Shipped::default(), Some(e)),
        };
        let mut shipped = read.clone();
        if known.is_unlisted || unread.is_some() {
            shipped.0.extend(&known.shipped);
        }
        shipped.0.retain(|id| names.contains(id));
        let is_current = unread.is_none() && shipped == read;
        let mut list = Self { path, failpoints, shipped, unread, unwritten: None };
        if !is_current {
            list.write()?;
        }
        Ok(list)
    }

    pub(super) fn contains(&self, id: BlockId) -> bool {
        self.shipped.0.contains(&id)
    }

    /// Notes that a block is in the bucket.
    pub(super) fn add(&mut self, id: BlockId) -> Result<(), Failpoint> {
        self.shipped.0.insert(id);
        self.write()
    }

    fn write(&mut self) -> Result<(), Failpoint> {
        self.unwritten = match self.shipped.write(&self.path, &self.failpoints) {
            Ok(()) => None,
            Err(WriteError::File(why)) => Some(why),
            Err(WriteError::Failpoint(failpoint)) => return Err(failpoint),
        };
        Ok(())
    }

    /// Logs, once a pass, what went wrong with the list. Returns what the next pass needs.
    pub(super) fn close(self) -> Known {
        match (&self.unwritten, &self.unread) {
            (Some(err), _) => warn!(
                err,
                "list of shipped blocks cannot be written: uploads go on, the next start asks the bucket for each block"
            ),
            (None, Some(err)) => warn!(err, "list of shipped blocks could not be read, it was rewritten"),
            (None, None) => {}
        }
        Known { shipped: self.shipped.0, is_unlisted: self.unwritten.is_some() }
    }
}

impl Known {
    /// Whether the list on disk is behind.
    pub(super) fn is_unlisted(&self) -> bool {
        self.is_unlisted
    }
}
