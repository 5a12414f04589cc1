//! The task of a group: it waits for the slots of its group and evaluates it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::group::Group;
use crate::schedule::{Due, Slots, due};

/// The clock is looked at again after so long, ms: it may have been set.
const WAIT_MS_MAX: i64 = 10_000;

/// Evaluates the group in its slots until `stop`. Gives the group back, for another version of it to take its state over.
pub(crate) async fn run(mut group: Group, stop: CancellationToken) -> Group {
    let interval_ms = group.interval_ms();
    let spec = &group.view.spec;
    let slots = Slots::of(&spec.file, &spec.name, interval_ms);
    let clock = group.deps.clock.clone();
    let mut last_ms = slots.before(clock.now_ms());
    // Before the second evaluation there may be too little data to judge what was before the restart.
    let mut unrestored = group.view.rules.iter().any(|rule| !rule.is_restored()).then_some(2_u32);
    loop {
        match due(&slots, last_ms, clock.now_ms(), interval_ms) {
            Due::Wait(ms) => {
                let wait = Duration::from_millis(ms.clamp(1, WAIT_MS_MAX).unsigned_abs());
                if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                    return group;
                }
            }
            Due::SteppedBack => {
                warn!(group = group.view.spec.name, "the clock was put back, rules go on at its new time");
                last_ms = slots.before(clock.now_ms());
            }
            Due::Now { slot_ms, missed } => {
                group.metrics.missed.inc_by(missed);
                group.metrics.scheduled.inc_by(missed);
                last_ms = slot_ms;
                // What was begun is ended: a rule that was evaluated must be written.
                group.evaluate(slot_ms).await;
                unrestored = match unrestored {
                    Some(1) => {
                        group.restore(clock.now_ms()).await;
                        None
                    }
                    left => left.map(|left| left - 1),
                };
            }
        }
        if stop.is_cancelled() {
            return group;
        }
    }
}

/// Ends the series of a group that is gone, after two intervals: rules that go on under another name write them by then.
pub(crate) async fn end(mut group: Group, stop: CancellationToken) {
    let now_ms = group.deps.clock.now_ms();
    group.ended = group.take_series();
    let wait = Duration::from_millis((2 * group.interval_ms()).unsigned_abs());
    if group.ended.is_empty() || stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
        return;
    }
    let time_ms = now_ms.saturating_sub(group.view.query_offset_ms());
    group.write_ends(time_ms).await;
}
