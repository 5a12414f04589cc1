//! Log lines for what strangers can cause as often as they like.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Tells when an event of one kind is to be logged, and how many there were since.
///
/// ```
/// let refused = telemetry::Occasionally::minutely();
/// assert_eq!(refused.count(), Some(1));
/// assert_eq!(refused.count(), None, "within the same minute");
/// ```
#[derive(Debug)]
pub struct Occasionally {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Option<Instant>,
    events: u64,
}

impl Occasionally {
    /// At most once a minute.
    pub fn minutely() -> Self {
        Self { interval: Duration::from_secs(60), state: Mutex::default() }
    }

    /// Counts an event. When it is time for a line: the number of events since the line before, this one included.
    pub fn count(&self) -> Option<u64> {
        self.count_at(Instant::now())
    }

    fn count_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock();
        state.events += 1;
        if state.told.is_some_and(|told| now.saturating_duration_since(told) < self.interval) {
            return None;
        }
        state.told = Some(now);
        Some(std::mem::take(&mut state.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_minute_tells_of_all_events() {
        let occasionally = Occasionally::minutely();
        let start = Instant::now();
        let at = |seconds| occasionally.count_at(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61), at(300)], [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
