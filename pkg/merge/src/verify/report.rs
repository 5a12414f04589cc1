//! The report of a verification.

use std::fmt;

use block::BlockId;

use crate::error::{Error, Result};
use crate::verify::depth::Depth;

/// Problems listed one by one; more are only counted.
const PROBLEMS_MAX: usize = 100;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file inside the block.
    pub file: String,
    /// Where, and what is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// What a verification read and found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReport {
    /// Id of the block.
    pub block: BlockId,
    /// How much of the block was read.
    pub depth: Depth,
    /// Size of the index, bytes.
    pub index_bytes: u64,
    /// Size of all chunk segments, bytes.
    pub chunk_bytes: u64,
    /// How many series the index has.
    pub series: u64,
    /// How many chunks the index names.
    pub chunks: u64,
    /// Samples in the chunks, of aggregates the windows; 0 unless chunks were read.
    pub samples: u64,
    /// Bytes of segments that no series points to; 0 unless chunks were read. No problem, only waste.
    pub unreferenced_bytes: u64,
    /// The first problems, at most 100.
    pub problems: Vec<Problem>,
    /// How many problems there are, also those not listed.
    pub problems_total: u64,
}

impl BlockReport {
    pub(crate) fn new(block: BlockId, depth: Depth) -> Self {
        Self {
            block,
            depth,
            index_bytes: 0,
            chunk_bytes: 0,
            series: 0,
            chunks: 0,
            samples: 0,
            unreferenced_bytes: 0,
            problems: Vec::new(),
            problems_total: 0,
        }
    }

    /// Whether nothing is wrong, as far as was read.
    pub fn is_sound(&self) -> bool {
        self.problems_total == 0
    }

    pub(crate) fn note(&mut self, file: &str, what: impl Into<String>) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { file: file.to_owned(), what: what.into() });
        }
    }

    /// Reports a corrupt input; passes other errors on.
    pub(crate) fn problem(&mut self, error: Error) -> Result<()> {
        match error {
            Error::Input { file, what, .. } => {
                self.note(&file, what);
                Ok(())
            }
            other => Err(other),
        }
    }
}
