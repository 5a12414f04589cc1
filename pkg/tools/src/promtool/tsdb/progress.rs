//! How far a back-fill has come, kept in a file so that it goes on there when it is started again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use block::BlockId;
use serde::{Deserialize, Serialize};

use crate::Error;

/// A larger file is none of these.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What became of the time of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Filled {
    /// Evaluated up to here, ms; inclusive.
    pub until_ms: i64,
    /// `None` = the rules gave nothing.
    pub block: Option<BlockId>,
}

/// All blocks that are done, and the one at work.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    /// By the begin of the block's time, ms.
    done: BTreeMap<i64, Filled>,
    begun: Option<(i64, Filled)>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    state: State,
}

impl Progress {
    /// Reads the file at `path`, if it is there. `is_there` tells whether a block was written: the process may have ended
    /// before it could be noted.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn open(path: PathBuf, is_there: impl Fn(BlockId) -> bool) -> Result<Self, Error> {
        let wrong = |e: &dyn std::fmt::Display| Error::Failed(format!("{}: {e}", path.display()));
        let state = match std::fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(e) => return Err(wrong(&e)),
            Ok(meta) if meta.len() > FILE_BYTES_MAX => return Err(wrong(&"is no progress of a back-fill")),
            Ok(_) => {
                let text = std::fs::read(&path).map_err(|e| wrong(&e))?;
                serde_json::from_slice(&text)
                    .map_err(|e| wrong(&format!("is no progress of a back-fill, remove it to begin anew: {e}")))?
            }
        };
        let mut progress = Self { path, state };
        if let Some((begin_ms, filled)) = progress.state.begun.take()
            && filled.block.is_some_and(is_there)
        {
            progress.state.done.insert(begin_ms, filled);
        }
        Ok(progress)
    }

    /// Up to where the block that begins at `begin_ms` is filled, ms.
    pub fn until_ms(&self, begin_ms: i64) -> Option<i64> {
        self.state.done.get(&begin_ms).map(|filled| filled.until_ms)
    }

    /// Notes that a block is about to be written.
    pub fn begin(&mut self, begin_ms: i64, filled: Filled) -> Result<(), Error> {
        self.state.begun = Some((begin_ms, filled));
        self.write()
    }

    /// Notes that it is.
    pub fn end(&mut self, begin_ms: i64, filled: Filled) -> Result<(), Error> {
        self.state.begun = None;
        self.state.done.insert(begin_ms, filled);
        self.write()
    }

    fn write(&self) -> Result<(), Error> {
        let wrong = |path: &Path, e: &dyn std::fmt::Display| Error::Failed(format!("{}: {e}", path.display()));
        let text = serde_json::to_vec(&self.state).map_err(|e| wrong(&self.path, &e))?;
        let tmp = self.path.with_extension("tmp");
        std::fs::write(&tmp, text).map_err(|e| wrong(&tmp, &e))?;
        std::fs::File::open(&tmp).and_then(|file| file.sync_all()).map_err(|e| wrong(&tmp, &e))?;
        std::fs::rename(&tmp, &self.path).map_err(|e| wrong(&self.path, &e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_was_begun_is_looked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        let filled = |n: u64| Filled { until_ms: 9, block: Some(BlockId::new(n, 0)) };
        let mut progress = Progress::open(path.clone(), |_| false).unwrap();
        progress.end(0, filled(1)).unwrap();
        progress.begin(10, filled(2)).unwrap();
        for (there, want) in [(false, None), (true, Some(9))] {
            let progress = Progress::open(path.clone(), |_| there).unwrap();
            assert_eq!((progress.until_ms(0), progress.until_ms(10)), (Some(9), want));
        }
        std::fs::write(&path, "[]").unwrap();
        assert!(Progress::open(path, |_| false).unwrap_err().to_string().contains("begin anew"));
    }
}
