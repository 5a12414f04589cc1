//! One rule: its evaluation, and what is known of it.

mod alerting;
mod recording;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use labels::Labels;
use parking_lot::Mutex;
use tracing::{debug, warn};

use crate::alerts::Alerts;
use crate::file::RuleSpec;
use crate::metrics::GroupMetrics;
use crate::options::{Deps, Options};
use crate::query::{Asker, RuleError};
use crate::series::Series;
use crate::status::{Health, Status, StatusCell};

/// What others may see of a rule while it is evaluated.
#[derive(Debug)]
pub(crate) struct Rule {
    pub spec: RuleSpec,
    pub status: StatusCell,
    /// Empty for recording rules.
    pub alerts: Mutex<Alerts>,
    /// `ALERTS` and `ALERTS_FOR_STATE` are written from then on.
    pub restored: AtomicBool,
}

/// A rule with what only its evaluation knows.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub rule: Arc<Rule>,
    pub series: Series,
}

/// What the rules of a group have in common in one evaluation.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub deps: &'a Deps,
    pub options: &'a Options,
    pub asker: &'a Asker,
    pub metrics: &'a GroupMetrics,
    pub external_labels: &'a Labels,
    /// The time of the evaluation, ms.
    pub now_ms: i64,
    /// The time that is asked for and written, ms.
    pub query_ms: i64,
    pub interval_ms: i64,
    /// 0 = no limit.
    pub group_limit: usize,
}

impl Rule {
    pub fn new(spec: RuleSpec, restored: bool) -> Self {
        Self { spec, status: StatusCell::default(), alerts: Mutex::default(), restored: AtomicBool::new(restored) }
    }

    pub fn is_restored(&self) -> bool {
        self.restored.load(Ordering::Acquire)
    }

    pub fn set_restored(&self) {
        self.restored.store(true, Ordering::Release);
    }
}

impl Evaluated {
    pub fn new(rule: Rule) -> Self {
        Self { rule: Arc::new(rule), series: Series::default() }
    }

    /// Evaluates the rule and writes what it gives. Gives the number of samples.
    pub async fn evaluate(&mut self, cx: &Evaluation<'_>) -> usize {
        let (began, began_ms) = (Instant::now(), cx.deps.clock.now_ms());
        cx.metrics.evaluations.inc();
        let outcome = self.evaluate_and_write(cx).await;
        let seconds = began.elapsed().as_secs_f64();
        cx.metrics.all.evaluation_seconds.observe(seconds);
        let (health, last_error, samples) = match outcome {
            Ok((samples, None)) => (Health::Good, String::new(), samples),
            Ok((samples, Some(why))) => (Health::Bad, why, samples),
            Err(error) => {
                cx.metrics.failures.inc();
                if !error.is_cancelled() {
                    warn!(rule = self.rule.spec.name, %error, "evaluating a rule failed");
                }
                (Health::Bad, error.to_string(), 0)
            }
        };
        self.rule.status.set(Status { health, last_error, seconds, began_ms: Some(began_ms) });
        samples
    }

    /// The number of samples, and why some of them were not taken.
    async fn evaluate_and_write(&mut self, cx: &Evaluation<'_>) -> Result<(usize, Option<String>), RuleError> {
        let rows = match &self.rule.spec.alert {
            Some(alert) => alerting::evaluate(&self.rule, alert, cx).await?,
            None => recording::evaluate(&self.rule.spec, cx).await?,
        };
        let written = self.series.write(&*cx.deps.appendable, &cx.asker.ctx(), &rows, cx.query_ms).await;
        let dropped = written.map_err(RuleError::Write)?;
        if dropped.count() == 0 {
            return Ok((rows.len(), None));
        }
        cx.metrics.dropped.inc_by(dropped.count() as u64);
        let first = dropped.first.unwrap_or_default();
        warn!(
            rule = self.rule.spec.name,
            out_of_order = dropped.out_of_order,
            too_old = dropped.too_old,
            duplicate = dropped.duplicate,
            other = dropped.other,
            first,
            "samples of a rule were not taken"
        );
        Ok((rows.len(), Some(first)))
    }
}

/// Tells that the data of a rule may have been incomplete.
fn note_warnings(cx: &Evaluation<'_>, name: &str, warnings: &[String]) {
    if let Some(first) = warnings.first() {
        cx.metrics.with_warnings.inc();
        debug!(rule = name, warnings = warnings.len(), first, "a rule was evaluated with warnings");
    }
}

impl Evaluation<'_> {
    /// The tighter of the limits on the result of a rule; 0 = none.
    fn limit(&self) -> usize {
        match (self.group_limit, self.options.series_max) {
            (0, limit) | (limit, 0) => limit,
            (a, b) => a.min(b),
        }
    }
}

/// Holds a result against its limit; 0 = none.
fn check_limit(max: usize, found: usize, what: &'static str) -> Result<(), RuleError> {
    if max > 0 && found > max {
        return Err(RuleError::Limit { max, found, what });
    }
    Ok(())
}
