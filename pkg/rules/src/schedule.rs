//! When groups are evaluated: each in slots of its own, so that not all are at once, and in the same after a restart.

use labels::Labels;

/// The slots of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slots {
    interval_ns: i64,
    offset_ns: i64,
}

impl Slots {
    /// By file and name of the group, as in Prometheus.
    pub fn of(file: &str, name: &str, interval_ms: i64) -> Self {
        let interval_ns = interval_ms.clamp(1, i64::MAX / 1_000_000) * 1_000_000;
        let hash = Labels::from_pairs([("file", file), ("name", name)]).stable_hash();
        // The rest is below the interval, so it fits.
        let offset_ns = (hash % interval_ns as u64) as i64;
        Self { interval_ns, offset_ns }
    }

    /// The last slot at or before a time, ms; slots lie between the milliseconds, so it is rounded down.
    pub fn before(&self, now_ms: i64) -> i64 {
        self.ns_before(now_ms).div_euclid(1_000_000)
    }

    fn ns_before(&self, now_ms: i64) -> i64 {
        let since = now_ms.saturating_mul(1_000_000).saturating_add(999_999).saturating_sub(self.offset_ns);
        since.div_euclid(self.interval_ns) * self.interval_ns + self.offset_ns
    }

    /// The first slot after a time, ms.
    pub fn after(&self, now_ms: i64) -> i64 {
        (self.ns_before(now_ms) + self.interval_ns).div_euclid(1_000_000)
    }
}

/// What a group does now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Nothing for so long, ms.
    Wait(i64),
    /// The slot to evaluate, and how many were missed before it.
    Now { slot_ms: i64, missed: u64 },
    /// The clock was put back: the slots begin anew.
    SteppedBack,
}

/// What is due at `now_ms`, where `last_ms` was the last slot that was evaluated.
pub(crate) fn due(slots: &Slots, last_ms: i64, now_ms: i64, interval_ms: i64) -> Due {
    let next = slots.after(last_ms);
    if now_ms < last_ms.saturating_sub(2 * interval_ms) {
        return Due::SteppedBack;
    }
    if now_ms < next {
        return Due::Wait(next - now_ms);
    }
    let slot_ms = slots.before(now_ms);
    let missed = (slot_ms - next + interval_ms / 2) / interval_ms.max(1);
    Due::Now { slot_ms, missed: u64::try_from(missed).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_an_interval_apart_and_stay() {
        let slots = Slots::of("/etc/rules.yml", "g", 15_000);
        let first = slots.before(1_000_000);
        assert!(first <= 1_000_000 && first > 1_000_000 - 15_000);
        assert_eq!(slots.before(first), first);
        assert_eq!(slots.after(first), first + 15_000);
        assert_eq!(slots.before(first - 1), first - 15_000);
        assert_eq!(slots.before(-5_000_000).rem_euclid(15_000), first.rem_euclid(15_000));
        let others: std::collections::HashSet<i64> =
            (0..20).map(|n| Slots::of("f", &format!("g{n}"), 15_000).before(1_000_000)).collect();
        assert!(others.len() > 15, "{others:?}");
    }

    #[test]
    fn what_is_due() {
        let slots = Slots::of("f", "g", 10_000);
        let last = slots.before(1_000_000);
        assert_eq!(due(&slots, last, last + 1, 10_000), Due::Wait(9_999));
        assert_eq!(due(&slots, last, last + 10_000, 10_000), Due::Now { slot_ms: last + 10_000, missed: 0 });
        assert_eq!(due(&slots, last, last + 35_000, 10_000), Due::Now { slot_ms: last + 30_000, missed: 2 });
        assert_eq!(due(&slots, last, last - 15_000, 10_000), Due::Wait(25_000));
        assert_eq!(due(&slots, last, last - 25_000, 10_000), Due::SteppedBack);
        assert_eq!(due(&slots, last, last + 3_600_000, 10_000), Due::Now { slot_ms: last + 3_600_000, missed: 359 });
    }
}
