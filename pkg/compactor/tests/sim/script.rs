//! What is to happen at which failpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::Clock;
use parking_lot::Mutex;
use service::Failpoints;

use super::RECOVERY;
use super::gate::Process;
use super::store::SimClock;

/// A failpoint, and the kind of work it was met in.
pub(super) type Site = (String, &'static str);

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// It dies, and another starts in its place.
    Kill,
    /// It does not run for so long, ms.
    Sleep(i64),
    /// It goes on, and falls asleep right before it next changes a block: after it has asked for its lease.
    SleepAtChange(i64),
}

/// Something to happen once.
#[derive(Debug, Clone)]
pub(super) struct Arm {
    pub(super) site: Site,
    /// At which hit, from 1.
    pub(super) nth: u64,
    pub(super) action: Action,
    seen: u64,
    pub(super) fired: bool,
}

impl Arm {
    pub(super) fn new(site: &Site, nth: u64, action: Action) -> Self {
        Self { site: site.clone(), nth, action, seen: 0, fired: false }
    }
}

/// What is to happen, and what was met.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) arms: Vec<Arm>,
    pub(super) hits: BTreeMap<Site, u64>,
}

impl Script {
    fn hit(&mut self, name: &str, process: &Process, now_ms: i64) -> bool {
        let mut kind = process.kind.lock();
        let site = (name.to_owned(), if name.starts_with("delete.") { "cleaning" } else { *kind });
        if name == "compact.before_done" {
            *kind = RECOVERY;
        }
        *self.hits.entry(site.clone()).or_default() += 1;
        for arm in self.arms.iter_mut().filter(|arm| !arm.fired && arm.site == site) {
            arm.seen += 1;
            if arm.seen < arm.nth {
                continue;
            }
            arm.fired = true;
            match arm.action {
                Action::Kill => {
                    process.dead.store(true, Ordering::Relaxed);
                    return true;
                }
                Action::Sleep(ms) => process.asleep_until_ms.store(now_ms + ms, Ordering::Relaxed),
                Action::SleepAtChange(ms) => process.sleep_at_change_ms.store(ms, Ordering::Relaxed),
            }
        }
        false
    }
}

/// The failpoints of one process.
pub(super) fn failpoints(script: &Arc<Mutex<Script>>, process: &Arc<Process>, clock: &SimClock) -> Failpoints {
    let (script, process, clock) = (script.clone(), process.clone(), clock.clone());
    Failpoints::hook(move |name| !process.is_dead() && script.lock().hit(name, &process, clock.now_ms()))
}
