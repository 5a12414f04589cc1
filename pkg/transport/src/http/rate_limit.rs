//! `rate_limit` of the web configuration file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;

/// A bucket of `burst` requests that fills by one each `interval`; who finds it empty is refused.
#[derive(Debug, Clone)]
pub(super) struct RateLimit {
    interval: Duration,
    burst: f64,
    state: Arc<Mutex<(f64, Instant)>>,
}

impl RateLimit {
    /// A bucket that is full at `now`.
    pub(super) fn new(interval: Duration, burst: u64, now: Instant) -> Self {
        let burst = burst as f64;
        Self { interval, burst, state: Arc::new(Mutex::new((burst, now))) }
    }

    /// Whether a request may pass.
    pub(super) fn allow(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let (left, at) = *state;
        let gained = now.saturating_duration_since(at).as_secs_f64() / self.interval.as_secs_f64();
        let left = (left + gained).min(self.burst);
        let passes = left >= 1.0;
        *state = (if passes { left - 1.0 } else { left }, now.max(at));
        passes
    }
}

/// The answer to those who come too often.
pub(super) fn refused() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_each_interval_after_the_burst() {
        let start = Instant::now();
        let limit = RateLimit::new(Duration::from_millis(100), 3, start);
        let at = |ms: u64| limit.allow(start + Duration::from_millis(ms));
        let passed: Vec<bool> = [0, 0, 0, 0, 99, 101, 102, 350, 351, 352].into_iter().map(at).collect();
        assert_eq!(passed, [true, true, true, false, false, true, false, true, true, false]);
        assert!(!RateLimit::new(Duration::from_secs(1), 0, start).allow(start), "no burst lets nothing through");
    }
}
