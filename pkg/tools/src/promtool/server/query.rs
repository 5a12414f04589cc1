//! `aion tools query instant|range|series|labels`.

use flags::{Flag, Parsed};
use serde_json::Value;
use service::tool::Deps;

use super::super::common::Outcome;
use super::print::{json, labels_text, plain_numbers, result_text};
use super::{HTTP_CONFIG, client, failed, seconds, time_ms};
use crate::Error;

const FORMAT: Flag = Flag::word("format", &["promql", "json"], "promql", "Output format of the query.").short('o');
const TIMEOUT: Flag = Flag::duration("timeout", "2m", "The longest time for the query.");
const HEADER: Flag =
    Flag::text("header", "", "Extra headers to send to server.").placeholder("<name=value>").repeated();
const START: Flag = Flag::text("start", "", "Start time (RFC3339 or Unix timestamp).");
const END: Flag = Flag::text("end", "", "End time (RFC3339 or Unix timestamp).");
const MATCH: Flag = Flag::text("match", "", "Series selector. Can be specified multiple times.").repeated();

pub(crate) const INSTANT_FLAGS: &[Flag] = &[
    Flag::text("time", "", "Query evaluation time (RFC3339 or Unix timestamp)."),
    FORMAT,
    HEADER,
    HTTP_CONFIG,
    TIMEOUT,
];
pub(crate) const RANGE_FLAGS: &[Flag] = &[
    Flag::text("start", "", "Query range start time (RFC3339 or Unix timestamp)."),
    Flag::text("end", "", "Query range end time (RFC3339 or Unix timestamp)."),
    Flag::duration("step", "0s", "Query step size (duration)."),
    FORMAT,
    HEADER,
    HTTP_CONFIG,
    TIMEOUT,
];
pub(crate) const SERIES_FLAGS: &[Flag] = &[MATCH, START, END, FORMAT, HEADER, HTTP_CONFIG, TIMEOUT];
pub(crate) const LABELS_FLAGS: &[Flag] = &[MATCH, START, END, FORMAT, HEADER, HTTP_CONFIG, TIMEOUT];

/// Series and labels are asked for so far around now where no time is given, ms.
const AROUND_MS: i64 = 9999 * 3_600_000;

/// Asks and gives the data; warnings go to the log.
async fn ask(parsed: &Parsed, path: &str, query: &[(&str, String)]) -> Result<Value, Error> {
    let answer = client(parsed, &parsed.args()[0])?.ask(path, query).await.map_err(failed)?;
    for warning in answer.warnings {
        tracing::warn!(warning, "query warning");
    }
    Ok(answer.value)
}

fn print_result(parsed: &Parsed, deps: &mut Deps<'_>, data: &Value) -> Outcome {
    let text = match parsed.text("format") {
        "json" => json(&plain_numbers(data)),
        _ => result_text(data).map_err(Error::Failed)?,
    };
    deps.print(&format!("{text}\n"))?;
    Ok(0)
}

pub(crate) async fn instant(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let time = time_ms(parsed, "time")?.unwrap_or_else(|| deps.clock.now_ms());
    let query = [("query", parsed.args()[1].clone()), ("time", seconds(time))];
    let data = ask(parsed, "/api/v1/query", &query).await?;
    print_result(parsed, deps, &data)
}

pub(crate) async fn range(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let end = time_ms(parsed, "end")?.unwrap_or_else(|| deps.clock.now_ms());
    let start = time_ms(parsed, "start")?.unwrap_or(end - 300_000);
    if start >= end {
        return Err(Error::Usage("start time is not before end time".to_owned()));
    }
    // About 250 points, and at least a second apart, as promtool does it.
    let step = match parsed.duration_ms("step") {
        0 => ((end - start) / 250_000).max(1) * 1000,
        step => step,
    };
    let query = [
        ("query", parsed.args()[1].clone()),
        ("start", seconds(start)),
        ("end", seconds(end)),
        ("step", seconds(step)),
    ];
    let data = ask(parsed, "/api/v1/query_range", &query).await?;
    print_result(parsed, deps, &data)
}

/// `match[]`, `start` and `end`.
fn selection(parsed: &Parsed, deps: &Deps<'_>) -> Result<Vec<(&'static str, String)>, Error> {
    let now = deps.clock.now_ms();
    let start = time_ms(parsed, "start")?.unwrap_or(now - AROUND_MS);
    let end = time_ms(parsed, "end")?.unwrap_or(now + AROUND_MS);
    let mut query = vec![("start", seconds(start)), ("end", seconds(end))];
    let selectors = parsed.list("match").into_iter().filter(|selector| !selector.is_empty());
    query.extend(selectors.map(|selector| ("match[]", selector)));
    Ok(query)
}

pub(crate) async fn series(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let query = selection(parsed, deps)?;
    if !query.iter().any(|(name, _)| *name == "match[]") {
        return Err(Error::Usage("required flag --match not provided".to_owned()));
    }
    let data = ask(parsed, "/api/v1/series", &query).await?;
    let text = match (parsed.text("format"), data.as_array()) {
        ("json", _) => json(&data) + "\n",
        (_, Some(series)) => series.iter().map(|labels| labels_text(labels) + "\n").collect(),
        (_, None) => return Err(Error::Failed("the answer is no list of series".to_owned())),
    };
    deps.print(&text)?;
    Ok(0)
}

pub(crate) async fn labels(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let name = &parsed.args()[1];
    let query = selection(parsed, deps)?;
    let data = ask(parsed, &promclient::label_values_path(name), &query).await?;
    let text = match (parsed.text("format"), data.as_array()) {
        ("json", _) => json(&data) + "\n",
        (_, Some(values)) => values.iter().map(|value| value.as_str().unwrap_or_default().to_owned() + "\n").collect(),
        (_, None) => return Err(Error::Failed("the answer is no list of values".to_owned())),
    };
    deps.print(&text)?;
    Ok(0)
}
