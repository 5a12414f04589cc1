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
}

/// Follows one lane, leaves it at gaps.
pub(crate) fn pick(lanes: &mut [Lane], rules: Rules) -> Column {
    let mut out = Column::new();
    let mut state = State { rules, switched: false, shift: 0.0, last: None };
    let Some(mut current) = first(lanes) else { return out };
    loop {
        let pause = state.follow(&mut lanes[current], &mut out);
        // The lane pauses at `until`: it ends, has a gap or goes stale there.
        let (until, stale) = match pause {
            Pause::End => (i64::MAX, None),
            Pause::Gap(t) => (t, None),
            Pause::Stale(t, v) => (t, Some((t, v))),
        };
        // Where the other lanes are close behind the marker, the series lives on.
        let reach = match stale {
            Some((t, _)) => t.saturating_add(lanes[current].pause_max(rules.gap_max_ms)),
            None => until,
        };
        match state.elsewhere(lanes, current, reach) {
            Some(lane) => {
                state.switch(lanes, current, lane);
                current = lane;
            }
            None => match pause {
                Pause::End => return out,
                Pause::Gap(_) => state.accept(&mut lanes[current], &mut out),
                Pause::Stale(t, v) => {
                    lanes[current].at += 1;
                    if state.last.is_some() {
                        out.push(t, v);
                    } else if let Some(lane) = first(lanes) {
                        // Nothing was alive yet: another lane may come to life before this one does.
                        current = lane;
                    }
                }
            },
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
    /// Added to a counter's values since the last switch.
    shift: f64,
    /// The last live sample shown: time, value as shown, value as read.
    last: Option<(i64, f64, f64)>,
}

impl State {
    /// Copies samples until the lane pauses.
    fn follow(&mut self, lane: &mut Lane, out: &mut Column) -> Pause {
        loop {
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
            self.accept(lane, out);
        }
    }

    /// Shows the lane's next sample.
    fn accept(&mut self, lane: &mut Lane, out: &mut Column) {
        let Some((t, v)) = lane.peek() else { return };
        lane.at += 1;
        if let Some((last, _, raw)) = self.last {
            if !std::mem::take(&mut self.switched) {
                lane.note_interval(t - last, self.rules.gap_max_ms);
            }
            if self.rules.counter && v < raw && !lane.relative {
                // A real reset within the lane: from here on its own values are right.
                self.shift = 0.0;
            }
        }
        let shown = if self.rules.counter { v + self.shift } else { v };
        out.push(t, shown);
        self.last = Some((t, shown, v));
    }

    /// The lane with the earliest live sample after what was shown and before `until`.
    fn elsewhere(&self, lanes: &mut [Lane], current: usize, until: i64) -> Option<usize> {
        let last = self.last.map_or(i64::MIN, |(t, _, _)| t);
        let interval = lanes[current].interval;
        let mut best: Option<(i64, usize)> = None;
        for (i, lane) in lanes.iter_mut().enumerate().filter(|(i, _)| *i != current) {
            if let Some((t, _)) = lane.next_after_switch(last, interval, until, self.rules.gap_max_ms)
                && best.is_none_or(|(earliest, _)| t < earliest)
            {
                best = Some((t, i));
            }
        }
        best.map(|(_, i)| i)
    }

    /// Prepares to go on with lane `to`, whose next sample is the one to show.
    fn switch(&mut self, lanes: &mut [Lane], from: usize, to: usize) {
        self.switched = true;
        let interval = lanes[from].interval;
        if lanes[to].interval == 0 {
            lanes[to].interval = interval;
        }
        let (Some((last, shown, raw)), Some((t, v))) = (self.last, lanes[to].peek()) else { return };
        if !self.rules.counter {
            return;
        }
        let before = lanes[to].previous();
        if lanes[to].relative || lanes[from].relative {
            // Totals with bases of their own: only the increase counts.
            let increase = before.filter(|(_, b)| *b <= v).map_or(0.0, |(_, b)| v - b);
            self.shift = shown + increase - v;
            self.last = Some((last, shown, v));
            return;
        }
        if t - last <= interval / 2 {
            // The same scrape seen twice: nothing can be said to have been counted in between.
            self.shift = shown - v;
            self.last = Some((last, shown, v));
            return;
        }
        if v + self.shift >= shown {
            self.last = Some((last, shown, v));
            return;
        }
        // An older sample of the new lane tells of a fall since then, which may lie before what was shown last.
        let reach = lanes[to].pause_max(self.rules.gap_max_ms);
        let fell = match before.filter(|(time, _)| last - time <= reach) {
            // The new lane saw both sides: a fall there is a reset.
            Some((_, b)) => v < b,
            // Else the old lane's next sample tells. Failing that: who restarts begins near zero, who lags is close by.
            None => match lanes[from].peek() {
                Some((_, next)) if !is_stale(next) => next < raw,
                _ => v < raw / 2.0,
            },
        };
        self.shift = if fell { 0.0 } else { shown - v };
        // What follows is compared with the new lane's own values.
        self.last = Some((last, shown, v));
    }
}

impl Lane {
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
        (self.interval + self.interval / 2).clamp(1, gap_max_ms.max(1))
    }
}
