//! The choice of samples: which lane is followed, and where it is left for another.

use chunkenc::Column;
use model::is_stale;

use crate::catch_up::FALLS;
use crate::density::{least, pause_of};
use crate::read::Lane;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A pause longer than this is a gap, whatever the spacing of samples: the query's look-back.
    pub gap_max_ms: i64,
    /// The values are a counter's and will be read as one.
    pub counter: bool,
    /// Values stay as they are, for nobody knows whether they are a counter's; what would look like a false reset is
    /// avoided by the choice of samples.
    pub keep_values: bool,
}

/// Follows one lane, leaves it where it has a gap or another is denser.
pub(crate) fn pick(lanes: &mut [Lane], rules: Rules) -> Column {
    let mut state = State::new(rules);
    let longest = lanes.iter().map(|lane| lane.samples.len()).max().unwrap_or(0);
    state.column.times.reserve(longest);
    state.column.values.reserve(longest);
    if let Some(lane) = first(lanes) {
        state.run(lanes, lane);
    }
    state.column
}

/// The same with `keep_values`: gives for each sample shown its lane and its place there.
pub(crate) fn pick_places(lanes: &mut [Lane], rules: Rules) -> Vec<(u32, u32)> {
    let mut state = State::new(rules);
    if let Some(lane) = first(lanes) {
        state.run(lanes, lane);
    }
    state.refs
}

/// Either, sample by sample: what strides are compared with.
#[cfg(test)]
pub(crate) fn stepwise(lanes: &mut [Lane], rules: Rules) -> State {
    let mut state = State { strides: false, ..State::new(rules) };
    if let Some(lane) = first(lanes) {
        state.run(lanes, lane);
    }
    state
}

/// The lane that begins first.
fn first(lanes: &[Lane]) -> Option<usize> {
    let starts = lanes.iter().enumerate().filter_map(|(i, lane)| Some((lane.peek()?.0, i)));
    starts.min().map(|(_, i)| i)
}

/// Whether another lane is denser than the followed one, from its sample at `last` to that at `next`.
fn is_any_denser(lanes: &mut [Lane], current: usize, last: i64, next: i64) -> bool {
    let mut denser = false;
    for (i, lane) in lanes.iter_mut().enumerate() {
        if i != current {
            lane.compare(last, next);
            denser |= lane.is_denser;
        }
    }
    denser
}

/// Why the lane is followed no further.
#[derive(Debug, Clone, Copy)]
enum Pause {
    End,
    /// Its next sample comes at this time; before, it has a gap, or a denser lane has more.
    Gap {
        next: i64,
        own: bool,
    },
    Stale(i64, f64),
}

/// Another lane with which the series may go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Offer {
    pub lane: usize,
    /// The time of its next sample, ms.
    time: i64,
    /// The spacing of samples there; 0 = not known.
    spacing: i64,
    /// The time before which it must be taken up.
    pub until: i64,
    /// The lane that was followed has a sample at `until`.
    pub goes_on: bool,
}

impl Offer {
    /// The earlier one, unless the later is denser and would have no gap before it.
    fn or(self, other: Self) -> Self {
        let (early, late) = if other.time < self.time { (other, self) } else { (self, other) };
        let denser = late.spacing > 0 && late.spacing.saturating_add(late.spacing / 4) < early.spacing;
        if denser && late.time.saturating_sub(early.time) <= late.spacing { late } else { early }
    }
}

pub(crate) struct State {
    pub rules: Rules,
    /// Samples are shown many at a time where nothing happens.
    strides: bool,
    /// The sample shown last is another lane's.
    pub switched: bool,
    /// The next sample is shown, whatever pause lies before it.
    pub decided: bool,
    /// What was shown last is a stale marker.
    pub gone: bool,
    /// Of the last samples shown, those that were less than the one before.
    pub falls: u16,
    /// Added to a counter's values since the last switch.
    pub shift: f64,
    /// The last live sample shown: time, value as shown, value as read.
    pub last: Option<(i64, f64, f64)>,
    /// What is shown; with `keep_values`, `refs` instead: lane and place.
    pub column: Column,
    pub refs: Vec<(u32, u32)>,
}

impl State {
    fn new(rules: Rules) -> Self {
        Self {
            rules,
            strides: true,
            switched: false,
            decided: false,
            gone: false,
            falls: 0,
            shift: 0.0,
            last: None,
            column: Column::new(),
            refs: Vec::new(),
        }
    }

    /// Chooses samples of all lanes from here to the end, lane `current` first.
    fn run(&mut self, lanes: &mut [Lane], mut current: usize) {
        loop {
            let pause = self.follow(lanes, current);
            let offer = self.elsewhere(lanes, current, pause);
            match offer {
                Some(offer) if self.switch(lanes, current, offer) => current = offer.lane,
                _ => match pause {
                    Pause::End => return,
                    Pause::Gap { .. } => self.accept(lanes, current),
                    Pause::Stale(t, v) => {
                        lanes[current].at += 1;
                        if self.last.is_none() {
                            // Nothing was alive yet: another lane may come to life before this one does.
                            current = first(lanes).unwrap_or(current);
                        } else if offer.is_none() && !self.passed_over(lanes, current, t) {
                            self.show(current, lanes[current].at - 1, t, v);
                            self.gone = true;
                        }
                        // Else another lane lives, only that its values lag behind.
                    }
                },
            }
        }
    }

    fn show(&mut self, lane: usize, at: usize, t: i64, v: f64) {
        if self.rules.keep_values {
            self.refs.push((lane as u32, at as u32));
        } else {
            self.column.push(t, v);
        }
    }

    /// Copies samples until the lane pauses.
    fn follow(&mut self, lanes: &mut [Lane], current: usize) -> Pause {
        loop {
            if self.strides {
                self.stride(lanes, current);
            }
            let Some((t, v)) = lanes[current].peek() else { return Pause::End };
            if is_stale(v) {
                return Pause::Stale(t, v);
            }
            if let Some((last, _, _)) = self.last {
                if t <= last {
                    lanes[current].at += 1;
                    continue;
                }
                if !std::mem::take(&mut self.decided) {
                    let own = lanes[current].has_gap(t.saturating_sub(last), self.rules.gap_max_ms);
                    if is_any_denser(lanes, current, last, t) || own {
                        return Pause::Gap { next: t, own };
                    }
                }
            }
            self.accept(lanes, current);
        }
    }

    /// Shows the lane's next sample.
    fn accept(&mut self, lanes: &mut [Lane], current: usize) {
        let lane = &mut lanes[current];
        let Some((t, v)) = lane.peek() else { return };
        lane.at += 1;
        if let Some((last, _, raw)) = self.last {
            if !std::mem::take(&mut self.switched) {
                lane.note_interval(t.saturating_sub(last), self.rules.gap_max_ms);
            }
            self.falls = self.falls << 1 | u16::from(v < raw);
            if self.rules.counter && v < raw {
                // A real reset within the lane: from here on its own values are right.
                self.shift = 0.0;
            }
        }
        let shown = if self.rules.counter { v + self.shift } else { v };
        let at = lane.at - 1;
        self.show(current, at, t, shown);
        self.gone = false;
        self.last = Some((t, shown, v));
    }

    /// The lane with the earliest live sample that is to be shown before the followed one goes on; or, where a marker is
    /// there, so close behind it that the series lives on.
    fn elsewhere(&self, lanes: &mut [Lane], current: usize, pause: Pause) -> Option<Offer> {
        let last = self.last.map_or(i64::MIN, |(t, _, _)| t);
        let gap_max = self.rules.gap_max_ms;
        let own_spacing = lanes[current].spacing();
        let [mut best, mut double, mut end]: [Option<Offer>; 3] = [None; 3];
        for (i, lane) in lanes.iter_mut().enumerate().filter(|(i, _)| *i != current) {
            lane.seek_after(last);
            // It is gone as well: that it comes back later does not keep the series alive meanwhile.
            if matches!(pause, Pause::Stale(..)) && lane.peek().is_some_and(|(_, v)| is_stale(v)) {
                continue;
            }
            let spacing = lane.spacing_min();
            let near = least(own_spacing, spacing);
            let until = match pause {
                Pause::End => i64::MAX,
                Pause::Gap { own: false, .. } if !lane.is_denser => continue,
                Pause::Gap { next, .. } => next,
                Pause::Stale(t, _) => t.saturating_add(pause_of(own_spacing.max(lane.spacing()), gap_max)),
            };
            // The series may go on after what is known of it: what ends before the next sample was due is no more than the
            // same scrape.
            let due = last.saturating_add((near + near / 4).min(gap_max / 4));
            let ends = matches!(pause, Pause::End) && lane.ends_alive_by(due);
            let Some((time, is_double)) = lane.next_after_switch(last, near, until, gap_max) else { continue };
            let goes_on = matches!(pause, Pause::Gap { .. });
            let offer = Offer { lane: i, time, spacing, until, goes_on };
            let kind = match (ends, is_double) {
                (true, _) => &mut end,
                (false, true) => &mut double,
                (false, false) => &mut best,
            };
            *kind = Some(kind.map_or(offer, |best| best.or(offer)));
        }
        // A scrape is shown twice only where there would be a hole.
        match best {
            Some(best) if best.time.saturating_sub(last) <= gap_max => Some(best),
            Some(_) => double.or(end).or(best),
            None => double,
        }
    }

    /// Whether another lane lives behind a marker at `t`, only that its values lagged behind what was shown.
    fn passed_over(&self, lanes: &[Lane], current: usize, t: i64) -> bool {
        let own = lanes[current].spacing();
        let lives = |lane: &Lane| {
            let until = t.saturating_add(pause_of(own.max(lane.spacing()), self.rules.gap_max_ms));
            lane.previous(until.saturating_sub(1)).is_some_and(|(time, _)| time > t)
        };
        self.rules.keep_values && lanes.iter().enumerate().any(|(i, lane)| i != current && lives(lane))
    }

    /// Prepares to go on with another lane, whose next sample is the one to show. False when nothing is to be had from it.
    fn switch(&mut self, lanes: &mut [Lane], from: usize, offer: Offer) -> bool {
        let near = least(lanes[from].spacing(), offer.spacing);
        let to = offer.lane;
        lanes[to].interval = if offer.spacing > 0 { offer.spacing } else { lanes[from].interval };
        // Whoever comes back after the series was gone does not lag behind what was shown before. What falls again and
        // again is no counter.
        let may_lag = self.rules.keep_values && !self.gone && self.falls.count_ones() < FALLS;
        if may_lag && !self.catch_up(lanes, from, offer) {
            return false;
        }
        lanes.iter_mut().for_each(|lane| lane.lead = 0);
        self.switched = true;
        if self.rules.counter {
            self.rebase(lanes, from, to, near);
        }
        true
    }

    /// Makes the samples of lane `to` go on from the counter's value shown last.
    fn rebase(&mut self, lanes: &mut [Lane], from: usize, to: usize, interval: i64) {
        let (Some((last, shown, _)), Some((t, v))) = (self.last, lanes[to].peek()) else { return };
        let following =
            lanes[to].samples.times.get(lanes[to].at + 1).map_or(i64::MAX, |next| next.saturating_sub(last));
        if t.saturating_sub(last) <= (interval / 2).min(self.rules.gap_max_ms / 2) && following <= self.rules.gap_max_ms
        {
            // The same scrape seen twice: nothing can be said to have been counted in between. Shown again, it would make
            // `irate` zero; the lane's next sample comes before there is a hole.
            self.shift = self.shift_to(shown, v);
            self.last = Some((last, shown, v));
            lanes[to].at += 1;
            return;
        }
        if v + self.shift >= shown {
            self.last = Some((last, shown, v));
            return;
        }
        let fell = self.fell(lanes, from, to)(v);
        self.shift = if fell { 0.0 } else { self.shift_to(shown, v) };
        // What follows is compared with the new lane's own values.
        self.last = Some((last, shown, v));
    }

    /// What makes `v` go on from `shown`. No counter is infinite or no number: there what is shown stays as it is, for sums
    /// with such a shift would never be numbers again.
    fn shift_to(&self, shown: f64, v: f64) -> f64 {
        Some(shown - v).filter(|shift| shift.is_finite()).unwrap_or(self.shift)
    }

    /// Tells of values next in lane `to`, less than the last one of lane `from`, whether they are less because of a reset.
    pub fn fell(&self, lanes: &[Lane], from: usize, to: usize) -> impl Fn(f64) -> bool + use<> {
        let (last, raw) = self.last.map_or((i64::MIN, f64::NAN), |(t, _, raw)| (t, raw));
        // An older sample of the new lane tells of a fall since then. It may lie before what was shown last, unless that is
        // no less.
        let (near, far) = (pause_of(lanes[to].interval, self.rules.gap_max_ms), self.rules.gap_max_ms);
        let reach = |value: f64| if value <= raw { far } else { near };
        let own = lanes[to].previous(last).filter(|(time, v)| last.saturating_sub(*time) <= reach(*v));
        // The old lane's next sample tells too.
        let next = lanes[from].peek().filter(|(_, next)| !is_stale(*next));
        move |v| match (own, next) {
            // The new lane saw both sides: a fall there is a reset.
            (Some((_, before)), _) => v < before,
            (None, Some((_, next))) => next < raw,
            // Failing that: who restarts begins near zero, who lags is close by.
            (None, None) => v < raw / 2.0,
        }
    }
}
