//! What a verification found.

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

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockReport {
    /// The block.
    pub block: BlockId,
    /// How much was read.
    pub depth: Depth,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of all segments.
    pub chunk_bytes: u64,
    /// Series in the index.
    pub series: u64,
    /// Chunks in the index.
    pub chunks: u64,
    /// Samples in the chunks, of aggregates the windows; 0 unless chunks were read.
    pub samples: u64,
    /// Bytes of segments that no series points to; 0 unless chunks were read. No problem, only waste.
    pub unreferenced_bytes: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All of them.
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
