//! What a holder of a lease has decided. It stands in the lease until it is carried out.

use block::{BlockId, BlockMeta};
use serde::{Deserialize, Serialize};

/// Details of the mark on a block whose data is in another block now, as Thanos writes it.
pub const SOURCE_OF_COMPACTED: &str = "source of compacted block";
/// Details of the mark on a block whose data other blocks hold, which was found later.
pub const OUTDATED: &str = "outdated block";
/// Start of the details of the mark on a block that was rewritten without some series.
pub const REWRITTEN: &str = "rewritten without series";

/// The kind of work that a commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Blocks merged into one.
    #[default]
    Compaction,
    /// A downsampled block made from one.
    Downsampling,
    /// A block rewritten without series that were requested to be deleted.
    Deletion,
    /// A block rewritten without series that are past their retention.
    Retention,
}

impl Kind {
    /// The name in logs, metrics and pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compaction => "compaction",
            Self::Downsampling => "downsampling",
            Self::Deletion => "deletion",
            Self::Retention => "retention",
        }
    }
}

/// A decision: which blocks become visible and which are marked for deletion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    pub kind: Kind,
    /// The blocks that the outputs were made from.
    pub inputs: Vec<BlockId>,
    /// Blocks to be made visible, in this order, with exactly these metas.
    pub outputs: Vec<BlockMeta>,
    /// Blocks to be marked for deletion after that.
    pub replaced: Vec<BlockId>,
    pub details: String,
    /// The outputs are as large as they may become: they are marked not to be compacted.
    #[serde(default)]
    pub no_compact: bool,
}
