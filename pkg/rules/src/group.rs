//! A group of rules: one evaluation of all of them.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use labels::Labels;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::alerts::ActiveAlert;
use crate::file::GroupSpec;
use crate::levels::{levels, runs};
use crate::metrics::GroupMetrics;
use crate::options::{Deps, Options};
use crate::query::Asker;
use crate::rule::{Evaluated, Evaluation, Rule, evaluate, together};
use crate::series;
use crate::status::{Health, Status, StatusCell};

/// Rules of larger groups stay in their order: finding out which of all matter to which would take long.
const LEVELS_RULES_MAX: usize = 2000;

/// What the configuration says for groups that do not say it themselves, and for templates.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSettings {
    pub interval_ms: i64,
    pub query_offset_ms: i64,
    pub external_labels: Labels,
}

/// What others see of a group.
#[derive(Debug)]
pub(crate) struct GroupView {
    pub spec: GroupSpec,
    pub settings: GroupSettings,
    pub rules: Vec<Arc<Rule>>,
    pub status: StatusCell,
}

impl GroupView {
    pub fn interval_ms(&self) -> i64 {
        self.spec.interval_ms.unwrap_or(self.settings.interval_ms).max(1)
    }

    pub fn query_offset_ms(&self) -> i64 {
        self.spec.query_offset_ms.unwrap_or(self.settings.query_offset_ms)
    }
}

/// A group with its state.
#[derive(Debug)]
pub struct Group {
    pub(crate) view: Arc<GroupView>,
    pub(crate) deps: Deps,
    pub(crate) options: Arc<Options>,
    pub(crate) asker: Asker,
    pub(crate) metrics: GroupMetrics,
    rules: Vec<Evaluated>,
    /// Rules that do not matter to one another, level after level.
    levels: Vec<Vec<usize>>,
    /// Permits of rules that are evaluated beside others.
    places: Arc<Semaphore>,
    /// Series of rules that are gone: their ends are still to be written.
    pub(crate) ended: Vec<Labels>,
}

impl Group {
    /// A group that was never evaluated. `restored`: its alerts have no state to be restored.
    pub fn new(
        spec: GroupSpec,
        settings: GroupSettings,
        options: Arc<Options>,
        deps: Deps,
        places: Arc<Semaphore>,
        restored: bool,
    ) -> Self {
        let rules: Vec<Evaluated> =
            spec.rules.iter().map(|rule| Evaluated::new(Rule::new(rule.clone(), restored))).collect();
        let by_levels = options.concurrent_max > 0 && rules.len() <= LEVELS_RULES_MAX;
        let levels = if by_levels { levels(&spec.rules) } else { runs(&spec.rules) };
        let partial_response = spec.partial_response.unwrap_or(options.partial_response);
        let metrics = deps.metrics.group(&spec.key(), partial_response);
        let asker = Asker {
            evaluator: deps.evaluator.clone(),
            budget: deps.budget.clone(),
            cancel: CancellationToken::new(),
            partial_response,
        };
        let view = Arc::new(GroupView {
            rules: rules.iter().map(|evaluated| evaluated.rule.clone()).collect(),
            spec,
            settings,
            status: StatusCell::default(),
        });
        metrics.rules.set(rules.len() as f64);
        metrics.interval.set(view.interval_ms() as f64 / 1000.0);
        Self { view, deps, options, asker, metrics, rules, levels, places, ended: Vec::new() }
    }

    /// Time from one evaluation to the next, ms.
    pub fn interval_ms(&self) -> i64 {
        self.view.interval_ms()
    }

    /// Evaluates all rules for the time `now_ms`.
    pub async fn evaluate(&mut self, now_ms: i64) {
        let (began, began_ms) = (Instant::now(), self.deps.clock.now_ms());
        self.metrics.scheduled.inc();
        let query_ms = now_ms.saturating_sub(self.view.query_offset_ms());
        let evaluation = Evaluation {
            deps: &self.deps,
            options: &self.options,
            asker: &self.asker,
            metrics: &self.metrics,
            external_labels: &self.view.settings.external_labels,
            now_ms,
            query_ms,
            interval_ms: self.view.interval_ms(),
            group_limit: self.view.spec.limit,
        };
        let mut samples = 0;
        let mut rules: Vec<Option<&mut Evaluated>> = self.rules.iter_mut().map(Some).collect();
        for level in &self.levels {
            let units = together(level.iter().filter_map(|at| rules[*at].take()));
            samples += evaluate_beside(units, &evaluation, &self.places).await;
            if self.asker.cancel.is_cancelled() {
                return;
            }
        }
        self.metrics.samples.set(samples as f64);
        self.write_ends(query_ms).await;
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.all.iteration_seconds.observe(seconds);
        self.metrics.last_seconds.set(seconds);
        self.metrics.last_evaluation.set(began_ms as f64 / 1000.0);
        self.view.status.set(Status {
            health: Health::Good,
            last_error: String::new(),
            seconds,
            began_ms: Some(began_ms),
        });
    }

    /// Ends the series of rules that are gone.
    pub(crate) async fn write_ends(&mut self, time_ms: i64) {
        match series::end(&*self.deps.appendable, &self.asker.ctx(), &self.ended, time_ms).await {
            Ok(()) => self.ended.clear(),
            Err(why) => {
                warn!(group = self.view.spec.name, why, "the ends of series of former rules could not be written");
            }
        }
    }

    /// The rules whose last evaluation failed, and why.
    pub fn rule_errors(&self) -> Vec<(String, String)> {
        let failed = self.view.rules.iter().map(|rule| (rule.spec.name.clone(), rule.status.get().last_error));
        failed.filter(|(_, error)| !error.is_empty()).collect()
    }

    /// The alerts of this name that are pending, fire or have ended a short while ago.
    pub fn active_alerts(&self, name: &str) -> Vec<ActiveAlert> {
        let rules = self.view.rules.iter().filter(|rule| rule.spec.alert.is_some() && rule.spec.name == name);
        rules.flat_map(|rule| rule.alerts.lock().iter().cloned().collect::<Vec<_>>()).collect()
    }

    /// Takes over the state of another version of this group.
    pub(crate) fn take_state(&mut self, mut former: Group) {
        self.view.status.set(former.view.status.get());
        let mut left: Vec<Option<Evaluated>> = former.rules.drain(..).map(Some).collect();
        for evaluated in &mut self.rules {
            let same = |old: &Option<Evaluated>| {
                old.as_ref().is_some_and(|old| old.rule.spec.has_same_outcome(&evaluated.rule.spec))
            };
            let Some(old) = left.iter_mut().find(|old| same(old)).and_then(Option::take) else { continue };
            evaluated.series = old.series;
            *evaluated.rule.alerts.lock() = old.rule.alerts.lock().clone();
            evaluated.rule.status.set(old.rule.status.get());
            evaluated.rule.restored.store(old.rule.is_restored(), std::sync::atomic::Ordering::Release);
        }
        self.ended = std::mem::take(&mut former.ended);
        for mut old in left.into_iter().flatten() {
            self.ended.extend(old.series.take_labels());
        }
    }

    /// The labels of all series that the group wrote last.
    pub(crate) fn take_series(&mut self) -> Vec<Labels> {
        let mut all = std::mem::take(&mut self.ended);
        for evaluated in &mut self.rules {
            all.extend(evaluated.series.take_labels());
        }
        all
    }
}

/// Evaluates the rules of a level. One unit may always go on; each other needs a place. Without places they go on one by one.
async fn evaluate_beside(
    units: Vec<Vec<&mut Evaluated>>,
    evaluation: &Evaluation<'_>,
    places: &Arc<Semaphore>,
) -> usize {
    let mut samples = 0;
    let mut running: FuturesUnordered<BoxFuture<'_, usize>> = FuturesUnordered::new();
    for unit in units {
        if evaluation.asker.cancel.is_cancelled() {
            break;
        }
        let mut place = None;
        while !running.is_empty() {
            if let Ok(free) = places.clone().try_acquire_owned() {
                place = Some(free);
                break;
            }
            samples += running.next().await.unwrap_or(0);
        }
        running.push(Box::pin(async move {
            let samples = evaluate(unit, evaluation).await;
            drop(place);
            samples
        }));
    }
    while let Some(more) = running.next().await {
        samples += more;
    }
    samples
}
