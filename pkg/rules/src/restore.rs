//! The `for` state of alerts after a restart, out of `ALERTS_FOR_STATE`.

use std::collections::HashMap;
use std::time::Instant;

use labels::{Labels, METRIC_NAME, quote};
use tracing::{debug, warn};

use crate::group::Group;
use crate::query::RuleError;
use crate::rule::Rule;

/// What the series of an alert said last.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Last {
    active_at_ms: i64,
    /// The time of the sample: about when the server went down, ms.
    written_ms: i64,
}

impl Group {
    /// Sets back since when alerts are active to what it was before an outage, as far as it was short enough. From then on
    /// the series of alerts are written.
    pub async fn restore(&mut self, now_ms: i64) {
        let began = Instant::now();
        let rules = self.view.rules.clone();
        for rule in rules {
            let Some(alert) = rule.spec.alert.as_ref().filter(|_| !rule.is_restored()) else {
                rule.set_restored();
                continue;
            };
            // Waiting for the grace period would take longer than beginning anew.
            if alert.for_ms >= self.options.for_grace_period_ms {
                match self.last_states(&rule, now_ms).await {
                    Ok(states) => self.restore_rule(&rule, alert.for_ms, &states, now_ms),
                    // There is no second attempt: the alert fires later than it could.
                    Err(error) => warn!(rule = rule.spec.name, %error, "the 'for' state of alerts is not restored"),
                }
            }
            rule.set_restored();
        }
        self.metrics.last_restore_seconds.set(began.elapsed().as_secs_f64());
    }

    /// The last samples of the rule's series that did not end, by the labels of their alerts.
    async fn last_states(&self, rule: &Rule, now_ms: i64) -> Result<HashMap<Labels, Last>, RuleError> {
        let selector = format!("ALERTS_FOR_STATE{{alertname={}}}", quote(&rule.spec.name));
        let lookback_ms = self.options.outage_tolerance_ms.max(1);
        let at_ms = now_ms.saturating_sub(self.view.query_offset_ms());
        let since = self.asker.vector_within(&selector, None, at_ms, lookback_ms).await?;
        let written = format!("timestamp({selector})");
        let written = self.asker.vector_within(&written, None, at_ms, lookback_ms).await?;
        let mut times: HashMap<Labels, f64> =
            written.samples.into_iter().map(|sample| (sample.labels, sample.value)).collect();
        let mut states = HashMap::new();
        for sample in since.samples {
            let labels = sample.labels.without(&[METRIC_NAME]);
            if let Some(seconds) = times.remove(&labels) {
                let ms = |seconds: f64| (seconds * 1000.0).round() as i64;
                states.insert(labels, Last { active_at_ms: ms(sample.value), written_ms: ms(seconds) });
            }
        }
        Ok(states)
    }

    fn restore_rule(&self, rule: &Rule, for_ms: i64, states: &HashMap<Labels, Last>, now_ms: i64) {
        for alert in rule.alerts.lock().iter_mut() {
            let Some(last) = states.get(&alert.labels) else { continue };
            alert.active_at_ms = restored_since(*last, for_ms, self.options.for_grace_period_ms, now_ms);
            debug!(rule = rule.spec.name, labels = %alert.labels, since_ms = alert.active_at_ms, "'for' state restored");
        }
    }
}

/// Since when an alert counts as active: the outage does not count. What would fire within the grace period fires at its
/// end; what fired before fires again at once.
fn restored_since(last: Last, for_ms: i64, grace_ms: i64, now_ms: i64) -> i64 {
    let pending_ms = last.written_ms.saturating_sub(last.active_at_ms);
    match for_ms.saturating_sub(pending_ms) {
        ..=0 => last.active_at_ms,
        remaining_ms if remaining_ms < grace_ms => now_ms + grace_ms - for_ms,
        _ => last.active_at_ms + (now_ms - last.written_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_restored_alerts_fire() {
        let minutes = |m: i64| m * 60_000;
        let (for_ms, grace_ms) = (minutes(30), minutes(10));
        let fires = |active: i64, down: i64, now: i64| {
            let last = Last { active_at_ms: minutes(active), written_ms: minutes(down) };
            (restored_since(last, for_ms, grace_ms, minutes(now)) + for_ms) / 60_000
        };
        // Fired before: at once.
        assert_eq!(fires(0, 31, 40), 30);
        // 5 minutes were left: after the grace period.
        assert_eq!(fires(0, 25, 40), 50);
        // 20 minutes were left.
        assert_eq!(fires(0, 10, 40), 60);
    }
}
