//! One rule: its evaluation, and what is known of it.

mod alerting;
mod recording;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use labels::Labels;
use parking_lot::Mutex;
use promql::QueryError;
use tracing::{debug, warn};

use crate::alerts::Alerts;
use crate::file::RuleSpec;
use crate::metrics::GroupMetrics;
use crate::options::{Deps, Options};
use crate::query::{Asked, Asker, RuleError};
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
    /// What its expression took last, if that went well.
    seconds: Option<f64>,
}

/// Expressions that took less than this, seconds, and gave no more series, are evaluated together with others.
const CHEAP_SECONDS: f64 = 0.005;
const CHEAP_SERIES: usize = 1000;
/// Most rules that are evaluated together: their results are held at the same time.
const TOGETHER_MAX: usize = 16;

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
        Self { rule: Arc::new(rule), series: Series::default(), seconds: None }
    }

    /// Whether evaluating it takes little, as far as the last time tells.
    fn is_cheap(&self) -> bool {
        self.seconds.is_some_and(|seconds| seconds < CHEAP_SECONDS) && self.series.len() <= CHEAP_SERIES
    }

    /// Evaluates the rule and writes what it gives. Gives the number of samples.
    async fn evaluate(&mut self, cx: &Evaluation<'_>) -> usize {
        let (began, began_ms) = (Instant::now(), cx.deps.clock.now_ms());
        let spec = &self.rule.spec;
        let asked = cx.asker.vector(&spec.query, Some(&spec.expr), cx.query_ms).await;
        self.finish(cx, (began, began_ms), asked).await
    }

    /// Writes what the rule gives for an answer. Gives the number of samples.
    async fn finish(
        &mut self,
        cx: &Evaluation<'_>,
        (began, began_ms): (Instant, i64),
        asked: Result<Asked, RuleError>,
    ) -> usize {
        cx.metrics.evaluations.inc();
        self.seconds = asked.as_ref().ok().map(|asked| asked.seconds);
        let outcome = match asked {
            Ok(asked) => self.write(asked, cx).await,
            Err(e) => Err(e),
        };
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
    async fn write(&mut self, asked: Asked, cx: &Evaluation<'_>) -> Result<(usize, Option<String>), RuleError> {
        let rows = match &self.rule.spec.alert {
            Some(alert) => alerting::rows(&self.rule, alert, asked, cx).await?,
            None => recording::rows(&self.rule.spec, asked, cx)?,
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

/// Divides rules that do not matter to one another, in their order, into those that are evaluated together.
pub(crate) fn together<'r>(rules: impl Iterator<Item = &'r mut Evaluated>) -> Vec<Vec<&'r mut Evaluated>> {
    let mut all: Vec<Vec<&mut Evaluated>> = Vec::new();
    for rule in rules {
        let fits = |before: &&mut Vec<&mut Evaluated>| {
            rule.is_cheap() && before.len() < TOGETHER_MAX && before.iter().all(|other| other.is_cheap())
        };
        match all.last_mut().filter(fits) {
            Some(before) => before.push(rule),
            None => all.push(vec![rule]),
        }
    }
    all
}

/// Evaluates rules that do not matter to one another, and writes what they give. Gives the number of samples.
pub(crate) async fn evaluate(mut rules: Vec<&mut Evaluated>, cx: &Evaluation<'_>) -> usize {
    if let [one] = rules.as_mut_slice() {
        return one.evaluate(cx).await;
    }
    let began_ms = cx.deps.clock.now_ms();
    let queries = rules.iter().map(|one| (one.rule.spec.query.as_str(), &one.rule.spec.expr));
    let answers = cx.asker.vectors(queries, cx.query_ms).await;
    let answered = Instant::now();
    let (mut written, mut again) = (Vec::new(), Vec::new());
    for (rule, asked) in rules.into_iter().zip(answers) {
        if matches!(asked, Err(RuleError::Query(QueryError::Limit(_)))) {
            // What does not fit beside the results of others may fit alone.
            again.push(rule);
            continue;
        }
        let seconds = asked.as_ref().map_or(0.0, |asked| asked.seconds);
        // As if nothing but its own query had been waited for.
        let began = answered.checked_sub(Duration::from_secs_f64(seconds)).unwrap_or(answered);
        written.push(rule.finish(cx, (began, began_ms), asked));
    }
    // All results are handed to the log before the first of them is waited for.
    let mut samples: usize = join_all(written).await.into_iter().sum();
    for rule in again {
        samples += rule.evaluate(cx).await;
    }
    samples
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
