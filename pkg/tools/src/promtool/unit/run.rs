//! One group of tests: rules evaluated from the start to the last time that is asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use gotemplate::format_float;
use memory_store::MemoryStore;
use model::{FakeClock, format_duration};
use notifier::{Alert, Notify};
use promql::{Engine, EngineOptions, Evaluate, LocalEvaluator, Query, Value};
use rules::{Deps, Group, GroupSettings, Metrics, ParseOptions};
use storage::{AlertState, Budget, Ctx};
use tokio::sync::Semaphore;

use super::Options;
use super::compare::{Firing, Sample, alerts_text, diff, expected_alerts, indented, same_samples, samples_text};
use super::file::{AlertCase, ExprCase, TestFile, TestGroup};
use super::histogram_text::test_expression;
use super::series::{Source, load};

/// What a group of tests found.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub errors: Vec<String>,
    pub debug: String,
}

/// Nobody is told of alerts.
#[derive(Debug)]
struct Nobody;

impl Notify for Nobody {
    fn notify(&self, _: Vec<Arc<Alert>>) {}
}

struct Tests<'t> {
    file: &'t TestFile,
    group: &'t TestGroup,
    options: &'t Options,
    evaluator: Arc<dyn Evaluate>,
    rules: Vec<Group>,
    outcome: Outcome,
}

pub(super) async fn run(file: &TestFile, group: &TestGroup, options: &Options) -> Outcome {
    let failed = |errors| Outcome { errors, debug: String::new() };
    let nameless = group.alert_rule_test.iter().find(|case| case.alertname.is_empty());
    if let Some(case) = nameless {
        let of = if group.name.is_empty() { String::new() } else { format!(" (in TestGroup {})", group.name) };
        let time = format_duration(case.eval_time.0);
        return failed(vec![format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time {time}{of}"
        )]);
    }
    let store = match load(group).await {
        Ok(store) => store,
        Err(why) => return failed(vec![format!("    {why}")]),
    };
    let engine = Engine::new(EngineOptions {
        default_subquery_step_ms: file.evaluation_interval_ms,
        delayed_name_removal: options.delayed_name_removal,
        parse: promql_syntax::ParseOptions::ALL,
        ..EngineOptions::default()
    });
    let evaluator: Arc<dyn Evaluate> = Arc::new(LocalEvaluator::new(engine, Arc::new(Source(store.clone()))));
    let rules = match rules_of(file, group, options, &store, &evaluator) {
        Ok(rules) => rules,
        Err(errors) => return failed(errors),
    };
    let mut tests = Tests { file, group, options, evaluator, rules, outcome: Outcome::default() };
    if tests.evaluate().await {
        for case in &group.promql_expr_test {
            tests.check_expr(case).await;
        }
    }
    if options.debug {
        tests.show_series().await;
    }
    tests.outcome
}

/// The groups of the rule files, in the order of their evaluation.
fn rules_of(
    file: &TestFile,
    group: &TestGroup,
    options: &Options,
    store: &MemoryStore,
    evaluator: &Arc<dyn Evaluate>,
) -> Result<Vec<Group>, Vec<String>> {
    let parse = ParseOptions {
        promql: promql_syntax::ParseOptions::ALL,
        ignore_unknown_fields: options.ignore_unknown_fields,
        ..ParseOptions::default()
    };
    let (mut specs, mut errors) = (Vec::new(), Vec::new());
    for path in &file.rule_files {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => match rules::parse(&name, &text, &parse) {
                Ok(found) => specs.extend(found),
                Err(wrong) => errors.extend(wrong.0.into_iter().map(|error| format!("{name}: {error}"))),
            },
            Err(error) => errors.push(format!("{name}: {error}")),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let order: HashMap<&str, usize> =
        file.group_eval_order.iter().enumerate().map(|(at, name)| (name.as_str(), at + 1)).collect();
    specs.sort_by_key(|spec| order.get(spec.name.as_str()).copied().unwrap_or(0));
    let settings =
        GroupSettings { interval_ms: group.interval.0, query_offset_ms: 0, external_labels: group.external_labels() };
    let deps = Deps {
        evaluator: evaluator.clone(),
        appendable: Arc::new(store.clone()),
        notify: Arc::new(Nobody),
        clock: Arc::new(FakeClock::at(0)),
        budget: Budget::unlimited(),
        metrics: Metrics::new(&telemetry::Metrics::new()),
    };
    let options = Arc::new(rules::Options { external_url: group.external_url.clone(), ..rules::Options::default() });
    let places = Arc::new(Semaphore::new(0));
    let made = specs
        .into_iter()
        .map(|spec| Group::new(spec, settings.clone(), options.clone(), deps.clone(), places.clone(), true));
    Ok(made.collect())
}

impl Tests<'_> {
    /// Evaluates all rules at each step, and checks alerts on the way. False if a rule failed.
    async fn evaluate(&mut self) -> bool {
        let start_ms = self.group.start_timestamp.0;
        let interval_ms = self.file.evaluation_interval_ms;
        let mut cases: BTreeMap<i64, Vec<&AlertCase>> = BTreeMap::new();
        for case in &self.group.alert_rule_test {
            cases.entry(case.eval_time.0).or_default().push(case);
        }
        let mut step_ms = 0;
        while step_ms <= self.group.last_ms() {
            let mut failed = Vec::new();
            for group in &mut self.rules {
                group.evaluate(start_ms + step_ms).await;
                let time = format_duration(start_ms + step_ms);
                failed.extend(
                    group
                        .rule_errors()
                        .into_iter()
                        .map(|(rule, error)| format!("    rule: {rule}, time: {time}, err: {error}")),
                );
            }
            if !failed.is_empty() {
                self.outcome.errors.extend(failed);
                return false;
            }
            // A time between two evaluations sees the alerts of the one before.
            for case in cases.range(step_ms..step_ms + interval_ms).flat_map(|(_, cases)| cases) {
                self.check_alerts(case);
            }
            step_ms += interval_ms;
        }
        true
    }

    fn check_alerts(&mut self, case: &AlertCase) {
        let mut got = Vec::new();
        for alert in self.rules.iter().flat_map(|group| group.active_alerts(&case.alertname)) {
            if alert.state == AlertState::Firing {
                got.push(Firing { labels: alert.labels, annotations: alert.annotations });
            }
        }
        got.sort();
        let expected = expected_alerts(&case.alertname, &case.exp_alerts);
        if got == expected {
            return;
        }
        let name = match self.group.name.as_str() {
            "" => String::new(),
            name => format!("    name: {name},\n"),
        };
        let (expected, got) = (alerts_text(&expected), alerts_text(&got));
        let time = format_duration(case.eval_time.0);
        self.outcome.errors.push(match self.options.diff {
            true => format!(
                "{name}    alertname: {}, time: {time}, \n        diff: {}",
                case.alertname,
                indented(&diff(&expected, &got), "            ")
            ),
            false => format!(
                "{name}    alertname: {}, time: {time}, \n        exp:{}, \n        got:{}",
                case.alertname,
                indented(&expected, "            "),
                indented(&got, "            ")
            ),
        });
    }

    async fn check_expr(&mut self, case: &ExprCase) {
        let at = format!("    expr: {}, time: {}", labels::quote(&case.expr), format_duration(case.eval_time.0));
        let time_ms = self.group.start_timestamp.0 + case.eval_time.0;
        let got = match self.vector(&case.expr, time_ms).await {
            Ok(got) => got,
            Err(why) => return self.outcome.errors.push(format!("{at}, err: {why}")),
        };
        let expected: Result<Vec<Sample>, String> = case.exp_samples.iter().map(Sample::expected).collect();
        let (mut expected, mut got) = match expected {
            Ok(expected) => (expected, got),
            Err(why) => return self.outcome.errors.push(format!("{at}, err: {why}")),
        };
        if same_samples(&mut expected, &mut got, self.file.fuzzy_compare) {
            return;
        }
        let (expected, got) = (samples_text(&expected), samples_text(&got));
        self.outcome.errors.push(match self.options.diff {
            true => {
                let lines = |text: &str| text.replace(", {", "\n{");
                format!("{at},\n        diff: {}", diff(&lines(&expected), &lines(&got)))
            }
            false => format!("{at},\n        exp: {expected}\n        got: {got}"),
        });
    }

    async fn vector(&self, expr: &str, time_ms: i64) -> Result<Vec<Sample>, String> {
        let result = self.evaluator.evaluate(&Ctx::background(), Query::instant(expr, time_ms)).await;
        match result.map_err(|e| e.to_string())?.value {
            Value::Vector { samples, .. } => Ok(samples.into_iter().map(Sample::from).collect()),
            Value::Scalar { value, .. } => Ok(vec![Sample { labels: labels::Labels::empty(), value, histogram: None }]),
            Value::String { .. } | Value::Matrix(_) => Err("rule result is not a vector or scalar".to_owned()),
        }
    }

    /// All series with all their samples, for `--debug`.
    async fn show_series(&mut self) {
        // A selector takes whole seconds.
        let range_ms = self.group.last_ms() / 1000 * 1000 + 1000;
        let expr = format!("{{__name__=~\".+\"}}[{}]", format_duration(range_ms));
        let end_ms = self.group.start_timestamp.0 + range_ms;
        let out = &mut self.outcome.debug;
        let asked = self.evaluator.evaluate(&Ctx::background(), Query::instant(&expr, end_ms)).await;
        let matrix = match asked.map(|result| result.value) {
            Ok(Value::Matrix(matrix)) => matrix,
            Ok(_) => return,
            Err(why) => return out.push_str(&format!("DEBUG: Failed querying, expr: {expr:?}, err: {why}\n")),
        };
        let range = format_duration(range_ms);
        out.push_str(&format!("DEBUG: Dump of all data (input_series and rules) at {range}:\n"));
        for series in &matrix.series {
            let mut points: Vec<(i64, String)> =
                series.floats(matrix.grid).map(|(time_ms, value)| (time_ms, format_float(value, 'f', None))).collect();
            points.extend(series.histograms(matrix.grid).map(|(time_ms, h)| (time_ms, test_expression(h))));
            points.sort_by_key(|(time_ms, _)| *time_ms);
            out.push_str(&format!("{} =>\n", series.labels));
            points.iter().for_each(|(time_ms, value)| out.push_str(&format!("{value} @[{time_ms}]\n")));
        }
    }
}
