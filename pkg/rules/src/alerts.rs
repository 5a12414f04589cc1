//! The alerts of one rule: which are pending or firing, since when, and who is to be told.

use std::collections::HashMap;
use std::sync::Arc;

use labels::{Builder, Labels, METRIC_NAME};
use notifier::Alert;
use storage::AlertState;

use crate::query::RuleError;

/// How long an alert that has ended is told of, ms.
const RESOLVED_RETENTION_MS: i64 = 15 * 60 * 1000;

/// What the expression gave for an alert.
#[derive(Debug, Clone, PartialEq)]
pub enum AlertValue {
    Float(f64),
    /// A native histogram, as text.
    Histogram(Arc<str>),
}

/// An alert of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveAlert {
    pub labels: Labels,
    pub annotations: Labels,
    /// Inactive alerts are those that have ended a short while ago.
    pub state: AlertState,
    pub value: AlertValue,
    /// Since when the expression gives it, ms.
    pub active_at_ms: i64,
    pub fired_at_ms: Option<i64>,
    pub resolved_at_ms: Option<i64>,
    /// Since when it fires only because of `keep_firing_for`, ms.
    pub keep_firing_since_ms: Option<i64>,
    last_sent_ms: Option<i64>,
    valid_until_ms: i64,
    /// Labels of its series in `ALERTS` and `ALERTS_FOR_STATE`, for the state that it has.
    series: Option<(AlertState, [Labels; 2])>,
}

/// An alert that an evaluation gave.
#[derive(Debug)]
pub(crate) struct Found {
    pub labels: Labels,
    pub annotations: Labels,
    pub value: AlertValue,
}

/// What of its rule matters for the state of an alert.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    pub for_ms: i64,
    pub keep_firing_for_ms: i64,
    /// 0 = no limit.
    pub limit: usize,
}

/// A sample to be written.
pub(crate) type AlertSample = (Labels, f64);

/// The alerts of a rule by their labels.
#[derive(Debug, Default, Clone)]
pub(crate) struct Alerts {
    active: HashMap<Labels, ActiveAlert>,
}

impl Alerts {
    pub fn iter(&self) -> impl Iterator<Item = &ActiveAlert> {
        self.active.values()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut ActiveAlert> {
        self.active.values_mut()
    }

    /// Takes in what an evaluation at `now_ms` gave. Gives the samples of alerts that are pending or fire.
    ///
    /// # Errors
    /// There are more alerts than allowed. All are forgotten then.
    pub fn apply(&mut self, found: Vec<Found>, now_ms: i64, rule: Holding) -> Result<Vec<AlertSample>, RuleError> {
        self.active.values_mut().for_each(|alert| alert.stay_before(now_ms));
        let mut present = std::collections::HashSet::with_capacity(found.len());
        for alert in found {
            present.insert(alert.labels.clone());
            match self.active.get_mut(&alert.labels).filter(|known| known.state != AlertState::Inactive) {
                Some(known) => {
                    known.value = alert.value;
                    known.annotations = alert.annotations;
                }
                None => {
                    self.active.insert(alert.labels.clone(), ActiveAlert::new(alert, now_ms));
                }
            }
        }
        self.active.retain(|labels, alert| present.contains(labels) || !alert.is_forgotten(now_ms));
        let mut samples = Vec::with_capacity(2 * present.len());
        let mut counted = 0;
        for alert in self.active.values_mut() {
            if present.contains(&alert.labels) {
                alert.keep_firing_since_ms = None;
            } else if !alert.keeps_firing(now_ms, rule.keep_firing_for_ms) {
                if alert.state != AlertState::Inactive {
                    alert.state = AlertState::Inactive;
                    alert.resolved_at_ms = Some(now_ms);
                }
                continue;
            }
            counted += 1;
            if alert.state == AlertState::Pending && now_ms.saturating_sub(alert.active_at_ms) >= rule.for_ms {
                alert.state = AlertState::Firing;
                alert.fired_at_ms = Some(now_ms);
            }
            let since_s = alert.active_at_ms.div_euclid(1000) as f64;
            let [state, for_state] = alert.series();
            samples.push((state, 1.0));
            samples.push((for_state, since_s));
        }
        if rule.limit > 0 && counted > rule.limit {
            self.active.clear();
            return Err(RuleError::Limit { max: rule.limit, found: counted, what: "alerts" });
        }
        Ok(samples)
    }

    /// The alerts that somebody has to be told of at `now_ms`.
    pub fn take_due(&mut self, now_ms: i64, resend_delay_ms: i64, interval_ms: i64, link: &str) -> Vec<Arc<Alert>> {
        let mut due = Vec::new();
        for alert in self.active.values_mut().filter(|alert| alert.needs_sending(now_ms, resend_delay_ms)) {
            alert.last_sent_ms = Some(now_ms);
            // Two evaluations, or two messages, may fail.
            alert.valid_until_ms = now_ms.saturating_add(4 * interval_ms.max(resend_delay_ms));
            due.push(Arc::new(Alert {
                labels: alert.labels.clone(),
                annotations: alert.annotations.clone(),
                starts_at_ms: alert.fired_at_ms.unwrap_or(alert.active_at_ms),
                ends_at_ms: alert.resolved_at_ms.unwrap_or(alert.valid_until_ms),
                generator_url: link.to_owned(),
            }));
        }
        due.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        due
    }

    /// The gravest state of all alerts.
    pub fn state(&self) -> AlertState {
        self.active.values().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }
}

impl ActiveAlert {
    fn new(found: Found, now_ms: i64) -> Self {
        Self {
            labels: found.labels,
            annotations: found.annotations,
            state: AlertState::Pending,
            value: found.value,
            active_at_ms: now_ms,
            fired_at_ms: None,
            resolved_at_ms: None,
            keep_firing_since_ms: None,
            last_sent_ms: None,
            valid_until_ms: 0,
            series: None,
        }
    }

    /// Moves what lies ahead to `now_ms`. It does after the clock was put back, and `for` and messages would wait for it.
    fn stay_before(&mut self, now_ms: i64) {
        self.active_at_ms = self.active_at_ms.min(now_ms);
        for at in [&mut self.fired_at_ms, &mut self.resolved_at_ms, &mut self.keep_firing_since_ms] {
            *at = at.map(|at| at.min(now_ms));
        }
        self.last_sent_ms = self.last_sent_ms.filter(|at| *at <= now_ms);
    }

    /// Pending alerts go at once, others some time after they ended.
    fn is_forgotten(&self, now_ms: i64) -> bool {
        let ended = |at: i64| now_ms.saturating_sub(at) > RESOLVED_RETENTION_MS;
        self.state == AlertState::Pending || self.resolved_at_ms.is_some_and(ended)
    }

    fn keeps_firing(&mut self, now_ms: i64, keep_ms: i64) -> bool {
        if self.state != AlertState::Firing || keep_ms <= 0 {
            return false;
        }
        let since = *self.keep_firing_since_ms.get_or_insert(now_ms);
        now_ms.saturating_sub(since) < keep_ms
    }

    fn needs_sending(&self, now_ms: i64, resend_delay_ms: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let sent = self.last_sent_ms.unwrap_or(i64::MIN / 2);
        self.resolved_at_ms.is_some_and(|at| at > sent) || sent.saturating_add(resend_delay_ms) < now_ms
    }

    fn series(&mut self) -> [Labels; 2] {
        let state = self.state;
        match &self.series {
            Some((known, series)) if *known == state => series.clone(),
            _ => {
                let mut builder = Builder::from_labels(&self.labels);
                let for_state = builder.set(METRIC_NAME, "ALERTS_FOR_STATE").build();
                let alerts = builder.set(METRIC_NAME, "ALERTS").set("alertstate", state.as_str()).build();
                let series = [alerts, for_state];
                self.series = Some((state, series.clone()));
                series
            }
        }
    }
}
