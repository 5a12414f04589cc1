//! Which lane's samples show.

use chunkenc::Column;
use model::is_stale;

use crate::read::Lane;

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// A pause longer than this is a gap, whatever the spacing of samples: the query's look-back.
    pub gap_max_ms: i64,
    /// The values are a counter's and will be read as one.
    pub counter: bool,
    /// Values stay as they are, for nobody knows whether they are a counter's; what would look like a false reset is
    /// avoided by the choice of samples. Each lane must be one piece.
    pub keep_values: bool,
}

/// Follows one lane, leaves it at gaps.
pub(crate) fn pick(lanes: &mut [Lane], rules: Rules) -> Column {
    let mut state = State::new(rules);
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

impl State {
    /// Begins with lane `current`.
    fn run(&mut self, lanes: &mut [Lane], mut current: usize) {
        let state = self;
        loop {
            let pause = state.follow(lanes, current);
            // The lane pauses at `until`: it ends, has a gap or goes stale there.
            let (until, stale) = match pause {
                Pause::End => (i64::MAX, false),
                Pause::Gap(t) => (t, false),
                Pause::Stale(t, _) => (t, true),
            };
            let elsewhere = state.elsewhere(lanes, current, until, stale);
            match elsewhere {
                Some((lane, until)) if state.switch(lanes, current, lane, until) => current = lane,
                other => match pause {
                    Pause::End => return,
                    Pause::Gap(_) => state.accept(lanes, current),
                    Pause::Stale(t, v) => {
                        lanes[current].at += 1;
                        if state.last.is_none() {
                            // Nothing was alive yet: another lane may come to life before this one does.
                            current = first(lanes).unwrap_or(current);
                        } else if other.is_none() && !state.passed_over(lanes, current, t) {
                            state.show(current, lanes[current].at - 1, t, v);
                            state.gone = true;
                        }
                        // Else another lane lives, only that its values lag behind.
                    }
                },
            }
        }
    }
}

/// The lane that begins first.
fn first(lanes: &mut [Lane]) -> Option<usize> {
    let starts = lanes.iter_mut().enumerate().filter_map(|(i, lane)| Some((lane.peek()?.0, i)));
    starts.min().map(|(_, i)| i)
}

enum Pause {
    End,
    Gap(i64),
    Stale(i64, f64),
}

struct State {
    rules: Rules,
    /// The sample shown last is another lane's.
    switched: bool,
    /// What was shown last is a stale marker.
    gone: bool,
    /// Added to a counter's values since the last switch.
    shift: f64,
    /// The last live sample shown: time, value as shown, value as read.
    last: Option<(i64, f64, f64)>,
    /// What is shown; with `keep_values`, `refs` instead: lane and place.
    column: Column,
    refs: Vec<(u32, u32)>,
}

impl State {
    fn new(rules: Rules) -> Self {
        Self { rules, switched: false, gone: false, shift: 0.0, last: None, column: Column::new(), refs: Vec::new() }
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
            let lane = &mut lanes[current];
            let Some((t, v)) = lane.peek() else { return Pause::End };
            if is_stale(v) {
                return Pause::Stale(t, v);
            }
            if let Some((last, _, _)) = self.last {
                if t <= last {
                    lane.at += 1;
                    continue;
                }
                if lane.interval == 0 {
                    lane.interval = lane.spacing_ahead();
                }
                if lane.interval > 0 && t - last > lane.pause_max(self.rules.gap_max_ms) {
                    return Pause::Gap(t);
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
                lane.note_interval(t - last, self.rules.gap_max_ms);
            }
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

    /// The lane with the earliest live sample after what was shown and before `until`, or, where a marker is there, so close
    /// behind it that the series lives on. With it the time before which it must be taken up.
    fn elsewhere(&self, lanes: &mut [Lane], current: usize, until: i64, stale: bool) -> Option<(usize, i64)> {
        let last = self.last.map_or(i64::MIN, |(t, _, _)| t);
        let gap_max = self.rules.gap_max_ms;
        let (interval, pause) = (lanes[current].interval, lanes[current].pause_max(gap_max));
        let mut best: Option<(i64, usize, i64)> = None;
        for (i, lane) in lanes.iter_mut().enumerate().filter(|(i, _)| *i != current) {
            let mut until = until;
            if stale {
                lane.seek_after(last);
                let spacing = if lane.ready() { lane.spacing_ahead().max(lane.interval) } else { lane.interval };
                until = until.saturating_add(pause.max(pause_of(spacing, gap_max)));
            }
            if let Some((t, _)) = lane.next_after_switch(last, interval, until, gap_max)
                && best.is_none_or(|(earliest, ..)| t < earliest)
            {
                best = Some((t, i, until));
            }
        }
        best.map(|(_, i, until)| (i, until))
    }

    /// Whether another lane lives behind a marker at `t`, only that its values lagged behind what was shown.
    fn passed_over(&self, lanes: &[Lane], current: usize, t: i64) -> bool {
        let gap_max = self.rules.gap_max_ms;
        let pause = lanes[current].pause_max(gap_max);
        let lives = |lane: &Lane| {
            let until = t.saturating_add(pause.max(lane.pause_max(gap_max)));
            let passed = lane.piece.times.iter().zip(&lane.piece.values).take(lane.at).rev();
            let mut passed = passed.take_while(|(time, _)| **time > t);
            passed.any(|(time, v)| *time < until && !is_stale(*v))
        };
        self.rules.keep_values && lanes.iter().enumerate().any(|(i, lane)| i != current && lives(lane))
    }

    /// Prepares to go on with lane `to`, whose next sample is the one to show. False when nothing is to be had from it
    /// before `until`, where lane `from` goes on.
    fn switch(&mut self, lanes: &mut [Lane], from: usize, to: usize, until: i64) -> bool {
        let interval = lanes[from].interval;
        // What the lane was like when it was followed before may have changed.
        let ahead = lanes[to].spacing_ahead();
        lanes[to].interval = if (1..=self.rules.gap_max_ms).contains(&ahead) { ahead } else { interval };
        lanes[to].pauses = 0;
        // Whoever comes back after the series was gone does not lag behind what was shown before.
        if self.rules.keep_values && !self.gone && !self.catch_up(lanes, from, to, until) {
            return false;
        }
        self.switched = true;
        if self.rules.counter {
            self.rebase(lanes, from, to, interval);
        }
        true
    }

    /// Makes the samples of lane `to` go on from the counter's value shown last.
    fn rebase(&mut self, lanes: &mut [Lane], from: usize, to: usize, interval: i64) {
        let (Some((last, shown, raw)), Some((t, v))) = (self.last, lanes[to].peek()) else { return };
        if t - last <= (interval / 2).min(self.rules.gap_max_ms / 2) {
            // The same scrape seen twice: nothing can be said to have been counted in between. Shown again, it would make
            // `irate` zero; the lane's next sample comes before there is a hole.
            self.shift = shown - v;
            self.last = Some((last, shown, v));
            lanes[to].at += 1;
            return;
        }
        if v + self.shift >= shown {
            self.last = Some((last, shown, v));
            return;
        }
        let fell = self.fell(lanes, from, to, (last, raw), v);
        self.shift = if fell { 0.0 } else { shown - v };
        // What follows is compared with the new lane's own values.
        self.last = Some((last, shown, v));
    }

    /// Whether the value `v`, next in lane `to` and less than the last one of lane `from`, is less because of a reset.
    fn fell(&self, lanes: &mut [Lane], from: usize, to: usize, (last, raw): (i64, f64), v: f64) -> bool {
        // An older sample of the new lane tells of a fall since then, which may lie before what was shown last.
        let reach = lanes[to].pause_max(self.rules.gap_max_ms);
        match lanes[to].previous(last).filter(|(time, _)| last - time <= reach) {
            // The new lane saw both sides: a fall there is a reset.
            Some((_, b)) => v < b,
            // Else the old lane's next sample tells. Failing that: who restarts begins near zero, who lags is close by.
            None => match lanes[from].peek() {
                Some((_, next)) if !is_stale(next) => next < raw,
                _ => v < raw / 2.0,
            },
        }
    }

    /// Passes over samples of lane `to` that lag behind the value shown last, as long as that makes no hole; else takes
    /// the lane up earlier, in place of what was shown. False when lane `from` goes on, at `until`, before it has caught up.
    fn catch_up(&mut self, lanes: &mut [Lane], from: usize, to: usize, until: i64) -> bool {
        let Some((last, _, raw)) = self.last else { return true };
        let begin = lanes[to].at;
        let gap_max = self.rules.gap_max_ms;
        while let Some((t, v)) = lanes[to].peek() {
            if is_stale(v) {
                lanes[to].at += 1;
                continue;
            }
            if t >= until {
                if until.saturating_sub(last) <= gap_max {
                    return false;
                }
                break;
            }
            let fits = v >= raw || v.is_nan() || raw.is_nan() || self.fell(lanes, from, to, (last, raw), v);
            if t.saturating_sub(last) > gap_max && (lanes[to].at > begin || !fits) {
                break;
            }
            if fits {
                return true;
            }
            lanes[to].at += 1;
        }
        lanes[to].at = begin;
        if !self.step_back(lanes, to) {
            // A short hole does less harm than a false reset, if only it is no longer than what counts as no gap.
            let interval = lanes[from].interval.max(lanes[to].interval);
            let reach = last.saturating_add(interval.saturating_add(interval / 2)).min(until);
            let lane = &mut lanes[to];
            // All that is left may be such a double of what was shown.
            let ends = lane.piece.times.last().is_some_and(|t| *t <= reach)
                && !lane.piece.values[begin..].iter().any(|v| is_stale(*v));
            let skipped = if ends { lane.piece.len() } else { begin };
            lane.at = lane.caught_up(begin, reach, raw).unwrap_or(skipped);
        }
        true
    }

    /// Takes back samples shown until lane `to` goes on from there without a fall and without a hole. False when there is
    /// no such place.
    fn step_back(&mut self, lanes: &mut [Lane], to: usize) -> bool {
        let gap_max = self.rules.gap_max_ms;
        let at = lanes[to].at;
        let sample = |lanes: &[Lane], (lane, at): (u32, u32)| {
            let piece = &lanes[lane as usize].piece;
            (piece.times[at as usize], piece.values[at as usize])
        };
        let mut next = at;
        for kept in (1..=self.refs.len()).rev() {
            let (t, v) = sample(lanes, self.refs[kept - 1]);
            if is_stale(v) {
                return false;
            }
            let piece = &lanes[to].piece;
            while next > 0 && piece.times[next - 1] > t {
                // A hole or a marker of the lane's own: what another lane has shown there must stay.
                if is_stale(piece.values[next - 1])
                    || piece.times.get(next).is_some_and(|after| after - piece.times[next - 1] > gap_max)
                {
                    return false;
                }
                next -= 1;
            }
            if let Some(next) = lanes[to].caught_up(next, t.saturating_add(gap_max), v) {
                self.refs.truncate(kept);
                self.last = Some((t, v, v));
                lanes[to].at = next;
                return true;
            }
        }
        false
    }
}

impl Lane {
    /// The first sample of the piece from place `from` on that is not less than `value`, no later than `reach` and before
    /// any marker.
    fn caught_up(&self, from: usize, reach: i64, value: f64) -> Option<usize> {
        let ahead = self.piece.times.iter().zip(&self.piece.values).enumerate().skip(from);
        let within = ahead.take_while(|(_, (t, v))| **t <= reach && !is_stale(**v));
        within.map(|(i, (_, v))| (i, *v)).find(|(_, v)| *v >= value).map(|(i, _)| i)
    }

    /// Learns the spacing of samples. A pause is not taken for the spacing until it has come three times in a row.
    fn note_interval(&mut self, delta: i64, gap_max_ms: i64) {
        let pause = self.interval > 0 && delta > self.pause_max(gap_max_ms);
        self.pauses = if pause { self.pauses + 1 } else { 0 };
        if !pause || self.pauses >= 3 {
            self.interval = delta;
        }
    }

    /// A pause longer than this is a gap.
    fn pause_max(&self, gap_max_ms: i64) -> i64 {
        pause_of(self.interval, gap_max_ms)
    }
}

/// The longest pause between samples of a spacing that is no gap.
fn pause_of(interval: i64, gap_max_ms: i64) -> i64 {
    (interval + interval / 2).clamp(1, gap_max_ms.max(1))
}
