//! From the times at which an expression gives a series to the times at which its alert is pending and fires.

use std::sync::Arc;

use labels::Labels;

/// What of a rule matters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holding {
    pub for_ms: i64,
    pub keep_firing_for_ms: i64,
    pub step_ms: i64,
}

/// A time at which an alert was pending, and fired if it came so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub pending_ms: i64,
    pub firing_ms: Option<i64>,
    /// The first evaluation at which it was neither; `None` = it was one of both at the end of the history.
    pub ended_ms: Option<i64>,
}

/// A span of one alert.
#[derive(Debug, Clone)]
pub(super) struct Episode {
    pub labels: Arc<Labels>,
    pub span: Span,
}

/// The spans of one series, which is there at `times_ms`; the last evaluation is at `end_ms` at the latest.
pub(super) fn episodes(times_ms: &[i64], rule: Holding, end_ms: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut current: Option<Span> = None;
    let mut before_ms = i64::MIN;
    for time_ms in times_ms.iter().copied() {
        if let Some(span) = current
            && time_ms - before_ms > rule.step_ms
        {
            let ended_ms = end_of(span, before_ms, rule);
            // It fires on only because it is told to, and is there again before that ends.
            if ended_ms <= time_ms {
                spans.push(Span { ended_ms: Some(ended_ms), ..span });
                current = None;
            }
        }
        let span = current.get_or_insert(Span { pending_ms: time_ms, firing_ms: None, ended_ms: None });
        if span.firing_ms.is_none() && time_ms - span.pending_ms >= rule.for_ms {
            span.firing_ms = Some(time_ms);
        }
        before_ms = time_ms;
    }
    if let Some(span) = current {
        let ended_ms = end_of(span, before_ms, rule);
        spans.push(Span { ended_ms: (ended_ms <= end_ms).then_some(ended_ms), ..span });
    }
    spans
}

/// The evaluation at which a span ends that the expression gave for the last time at `last_ms`.
fn end_of(span: Span, last_ms: i64, rule: Holding) -> i64 {
    let gone_ms = last_ms + rule.step_ms;
    match span.firing_ms {
        // Kept from the first evaluation without it, at steps only.
        Some(_) => {
            gone_ms + (rule.keep_firing_for_ms.max(0) as u64).div_ceil(rule.step_ms.max(1) as u64) as i64 * rule.step_ms
        }
        None => gone_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(minutes: &[i64], for_ms: i64, keep_firing_for_ms: i64, end: i64) -> Vec<(i64, Option<i64>, Option<i64>)> {
        let holding = Holding { for_ms: for_ms * 60, keep_firing_for_ms: keep_firing_for_ms * 60, step_ms: 60 };
        let times: Vec<i64> = minutes.iter().map(|m| m * 60).collect();
        let found = episodes(&times, holding, end * 60);
        found.iter().map(|s| (s.pending_ms / 60, s.firing_ms.map(|t| t / 60), s.ended_ms.map(|t| t / 60))).collect()
    }

    #[test]
    fn what_is_pending_and_fires() {
        assert_eq!(spans(&[], 2, 0, 10), []);
        assert_eq!(spans(&[1, 2], 2, 0, 10), [(1, None, Some(3))]);
        assert_eq!(spans(&[1, 2, 3, 4], 2, 0, 10), [(1, Some(3), Some(5))]);
        assert_eq!(spans(&[1, 5], 0, 0, 10), [(1, Some(1), Some(2)), (5, Some(5), Some(6))]);
        assert_eq!(spans(&[8, 9, 10], 1, 0, 10), [(8, Some(9), None)]);
    }

    #[test]
    fn what_is_kept_firing() {
        assert_eq!(spans(&[1, 2], 0, 3, 10), [(1, Some(1), Some(6))]);
        // There again before it ends.
        assert_eq!(spans(&[1, 4], 0, 3, 20), [(1, Some(1), Some(8))]);
        assert_eq!(spans(&[1, 5], 0, 3, 20), [(1, Some(1), Some(5)), (5, Some(5), Some(9))]);
        // Pending alerts are not kept.
        assert_eq!(spans(&[1, 3], 5, 3, 20), [(1, None, Some(2)), (3, None, Some(4))]);
    }
}
