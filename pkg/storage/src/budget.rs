//! Byte budgets: a request's own and, above it, the process'. What does not fit is refused with the figures; memory is
//! never found out about by the kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::ByteSize;

use crate::{Error, Result};

/// What a budget without a limit spares a quarter of.
const SPARE_BYTES: u64 = 1 << 30;

/// A limit on bytes held at one time.
#[derive(Debug)]
pub struct Budget {
    what: String,
    flag: String,
    max_bytes: u64,
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    parent: Option<Arc<Budget>>,
}

impl Budget {
    /// A budget of `max_bytes` (0 = no limit) for `what`; `flag` is named in the refusal.
    pub fn new(
        what: impl Into<String>,
        flag: impl Into<String>,
        max_bytes: u64,
        parent: Option<Arc<Budget>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            what: what.into(),
            flag: flag.into(),
            max_bytes,
            used_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            parent,
        })
    }

    /// A budget that never refuses.
    pub fn unlimited() -> Arc<Self> {
        Self::new("unlimited", "", 0, None)
    }

    /// Takes `bytes` here and in the parents until the reservation is dropped.
    ///
    /// # Errors
    /// [`Error::Limit`] with the figures and the flag.
    pub fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation> {
        let mut reservation = Reservation { budget: self.clone(), bytes: 0 };
        reservation.grow(bytes)?;
        Ok(reservation)
    }

    /// Takes `bytes` if, with them, no more than a quarter of any limit is taken (of 1 GiB where there is none): for what
    /// is of use but not needed.
    pub fn reserve_spare(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut level = Some(self);
        while let Some(budget) = level {
            let max_bytes = if budget.max_bytes == 0 { SPARE_BYTES } else { budget.max_bytes };
            if budget.used_bytes().saturating_add(bytes) > max_bytes / 4 {
                return None;
            }
            level = budget.parent.as_ref();
        }
        self.reserve(bytes).ok()
    }

    /// Bytes that are reserved now, here and in budgets below.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes ever held.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        if self.max_bytes > 0 && after > self.max_bytes {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Limit(format!(
                "{} would hold {} bytes, over its limit of {} ({}): narrow the selector or the time range, or raise {}",
                self.what,
                after,
                self.max_bytes,
                ByteSize(self.max_bytes),
                self.flag
            )));
        }
        if let Some(parent) = &self.parent
            && let Err(e) = parent.take(bytes)
        {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(e);
        }
        self.peak_bytes.fetch_max(after, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.give(bytes);
        }
    }
}

/// Bytes taken from a [`Budget`]; dropping gives them back.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Reservation {
    /// Takes `bytes` more, here and in the parents.
    ///
    /// # Errors
    /// [`Error::Limit`]; what was held before stays held.
    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives `bytes` back before the reservation ends.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.budget.give(bytes);
        self.bytes -= bytes;
    }

    /// Bytes this reservation holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_leaves_nothing_taken() {
        let process = Budget::new("the process", "--p", 100, None);
        let a = Budget::new("query a", "--q", 80, Some(process.clone()));
        let b = Budget::new("query b", "--q", 80, Some(process.clone()));
        let held = a.reserve(70).unwrap();
        assert!(a.reserve(20).unwrap_err().to_string().contains("would hold 90 bytes, over its limit of 80"));
        assert!(b.reserve(50).unwrap_err().to_string().contains("--p"));
        assert_eq!((a.used_bytes(), b.used_bytes(), process.used_bytes()), (70, 0, 70));
        drop(held);
        assert_eq!((a.used_bytes(), process.used_bytes(), a.peak_bytes()), (0, 0, 70));
    }

    #[test]
    fn a_quarter_of_each_limit_may_be_spared() {
        let process = Budget::new("the process", "--p", 200, None);
        let query = Budget::new("query", "--q", 400, Some(process.clone()));
        let spared = query.reserve_spare(50).unwrap();
        assert!(query.reserve_spare(1).is_none(), "of the process");
        drop(spared);
        let unlimited = Budget::new("query", "--q", 0, None);
        assert!(unlimited.reserve_spare(256 << 20).is_some());
        assert!(unlimited.reserve_spare((256 << 20) + 1).is_none());
    }
}
