//! Stretches in which nothing happens: the followed lane is steady and no other is denser. Their samples are shown many at
//! a time, with the same result as one by one, in a fifth of the time.

use model::is_stale;

use crate::density::{EXPECTED, LEAD_MIN, SAMPLE, SAMPLES_MAX, pause_of};
use crate::pick::State;
use crate::read::Lane;

/// How many samples are looked at together: at first, and at most.
const SAMPLES: std::ops::RangeInclusive<usize> = 16..=512;

impl State {
    /// Shows samples of lane `current` as long as it is certain that [`State::follow`] would show them.
    pub fn stride(&mut self, lanes: &mut [Lane], current: usize) {
        let Some((last, ..)) = self.last else { return };
        let lane = &lanes[current];
        let before = lane.at.checked_sub(1).and_then(|at| lane.samples.times.get(at));
        if self.decided || self.switched || before != Some(&last) {
            return;
        }
        let mut most = *SAMPLES.start();
        loop {
            let steps = quiet(lanes, current, most, self.rules.gap_max_ms);
            self.accept_all(lanes, current, steps);
            if steps < most {
                return;
            }
            most = (most * 2).min(*SAMPLES.end());
        }
    }

    /// Shows the next `steps` samples of a lane whose sample before is the last one shown.
    fn accept_all(&mut self, lanes: &mut [Lane], current: usize, steps: usize) {
        let lane = &mut lanes[current];
        let (from, to) = (lane.at, lane.at + steps);
        let (times, values) = (&lane.samples.times[..to], &lane.samples.values[..to]);
        let (Some((.., raw)), [.., before, t], [.., v]) = (self.last, times, values) else { return };
        if steps == 0 {
            return;
        }
        // Of falls, no more are remembered than there are bits.
        for i in from.max(to.saturating_sub(u16::BITS as usize))..to {
            let before = if i == from { raw } else { values[i - 1] };
            self.falls = self.falls << 1 | u16::from(values[i] < before);
        }
        if self.rules.keep_values {
            self.refs.extend((from..to).map(|at| (current as u32, at as u32)));
        } else {
            self.column.times.extend_from_slice(&times[from..]);
            let mut own = from;
            if self.rules.counter && self.shift != 0.0 {
                // Up to a real reset within the lane.
                own = (from..to).find(|i| values[*i] < if *i == from { raw } else { values[i - 1] }).unwrap_or(to);
                let shift = self.shift;
                self.column.values.extend(values[from..own].iter().map(|v| v + shift));
                self.shift = if own < to { 0.0 } else { shift };
            }
            self.column.values.extend_from_slice(&values[own..]);
        }
        self.gone = false;
        let shown = if self.rules.counter { v + self.shift } else { *v };
        self.last = Some((*t, shown, *v));
        lane.interval = t.saturating_sub(*before);
        lane.at = to;
    }
}

/// How many of the next samples of lane `current`, `most` at most, come without a gap while no other lane is denser. The
/// other lanes are compared with so many.
fn quiet(lanes: &mut [Lane], current: usize, most: usize, gap_max_ms: i64) -> usize {
    let mut steps = lanes[current].steady(most, gap_max_ms);
    let from = lanes[current].at.saturating_sub(1);
    let times = std::mem::take(&mut lanes[current].samples.times);
    for i in (0..lanes.len()).filter(|i| *i != current) {
        let sparse = lanes[i].compare_all(&times[from..=from + steps]);
        if sparse < steps {
            // Those before were compared with too many.
            steps = sparse;
            for (_, lane) in lanes[..i].iter_mut().enumerate().filter(|(i, _)| *i != current) {
                (lane.at, lane.lead) = lane.compared_from;
                lane.compare_all(&times[from..=from + steps]);
            }
        }
    }
    lanes[current].samples.times = times;
    steps
}

impl Lane {
    /// How many of the next samples, `most` at most, are live and come without a gap, for a lane that is followed.
    fn steady(&self, most: usize, gap_max_ms: i64) -> usize {
        let mut interval = self.interval;
        let times = self.samples.times[self.at.saturating_sub(1)..].windows(2);
        let values = &self.samples.values[self.at..];
        let mut steps = 0;
        for (pair, v) in times.zip(values).take(if interval > 0 { most } else { 0 }) {
            let delta = pair[1].saturating_sub(pair[0]);
            if delta > pause_of(interval, gap_max_ms) || is_stale(*v) {
                break;
            }
            interval = delta;
            steps += 1;
        }
        steps
    }

    /// [`Lane::compare`] for each step from one time of the followed lane to the next, until this one is, or might be,
    /// denser; that step does not count. Returns the number of steps.
    fn compare_all(&mut self, followed: &[i64]) -> usize {
        self.compared_from = (self.at, self.lead);
        let (times, values) = (&self.samples.times[..], &self.samples.values[..]);
        let (mut at, mut lead, mut ahead) = (self.at, self.lead, self.at);
        let mut steps = 0;
        for pair in followed.windows(2) {
            let (last, next) = (pair[0], pair[1]);
            while ahead < times.len() && times[ahead] <= last {
                ahead += 1;
            }
            let (here, mut live) = (ahead, 0);
            while ahead < times.len().min(here + SAMPLES_MAX) && times[ahead] <= next {
                live += i64::from(!is_stale(values[ahead]));
                ahead += 1;
            }
            let led = (lead + SAMPLE * live - EXPECTED).clamp(0, SAMPLE * SAMPLES_MAX as i64);
            if led >= LEAD_MIN || live > 0 && self.may_have_gap(here, next.saturating_sub(last)) {
                break;
            }
            (at, lead) = (here, led);
            steps += 1;
        }
        if steps > 0 {
            (self.at, self.lead, self.is_denser) = (at, lead, false);
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use chunkenc::Column;
    use model::stale_nan;
    use proptest::prelude::*;

    use crate::pick::{Rules, pick, pick_places, stepwise};
    use crate::read::Lane;

    /// Pause before, interval, samples, thousandths of jitter, what the values do, whether a marker ends them.
    type Stretch = (i64, i64, i64, i64, u8, bool);

    fn stretch() -> impl Strategy<Value = Stretch> {
        let pause = prop_oneof![4 => Just(0i64), 2 => 0i64..100_000, 1 => 100_000i64..2_000_000];
        let interval =
            prop::sample::select(vec![1_000i64, 10_000, 12_000, 15_000, 15_000, 15_000, 30_000, 60_000, 290_000]);
        let jitter = prop_oneof![2 => Just(0i64), 1 => 0i64..30, 1 => 0i64..900];
        (pause, interval, 1i64..400, jitter, 0u8..4, prop::bool::weighted(0.2))
    }

    fn lane((offset, lag, stretches): &(i64, i64, Vec<Stretch>)) -> Column {
        let (mut t, mut column) = (*offset, Column::new());
        for (pause, interval, samples, jitter, kind, marker) in stretches {
            t += pause;
            let begin = if *kind == 1 { t } else { -1_000_000 };
            for n in 0..*samples {
                let time = t + n * 7919 % (interval * jitter / 1000 + 1);
                let value = match kind {
                    0 | 1 => (time - lag - begin) / 1000,
                    2 => 7,
                    _ => time * 7919 % 1000,
                };
                column.push(time, value as f64);
                t += interval;
            }
            if *marker {
                column.push(t, stale_nan());
                t += interval;
            }
        }
        column
    }

    fn cases() -> u32 {
        std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

        /// Many samples at a time give what the rules give sample by sample.
        #[test]
        fn strides_change_nothing(
            replicas in prop::collection::vec(
                (0i64..60_000, 0i64..100_000, prop::collection::vec(stretch(), 1..6)), 1..5),
            gap_max_ms in prop::sample::select(vec![1i64, 60_000, 300_000, 1_000_000]),
            counter: bool,
        ) {
            let lanes = || -> Vec<Lane> { replicas.iter().map(lane).map(Lane::new).collect() };
            let rules = |counter, keep_values| Rules { gap_max_ms, counter, keep_values };
            let bits = |column: Column| -> Vec<(i64, u64)> { column.iter().map(|(t, v)| (t, v.to_bits())).collect() };
            let each = stepwise(&mut lanes(), rules(counter, false)).column;
            prop_assert_eq!(bits(pick(&mut lanes(), rules(counter, false))), bits(each));
            let each = stepwise(&mut lanes(), rules(false, true)).refs;
            prop_assert_eq!(pick_places(&mut lanes(), rules(false, true)), each);
        }
    }
}
