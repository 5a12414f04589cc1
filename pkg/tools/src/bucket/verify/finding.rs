//! What is wrong, and where.

use block::BlockId;
use serde_json::{Value, json};

use crate::output::Rows;

/// `--issues`: what is looked for. The names are Thanos'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bucket) enum Issue {
    /// Everything inside of a block.
    Index,
    /// Blocks of one group with a time in common.
    Overlaps,
    /// Blocks that hold the same.
    Duplicates,
}

impl Issue {
    pub(super) const WORDS: &'static [&'static str] =
        &["index_known_issues", "overlapped_blocks", "duplicated_compaction"];

    pub(super) fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "index_known_issues" => Self::Index,
            "overlapped_blocks" => Self::Overlaps,
            "duplicated_compaction" => Self::Duplicates,
            _ => return None,
        })
    }

    pub(super) fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bucket) enum Severity {
    /// The bytes are not what was written, or some are missing.
    Damaged,
    /// Readers may stumble over it or count twice; rewriting the block mends it.
    Wrong,
    /// Worth knowing; no reason to fail.
    Note,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Wrong => "wrong",
            Self::Note => "note",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bucket) struct Finding {
    pub(in crate::bucket) block: BlockId,
    pub(in crate::bucket) issue: Issue,
    pub(in crate::bucket) severity: Severity,
    /// Inside the block; `""` for the block as such.
    pub(in crate::bucket) file: String,
    pub(in crate::bucket) offset: Option<u64>,
    pub(in crate::bucket) what: String,
}

impl Finding {
    /// As an object for programs.
    pub(super) fn value(&self) -> Value {
        json!({
            "ulid": self.block.to_string(),
            "issue": self.issue.word(),
            "severity": self.severity.word(),
            "file": self.file,
            "offset": self.offset,
            "what": self.what,
        })
    }
}

/// The findings in a table.
pub(super) fn rows(findings: &[Finding]) -> Rows {
    let row = |f: &Finding| {
        vec![
            f.block.to_string(),
            f.issue.word().to_owned(),
            f.severity.word().to_owned(),
            f.file.clone(),
            f.offset.map_or_else(|| "-".to_owned(), |at| at.to_string()),
            f.what.clone(),
        ]
    };
    let header = vec!["ULID", "ISSUE", "SEVERITY", "FILE", "OFFSET", "WHAT"];
    Rows { header, rows: findings.iter().map(row).collect() }
}

/// The findings of one block, not more than a limit of them; the rest is counted.
#[derive(Debug)]
pub(super) struct Findings {
    block: BlockId,
    max: usize,
    kept: Vec<Finding>,
    dropped: usize,
}

impl Findings {
    pub(super) fn new(block: BlockId, max: usize) -> Self {
        Self { block, max: max.max(1), kept: Vec::new(), dropped: 0 }
    }

    pub(super) fn add(&mut self, severity: Severity, file: &str, offset: Option<u64>, what: impl Into<String>) {
        if self.kept.len() >= self.max {
            self.dropped += 1;
            return;
        }
        let (block, file) = (self.block, file.to_owned());
        self.kept.push(Finding { block, issue: Issue::Index, severity, file, offset, what: what.into() });
    }

    /// An error of a reader, placed in `file` if it names no file.
    pub(super) fn add_error(&mut self, file: &str, error: block::Error) {
        match error {
            block::Error::Corrupt { offset, what, .. } => self.add(Severity::Damaged, file, Some(offset), what),
            other => self.add(Severity::Damaged, file, None, other.to_string()),
        }
    }

    pub(super) fn finish(mut self) -> Vec<Finding> {
        if self.dropped > 0 {
            let what = format!("{} more findings: raise --findings-max to see them", self.dropped);
            // damaged, as any of those may be
            let (block, severity) = (self.block, Severity::Damaged);
            self.kept.push(Finding { block, issue: Issue::Index, severity, file: String::new(), offset: None, what });
        }
        self.kept
    }
}
