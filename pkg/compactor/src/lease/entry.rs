//! What a lease says, and why it may be lost.

use std::time::Duration;

use block::BlockId;
use objstore::ConditionalCreate;
use serde::{Deserialize, Serialize};

use super::register::RegisterError;
use crate::decision::Commit;

/// The directory of the leases in the bucket. No block has this name, and Thanos ignores it.
pub(crate) const LEASES_DIR: &str = "aion-compactor/leases";
/// By how much clocks of machines may differ, ms.
pub(crate) const CLOCK_SKEW_MS: i64 = 5 * 60_000;

/// One version of a lease.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) version: u32,
    /// The process that wrote it.
    pub(crate) holder: String,
    /// Differs in each version ever written.
    pub(crate) nonce: String,
    /// Its time to live without a renewal, ms.
    pub(crate) ttl_ms: u64,
    /// The holder has given it up.
    #[serde(default)]
    pub(crate) released: bool,
    /// Blocks being written, not visible yet. Cleaning leaves them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) working: Vec<BlockId>,
    /// A decision that is to be carried out before anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<Commit>,
}

/// Why a lease cannot be relied on any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeaseError {
    /// Another process has it, or may have it.
    #[error("lease {key} was lost: {why}")]
    Lost { key: String, why: &'static str },
    #[error("lease {key}: {source}")]
    Register {
        key: String,
        #[source]
        source: RegisterError,
    },
}

impl LeaseError {
    /// Whether the bucket failed, and may work a while later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Register { source: RegisterError::Bucket(e), .. } => e.kind().is_transient(),
            Self::Register { .. } => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct LeaseOptions {
    /// `--compact.lease-ttl`.
    pub(crate) ttl: Duration,
    /// Leases of others are taken over at once: there are no others.
    pub(crate) single_instance: bool,
    pub(crate) conditional: ConditionalCreate,
}

/// One lease as the listing shows it.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) written_ms: i64,
    /// `None` if it could not be read.
    pub(crate) entry: Option<Entry>,
}

impl Entry {
    /// Whether a version written at `written_ms` is older at `now_ms` than a living holder would leave it.
    pub(super) fn is_past(&self, now_ms: i64, written_ms: i64) -> bool {
        let ttl_ms = i64::try_from(self.ttl_ms).unwrap_or(i64::MAX);
        now_ms.saturating_sub(written_ms) > ttl_ms.saturating_add(CLOCK_SKEW_MS)
    }
}
