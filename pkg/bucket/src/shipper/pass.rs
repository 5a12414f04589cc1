//! What one pass over the data directory did.

use block::BlockId;

/// The outcome of one pass over the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// Blocks brought into the bucket.
    pub uploaded: Vec<BlockId>,
    /// Blocks that were in the bucket and not in the list.
    pub found: Vec<BlockId>,
    /// Directories that could not be shipped, with the reason.
    pub failed: Vec<(String, String)>,
    /// How many blocks wait for an older one.
    pub waiting: usize,
    /// Blocks that need no upload, by reason.
    pub skipped: Skipped,
}

/// Blocks of the data directory that a pass has no need to upload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The list of shipped blocks says that they are in the bucket.
    pub listed: usize,
    /// The server has compacted them, and [`ShipperOptions::upload_compacted`] is off.
    ///
    /// [`ShipperOptions::upload_compacted`]: super::ShipperOptions::upload_compacted
    pub compacted: usize,
    /// They have no samples at all.
    pub empty: usize,
}
