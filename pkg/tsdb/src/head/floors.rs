//! Which times open transactions may still write, in order.

use std::sync::Arc;

use super::bounds::Bounds;
use super::core::Core;

impl Core {
    /// The bounds of a transaction that begins now; [`Core::end`] gives them back.
    pub fn begin(&self) -> Bounds {
        let mut open = self.floors.open.lock();
        let bounds = self.bounds();
        *open.entry(bounds.floor_ms).or_default() += 1;
        bounds
    }

    pub fn end(&self, bounds: &Bounds) {
        let mut open = self.floors.open.lock();
        if let Some(count) = open.get_mut(&bounds.floor_ms) {
            *count -= 1;
            if *count == 0 {
                open.remove(&bounds.floor_ms);
                drop(open);
                self.floors.changed.notify_waiters();
            }
        }
    }

    /// Raises the floor, and waits for the transactions that began below it.
    pub async fn settle_before(self: Arc<Self>, min_valid_ms: i64) {
        {
            let _open = self.floors.open.lock();
            self.times.raise_min_valid(min_valid_ms);
        }
        loop {
            let changed = self.floors.changed.notified();
            if self.floors.open.lock().keys().next().is_none_or(|floor| *floor >= min_valid_ms) {
                return;
            }
            changed.await;
        }
    }
}
