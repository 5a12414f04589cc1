//! One eval in all its variants: as written, with every selector pinned by `@`, and each as a range query.

use model::Severity;
use promql::{Engine, Query, QueryError, QueryResult, Value};
use promql_syntax::testlang::{Eval, EvalTime, TextMatch};
use promql_syntax::{At, Expr, parse, walk};
use storage::Ctx;

use super::compare;
use super::store::Store;

/// Functions whose value depends on the time of evaluation even where their arguments do not.
const TIME_DEPENDENT: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
    "timestamp",
    "year",
];

/// Around the time of an instant query its range variant has one step to either side.
const AROUND_MS: i64 = 60_000;

/// Runs the eval; the text says what is wrong.
pub(super) async fn run(eval: &Eval, store: &Store, engine: &Engine) -> Result<(), String> {
    match eval.time {
        EvalTime::Range(grid) => {
            let outcome = engine
                .evaluate(
                    &Ctx::background(),
                    store.source(),
                    Query::range(&eval.query, grid.start_ms, grid.end_ms, grid.step_ms),
                )
                .await;
            let Some(result) = settle(eval, outcome)? else { return Ok(()) };
            annotations(eval, &result)?;
            compare::range(eval, grid, &result.value)
        }
        EvalTime::Instant { at_ms } => {
            for (query, time_ms) in variants(&eval.query, at_ms)? {
                instant(eval, &query, time_ms, store, engine)
                    .await
                    .map_err(|e| format!("{query} at {time_ms} ms: {e}"))?;
            }
            Ok(())
        }
    }
}

/// The query as written, and pinned at other times.
fn variants(query: &str, at_ms: i64) -> Result<Vec<(String, i64)>, String> {
    let mut all = vec![(query.to_owned(), at_ms)];
    let mut expr = parse(query).map_err(|e| e.to_string())?;
    let mut depends = false;
    walk(&expr, &mut |e| {
        if let Expr::Call(c) = e {
            depends |= TIME_DEPENDENT.contains(&c.function.name);
        }
    });
    if depends {
        return Ok(all);
    }
    pin(&mut expr, at_ms);
    let pinned = expr.to_string();
    let times = if at_ms == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at_ms, 0, at_ms / 5, at_ms, 10 * at_ms] };
    all.extend(times.into_iter().map(|t| (pinned.clone(), t)));
    Ok(all)
}

/// Gives selectors and outermost subqueries an `@`, those without one.
fn pin(expr: &mut Expr, at_ms: i64) {
    match expr {
        Expr::Vector(v) => {
            v.at.get_or_insert(At::Time(at_ms));
        }
        Expr::Matrix(m) => {
            m.vector.at.get_or_insert(At::Time(at_ms));
        }
        Expr::Subquery(s) => {
            s.at.get_or_insert(At::Time(at_ms));
        }
        other => other.children_mut().for_each(|child| pin(child, at_ms)),
    }
}

async fn instant(eval: &Eval, query: &str, time_ms: i64, store: &Store, engine: &Engine) -> Result<(), String> {
    let ctx = Ctx::background();
    let outcome = engine.evaluate(&ctx, store.source(), Query::instant(query, time_ms)).await;
    let Some(result) = settle(eval, outcome)? else { return Ok(()) };
    annotations(eval, &result)?;
    compare::instant(eval, &result.value)?;

    let words = ["start()", "end()", "range()", "step()"];
    if eval.expect.ordered
        || eval.expect.string.is_some()
        || eval.expect.range_vector.is_some()
        || words.iter().any(|w| query.contains(w))
    {
        return Ok(());
    }
    let (from, to) = (time_ms - AROUND_MS, time_ms + AROUND_MS);
    let result = engine
        .evaluate(&ctx, store.source(), Query::range(query, from, to, AROUND_MS))
        .await
        .map_err(|e| format!("as a range query: {e}"))?;
    compare::middle(eval, &result.value, time_ms).map_err(|e| format!("as a range query: {e}"))
}

/// The result; `None` when the query failed as it should.
fn settle(eval: &Eval, outcome: Result<QueryResult, QueryError>) -> Result<Option<QueryResult>, String> {
    match (outcome, &eval.expect.fail) {
        (Ok(result), None) => Ok(Some(result)),
        (Ok(_), Some(_)) => Err("expected a failure, got a result".to_owned()),
        (Err(e), None) => Err(format!("failed: {e}")),
        (Err(e), Some(expected)) => {
            let text = e.to_string();
            if matches(expected, &text)? {
                Ok(None)
            } else {
                Err(format!("expected a failure with {expected:?}\n     but it failed with {text:?}"))
            }
        }
    }
}

fn matches(expected: &TextMatch, text: &str) -> Result<bool, String> {
    Ok(match expected {
        TextMatch::Any => true,
        TextMatch::Message(message) => message == text,
        TextMatch::Regex(pattern) => re2::Matcher::new(&format!("(?s:.*)(?:{pattern})(?s:.*)"))
            .map_err(|e| format!("the expectation's pattern {pattern:?}: {e}"))?
            .matches(text),
    })
}

fn annotations(eval: &Eval, result: &QueryResult) -> Result<(), String> {
    let expect = &eval.expect;
    let groups = [
        (Severity::Warning, "warning", &expect.warn, expect.no_warn),
        (Severity::Info, "info", &expect.info, expect.no_info),
    ];
    for (severity, what, expected, none) in groups {
        let got = result.annotations.texts(severity, 0);
        if none && !got.is_empty() {
            return Err(format!("expected no {what}, got {got:?}"));
        }
        if expected.is_empty() {
            continue;
        }
        for e in expected {
            let mut found = false;
            for text in &got {
                found |= matches(e, text)?;
            }
            if !found {
                return Err(format!("expected {what} {e:?}\n     got {got:?}"));
            }
        }
        for text in &got {
            let mut wanted = false;
            for e in expected {
                wanted |= matches(e, text)?;
            }
            if !wanted {
                return Err(format!("unexpected {what} {text:?}"));
            }
        }
    }
    Ok(())
}

/// Whether a value is of the kind an eval without series expects to be empty.
pub(super) fn describe(value: &Value) -> &'static str {
    match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector { .. } => "vector",
        Value::Matrix(_) => "matrix",
    }
}
