//! Who is next, and what befalls them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Clock;
use objstore::Op;
use rand::RngExt;

use super::gate::{Process, Trouble, Verdict, Waiting};
use super::store::Listing;
use super::world::{UploadStep, World};
use super::{BASE, HOUR};
use crate::lease::LEASES_DIR;

/// What befalls a process that is about to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    /// It dies before the change.
    KillBefore,
    /// It dies right after the change.
    KillAfter,
    /// It sleeps for so long, ms.
    Sleep(i64),
    /// The store answers so, and does nothing.
    Fail(Trouble),
    /// The store answers so, and makes the change all the same.
    FailAfter(Trouble),
}

/// Longer than compactors rest, ms.
const STUCK_MS: i64 = 40 * HOUR;

enum Next {
    Turn(Waiting, Verdict),
    /// As well, and then it dies.
    Last(Waiting),
    Kill(usize),
    /// Somebody fell asleep.
    Asleep,
    /// Nobody wants anything.
    Nobody,
}

impl World {
    /// Lets all tasks run until each waits for its turn or sleeps.
    async fn settle(&self) {
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// One operation, or a rest if nobody has one.
    pub(super) async fn step(&mut self) {
        self.settle().await;
        self.steps += 1;
        for who in 0..self.slots.len() {
            if self.slots[who].process.is_dead() {
                self.restart(who).await;
            }
        }
        if self.plan.life {
            self.go_on_uploading();
        } else {
            self.happen().await;
        }
        match self.next() {
            Next::Turn(turn, verdict) => {
                let changes = matches!(turn.op, Op::Upload | Op::Delete);
                if changes || verdict != Verdict::Go {
                    let (who, op, path) = (turn.process.who, turn.op.name(), &turn.path);
                    self.log.push(format!("{} c{who} {op} {path} {verdict:?}", self.steps));
                }
                let _ = turn.go.send(verdict);
                if changes {
                    self.settle().await;
                    self.check();
                }
            }
            Next::Last(turn) => {
                let who = turn.process.who;
                self.log.push(format!("{} c{who} {} {}", self.steps, turn.op.name(), turn.path));
                let _ = turn.go.send(Verdict::Go);
                self.settle().await;
                self.check();
                self.restart(who).await;
            }
            Next::Kill(who) => self.restart(who).await,
            Next::Asleep => {}
            Next::Nobody => {
                self.rest().await;
                self.notice_the_stuck();
            }
        }
    }

    /// Until somebody comes, or wakes up.
    async fn rest(&self) {
        let now_ms = self.clock.now_ms();
        let until = self.slots.iter().map(|s| s.process.asleep_until_ms.load(Ordering::Relaxed));
        let until_ms = until.filter(|t| *t > now_ms).min().unwrap_or(now_ms + 48 * HOUR);
        let arrived = self.turns.arrived.clone();
        tokio::select! {
            biased;
            () = arrived.notified() => {}
            () = tokio::time::sleep(Duration::from_millis((until_ms - now_ms) as u64)) => {}
        }
    }

    /// A compactor looks at the bucket every few hours: one that does not waits for what never comes.
    fn notice_the_stuck(&mut self) {
        let now_ms = self.clock.now_ms();
        let is_stuck = |process: &Process| {
            let since_ms = process.seen_ms.load(Ordering::Relaxed).max(process.asleep_until_ms.load(Ordering::Relaxed));
            now_ms.saturating_sub(since_ms) > STUCK_MS
        };
        if let Some(slot) = self.slots.iter().find(|s| is_stuck(&s.process)) {
            let who = slot.process.who;
            self.fail(&format!("I8: c{who} is stuck"));
        }
    }

    fn next(&mut self) -> Next {
        let now_ms = self.clock.now_ms();
        let waiting = self.turns.waiting.clone();
        let mut waiting = waiting.lock();
        waiting.retain(|w| !w.go.is_closed());
        waiting.iter().for_each(|w| w.process.seen_ms.store(now_ms, Ordering::Relaxed));
        let is_awake = |w: &Waiting| w.process.asleep_until_ms.load(Ordering::Relaxed) <= now_ms;
        let awake: Vec<usize> = (0..waiting.len()).filter(|at| is_awake(&waiting[*at])).collect();
        if awake.is_empty() {
            return Next::Nobody;
        }
        let at = awake[self.rng.random_range(0..awake.len())];
        let (process, op) = (waiting[at].process.clone(), waiting[at].op);
        let changes = matches!(op, Op::Upload | Op::Delete);
        if changes && !waiting[at].path.starts_with(LEASES_DIR) {
            let long_ms = process.sleep_at_change_ms.swap(0, Ordering::Relaxed);
            if long_ms > 0 {
                process.asleep_until_ms.store(now_ms + long_ms, Ordering::Relaxed);
                self.log.push(format!("{} c{} sleeps {} s", self.steps, process.who, long_ms / 1000));
                return Next::Asleep;
            }
        }
        if changes {
            self.meet(&waiting[at].path);
        }
        let strike = self.strike(&process, changes, now_ms);
        match strike {
            Some(Strike::KillBefore) => return Next::Kill(process.who),
            Some(Strike::KillAfter) => return Next::Last(waiting.remove(at)),
            Some(Strike::Sleep(_)) => return Next::Asleep,
            Some(Strike::Fail(trouble)) => return Next::Turn(waiting.remove(at), Verdict::Fail(trouble)),
            Some(Strike::FailAfter(trouble)) => return Next::Turn(waiting.remove(at), Verdict::FailAfter(trouble)),
            None => {}
        }
        // most faults strike where something is about to change
        if !self.plan.life && self.rng.random_ratio(1, if changes { 12 } else { 200 }) {
            if self.plan.kills && (!self.plan.pauses || self.rng.random_bool(0.5)) {
                return Next::Kill(process.who);
            }
            if self.plan.pauses {
                let long_ms = [30_000, 100_000, 400_000, 5 * HOUR, 100 * HOUR][self.rng.random_range(0..5)];
                process.asleep_until_ms.store(now_ms + long_ms, Ordering::Relaxed);
                self.log.push(format!("{} c{} sleeps {} s", self.steps, process.who, long_ms / 1000));
                return Next::Asleep;
            }
        }
        let turn = waiting.remove(at);
        let verdict = if self.plan.faults { self.verdict(&turn, now_ms) } else { Verdict::Go };
        Next::Turn(turn, verdict)
    }

    /// Lets the uploader come back before a change of its block.
    fn meet(&mut self, path: &str) {
        let is_its = self.partial.as_ref().is_some_and(|(meta, _)| path.starts_with(&meta.ulid.to_string()));
        if !is_its {
            return;
        }
        self.touches += 1;
        let Some((_, steps)) = self.come_back.filter(|(nth, _)| *nth == self.touches) else { return };
        self.resume();
        for _ in 0..steps {
            if self.upload_at != Some(UploadStep::LookLast) {
                self.upload_step();
            }
        }
    }

    /// Counts changes, and gives what befalls whoever is about to make the one that was chosen.
    fn strike(&mut self, process: &Process, changes: bool, now_ms: i64) -> Option<Strike> {
        if !changes {
            return None;
        }
        self.changes += 1;
        let (_, strike) = self.strike.filter(|(at, _)| *at == self.changes)?;
        if let Strike::Sleep(long_ms) = strike {
            process.asleep_until_ms.store(now_ms + long_ms, Ordering::Relaxed);
        }
        self.log.push(format!("{} c{} {strike:?}", self.steps, process.who));
        Some(strike)
    }

    /// What the store does.
    fn verdict(&mut self, turn: &Waiting, now_ms: i64) -> Verdict {
        if self.throttled.is_some_and(|(who, until_ms)| who == turn.process.who && now_ms < until_ms) {
            return Verdict::Fail(Trouble::Throttled);
        }
        let changes = matches!(turn.op, Op::Upload | Op::Delete);
        if !self.rng.random_ratio(1, if changes { 15 } else { 40 }) {
            return Verdict::Go;
        }
        if self.rng.random_ratio(1, 20) {
            self.throttled = Some((turn.process.who, now_ms + self.rng.random_range(1..300) * 1000));
            return Verdict::Fail(Trouble::Throttled);
        }
        let choices: &[Verdict] = match turn.op {
            Op::Upload => &[
                Verdict::Fail(Trouble::Timeout),
                Verdict::FailAfter(Trouble::Timeout),
                Verdict::FailAfter(Trouble::Precondition),
                Verdict::FailAfter(Trouble::Throttled),
            ],
            Op::Delete => &[Verdict::Fail(Trouble::Timeout), Verdict::FailAfter(Trouble::Timeout)],
            // what leases rest upon: listings that show what was written before
            Op::Iter if turn.path.starts_with(LEASES_DIR) => {
                &[Verdict::Fail(Trouble::Timeout), Verdict::List(Listing::Cut(1))]
            }
            Op::Iter => &[
                Verdict::Fail(Trouble::Timeout),
                Verdict::List(Listing::Cut(0)),
                Verdict::List(Listing::Cut(7)),
                Verdict::List(Listing::Stale(1000)),
                Verdict::List(Listing::Stale(20_000)),
                Verdict::List(Listing::Stale(60_000)),
            ],
            _ => &[Verdict::Fail(Trouble::Timeout), Verdict::Fail(Trouble::Missing)],
        };
        choices[self.rng.random_range(0..choices.len())]
    }

    /// What happens besides: time passes, blocks come, clocks jump, others meddle.
    async fn happen(&mut self) {
        if self.steps.is_multiple_of(60) && self.next_h < 60 {
            let (from, cluster) = (self.next_h, if self.rng.random_bool(0.5) { "a" } else { "b" });
            self.next_h += 2;
            self.upload(cluster, from, from + 2);
        }
        if self.rng.random_ratio(1, 12) {
            let ms = self.rng.random_range(1000..30_000);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        if self.plan.jumps && self.rng.random_ratio(1, 100) {
            let who = self.rng.random_range(0..self.slots.len());
            let off_ms = [49 * HOUR, -49 * HOUR, 0][self.rng.random_range(0..3)];
            self.slots[who].clock.off_ms.store(off_ms, Ordering::Relaxed);
            self.log.push(format!("{} the clock of c{who} is {} h off", self.steps, off_ms / HOUR));
        }
        if self.plan.faults && self.rng.random_ratio(1, 150) {
            self.vanish();
        }
        if self.rng.random_ratio(1, 300) && self.upload_at.is_none() {
            self.resume();
        }
        if self.of_uploader.random_ratio(1, 4) {
            self.go_on_uploading();
        }
    }

    /// One step of the uploader that has come back. Its last look is not before a deletion that is on its way: whoever
    /// stands still between his question and the deletion for so long is what cannot be noticed.
    fn go_on_uploading(&mut self) {
        let Some((meta, _)) = &self.partial else { return };
        let (id, turns) = (meta.ulid.to_string(), self.turns.waiting.clone());
        let is_deleting = turns.lock().iter().any(|w| w.op == Op::Delete && w.path.starts_with(&id));
        if self.upload_at.is_some_and(|at| at != UploadStep::LookLast || !is_deleting) {
            self.upload_step();
            self.check();
        }
    }

    /// Somebody else deletes a block that was replaced, at once.
    fn vanish(&mut self) {
        let now_ms = self.clock.now_ms();
        let mut state = self.store.state();
        let blocks = self.checker.blocks(&state);
        let found = blocks.iter().find(|(id, block)| {
            let (Some(meta), Some(units), Some(_)) = (&block.meta, &block.units, &block.mark) else { return false };
            let mut held = BTreeSet::new();
            for (other, block) in blocks.iter().filter(|(other, b)| other != id && b.mark.is_none()) {
                let is_fit = block.meta.as_ref().is_some_and(|m| m.resolution_ms() == meta.resolution_ms());
                // parts show what they hold once all are there
                if is_fit && !self.plan.split && block.missing().is_none() && *other != meta.ulid {
                    held.extend(block.units.iter().flat_map(|u| &**u));
                }
            }
            units.iter().all(|u| held.contains(u))
        });
        let Some((id, _)) = found else { return };
        let paths: Vec<String> = state.objects.keys().filter(|p| p.starts_with(&id.to_string())).cloned().collect();
        for path in paths {
            state.delete(&path, now_ms);
        }
        drop(state);
        self.log.push(format!("{} {id} vanishes", self.steps));
        self.checker.forget(*id);
    }

    /// Goes on until so long after the beginning, ms.
    pub(super) async fn until(&mut self, end_ms: i64) {
        while self.clock.now_ms() < BASE + 100 * HOUR + end_ms {
            self.step().await;
            if self.steps > 100_000 {
                self.fail("I8: it does not come to an end");
            }
        }
    }
}
