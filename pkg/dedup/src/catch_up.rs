//! Going from one lane to another without a false reset where values stay as they are.

use model::is_stale;

use crate::pick::{Offer, State};
use crate::read::Lane;

/// Over so many look-backs samples shown may be given up for those of a less dense lane, and a lane is held to lag behind.
const PATIENCE: i64 = 8;

/// What falls so often within a few samples or a look-back is no counter.
pub(crate) const FALLS: u32 = 2;

impl State {
    /// Passes over samples of the lane offered that lag behind the value shown last, as long as that makes no hole; else
    /// takes the lane up earlier, in place of what was shown. False when lane `from` goes on before it has caught up.
    pub fn catch_up(&mut self, lanes: &mut [Lane], from: usize, offer: Offer) -> bool {
        let Some((last, _, raw)) = self.last else { return true };
        let Offer { lane: to, until, goes_on, .. } = offer;
        let gap_max = self.rules.gap_max_ms;
        let begin = lanes[to].at;
        let hole = until.saturating_sub(last) > gap_max;
        let fell = self.fell(lanes, from, to);
        let fits = |v: f64| v >= raw || v.is_nan() || raw.is_nan() || fell(v);
        if lanes[to].falls_often(last.saturating_add(gap_max)) {
            return true;
        }
        while let Some((t, v)) = lanes[to].peek() {
            if is_stale(v) {
                lanes[to].at += 1;
                continue;
            }
            if t >= until {
                if !hole {
                    return self.overtake(lanes, from, offer, begin, fits);
                }
                break;
            }
            if t.saturating_sub(last) > gap_max && (lanes[to].at > begin || !fits(v)) {
                break;
            }
            if fits(v) {
                return true;
            }
            lanes[to].at += 1;
        }
        if goes_on && !hole {
            return false;
        }
        lanes[to].at = begin;
        if !self.step_back(lanes, to) {
            self.step_over(lanes, from, to, until);
        }
        true
    }

    /// The lane offered lags behind by more than the pause of lane `from`, which goes on. Only if it is denser it is taken
    /// up all the same: a hole now for more samples from then on, or in place of what was shown, or, if it does not lag
    /// behind but shows something else, as it is.
    fn overtake(
        &mut self,
        lanes: &mut [Lane],
        from: usize,
        offer: Offer,
        begin: usize,
        fits: impl Fn(f64) -> bool,
    ) -> bool {
        let Some((last, ..)) = self.last else { return false };
        let to = offer.lane;
        let passed = lanes[to].at;
        if !offer.goes_on || !lanes[to].is_denser || last < lanes[to].lags_until {
            return false;
        }
        let reach = last.saturating_add(self.rules.gap_max_ms);
        if let Some(caught_up) = lanes[to].first_live(passed, reach, fits) {
            // Counted over four times the hole.
            let at = lanes[to].samples.times[caught_up];
            let end = at.saturating_add(at.saturating_sub(last).saturating_mul(3));
            let pays = lanes[to].count(at - 1, end) > lanes[from].count(last, end);
            if pays {
                lanes[to].at = caught_up;
                self.decided = true;
            }
            return pays;
        }
        lanes[to].at = begin;
        let patience = self.rules.gap_max_ms.saturating_mul(PATIENCE);
        if self.step_back(lanes, to) || !self.has_risen(lanes, last.saturating_sub(patience)) {
            return true;
        }
        let shown = self.refs.first().map_or(last, |first| self.sample(lanes, *first).0);
        lanes[to].lags_until = last.saturating_add(patience.max(last.saturating_sub(shown)));
        lanes[to].at = passed;
        false
    }

    /// Whether the values shown have risen since `t`, as a counter's.
    fn has_risen(&self, lanes: &[Lane], t: i64) -> bool {
        let mut shown = self.refs.iter().rev().map(|r| self.sample(lanes, *r)).take_while(|(time, _)| *time >= t);
        let Some((_, last)) = shown.next() else { return false };
        shown.map(|(_, v)| v).find(|v| *v != last).is_some_and(|before| before < last)
    }

    fn sample(&self, lanes: &[Lane], (lane, at): (u32, u32)) -> (i64, f64) {
        let samples = &lanes[lane as usize].samples;
        (samples.times[at as usize], samples.values[at as usize])
    }

    /// Passes over a few more samples: a short hole does less harm than a false reset, if only it is no longer than what
    /// counts as no gap.
    fn step_over(&self, lanes: &mut [Lane], from: usize, to: usize, until: i64) {
        let Some((last, _, raw)) = self.last else { return };
        let interval = lanes[from].interval.max(lanes[to].interval).min(self.rules.gap_max_ms);
        let reach = last.saturating_add(interval.saturating_add(interval / 2)).min(until);
        let lane = &mut lanes[to];
        // All that is left may be such a double of what was shown.
        let skipped = if lane.ends_alive_by(reach) { lane.samples.len() } else { lane.at };
        lane.at = lane.caught_up(lane.at, reach, raw).unwrap_or(skipped);
    }

    /// Takes back samples shown until lane `to` goes on from there without a fall and without a hole. False when there is
    /// no such place.
    fn step_back(&mut self, lanes: &mut [Lane], to: usize) -> bool {
        let gap_max = self.rules.gap_max_ms;
        let at = lanes[to].at;
        let Some((last, ..)) = self.last else { return false };
        let any_density = last.saturating_sub(gap_max.saturating_mul(PATIENCE));
        let mut next = Some(at);
        for kept in (0..=self.refs.len()).rev() {
            let before = kept.checked_sub(1).map(|i| self.sample(lanes, self.refs[i]));
            if before.is_some_and(|(_, v)| is_stale(v)) {
                return false;
            }
            next = next.and_then(|next| lanes[to].back_to(next, before.map_or(i64::MIN, |(t, _)| t), gap_max));
            let Some(from) = next else { return false };
            let taken_up = match (before, self.refs.first()) {
                (Some((t, v)), _) => lanes[to].caught_up(from, t.saturating_add(gap_max), v),
                // In place of all.
                (None, Some(first)) => lanes[to].caught_up(from, self.sample(lanes, *first).0, f64::NEG_INFINITY),
                (None, None) => None,
            };
            let Some(next) = taken_up else { continue };
            let (gained, given_up) = (at.saturating_sub(next), self.refs.len() - kept);
            if before.is_none_or(|(t, _)| t < any_density) && gained + gained / 4 < given_up {
                return false;
            }
            self.refs.truncate(kept);
            self.last = before.map(|(t, v)| (t, v, v));
            lanes[to].at = next;
            return true;
        }
        false
    }
}

impl Lane {
    /// Whether the next samples, up to `reach`, fall as no counter's do.
    fn falls_often(&self, reach: i64) -> bool {
        let ahead = self.samples.times.iter().zip(&self.samples.values).skip(self.at);
        let live = ahead.take_while(|(t, _)| **t <= reach).map(|(_, v)| *v).filter(|v| !is_stale(*v));
        let mut before = f64::NEG_INFINITY;
        let falls = live.filter(|v| *v < std::mem::replace(&mut before, *v));
        falls.take(FALLS as usize).count() == FALLS as usize
    }

    /// From place `from` back to the first one after `t`. None where there is a marker or a hole on the way: what another
    /// lane has shown there must stay.
    fn back_to(&self, mut from: usize, t: i64, gap_max_ms: i64) -> Option<usize> {
        let Self { samples, .. } = self;
        while let Some(before) = from.checked_sub(1).filter(|i| samples.times[*i] > t) {
            let hole = samples.times.get(from).is_some_and(|after| after - samples.times[before] > gap_max_ms);
            if hole || is_stale(samples.values[before]) {
                return None;
            }
            from = before;
        }
        Some(from)
    }

    /// The first sample from place `from` on that is not less than `value`, no later than `reach` and before any marker.
    fn caught_up(&self, from: usize, reach: i64, value: f64) -> Option<usize> {
        let ahead = self.samples.times.iter().zip(&self.samples.values).enumerate().skip(from);
        let within = ahead.take_while(|(_, (t, v))| **t <= reach && !is_stale(**v));
        within.map(|(i, (_, v))| (i, *v)).find(|(_, v)| *v >= value).map(|(i, _)| i)
    }

    /// The first live sample from place `from` on that fits, no later than `reach`.
    fn first_live(&self, from: usize, reach: i64, fits: impl Fn(f64) -> bool) -> Option<usize> {
        let ahead = self.samples.times.iter().zip(&self.samples.values).enumerate().skip(from);
        let within = ahead.take_while(|(_, (t, _))| **t <= reach);
        within.filter(|(_, (_, v))| !is_stale(**v)).find(|(_, (_, v))| fits(**v)).map(|(i, _)| i)
    }
}
