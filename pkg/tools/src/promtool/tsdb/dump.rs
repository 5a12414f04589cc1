//! `aion tools tsdb dump|dump-openmetrics`.

use flags::{Flag, Parsed};
use labels::{Labels, METRIC_NAME};
use model::TimeRange;
use serde_json::{Map, Value};
use service::tool::Deps;
use storage::{Ctx, PartialResponse, Select, SeriesSource, merge_streams};

use super::super::common::Outcome;
use super::samples::{Sample, each_series};
use super::{matchers, ms, open};
use crate::Error;

const MIN: Flag =
    Flag::text("min-time", "-9223372036854775808", "Minimum timestamp to dump, in milliseconds since the Unix epoch.")
        .placeholder("<ms>");
const MAX: Flag =
    Flag::text("max-time", "9223372036854775807", "Maximum timestamp to dump, in milliseconds since the Unix epoch.")
        .placeholder("<ms>");
const MATCH: Flag =
    Flag::text("match", "{__name__=~'(?s:.*)'}", "Series selector. Can be specified multiple times.").repeated();
const SANDBOX: Flag = Flag::text("sandbox-dir-root", "", "Root directory where a sandbox directory will be created.")
    .ignored("nothing in the data directory is changed, so that no copy is needed");

pub(crate) const FLAGS: &[Flag] = &[
    MIN,
    MAX,
    MATCH,
    Flag::word(
        "format",
        &["prom", "seriesjson"],
        "prom",
        "Output format of the dump: samples, or the labels of series.",
    ),
    SANDBOX,
];
pub(crate) const OPENMETRICS_FLAGS: &[Flag] = &[MIN, MAX, MATCH, SANDBOX];

/// The output is written in parts of about this size, bytes.
const PART_BYTES: usize = 64 << 10;

#[derive(Debug, Clone, Copy)]
enum Form {
    Prom,
    SeriesJson,
    OpenMetrics,
}

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let form = if parsed.text("format") == "seriesjson" { Form::SeriesJson } else { Form::Prom };
    dump(parsed, deps, form).await
}

pub(crate) async fn run_openmetrics(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    dump(parsed, deps, Form::OpenMetrics).await?;
    deps.print("# EOF\n")?;
    Ok(0)
}

async fn dump(parsed: &Parsed, deps: &mut Deps<'_>, form: Form) -> Outcome {
    let (min, max) = (ms(parsed, "min-time")?, ms(parsed, "max-time")?);
    if min > max {
        return Err(Error::Usage("--min-time is after --max-time".to_owned()));
    }
    let range = TimeRange::new(min, max);
    let selectors: Vec<_> = parsed.list("match").iter().map(|text| matchers(text)).collect::<Result<_, _>>()?;
    let opened = open(parsed, true, deps)?;
    if let Some(missing) = opened.unreadable().into_iter().next() {
        return Err(Error::Failed(missing));
    }
    let streams = selectors.into_iter().map(|matchers| {
        let want = Select { partial_response: PartialResponse::Abort, ..Select::new(range, matchers) };
        (String::new(), opened.select(&Ctx::background(), want))
    });
    let stream = merge_streams(streams.collect());
    let mut out = String::new();
    let mut print = |labels: &Labels, samples: Vec<(i64, Sample)>| -> Result<(), Error> {
        write(&mut out, labels, &samples, form);
        if out.len() >= PART_BYTES {
            deps.print(&out)?;
            out.clear();
        }
        Ok(())
    };
    each_series(stream, range, &mut print).await?;
    deps.print(&out)?;
    Ok(0)
}

fn write(out: &mut String, labels: &Labels, samples: &[(i64, Sample)], form: Form) {
    let head = match form {
        Form::SeriesJson => {
            let map: Map<String, Value> =
                labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
            out.push_str(&format!("{}\n", Value::Object(map)));
            return;
        }
        Form::Prom => labels.to_string(),
        Form::OpenMetrics => condensed(labels),
    };
    for (time, sample) in samples {
        match (sample, form) {
            // OpenMetrics has neither markers of staleness nor native histograms.
            (Sample::Float(value), Form::OpenMetrics) if model::is_stale(*value) => {}
            (Sample::Histogram(..), Form::OpenMetrics) => {}
            (Sample::Float(value), Form::OpenMetrics) => {
                let value = gotemplate::format_g(*value);
                out.push_str(&format!("{head} {value} {}.{:03}\n", time.div_euclid(1000), time.rem_euclid(1000)));
            }
            (Sample::Float(value), _) => out.push_str(&format!("{head} {} {time}\n", gotemplate::format_g(*value))),
            (Sample::Histogram(value, whole), _) => {
                let text = if *whole { promql::whole_histogram_text(value) } else { promql::histogram_text(value) };
                out.push_str(&format!("{head} {text} {time}\n"));
            }
        }
    }
}

/// `name{a="b",c="d"}`, without spaces.
fn condensed(labels: &Labels) -> String {
    let others = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let pairs: Vec<String> = others.map(|(name, value)| format!("{name}={}", labels::quote(value))).collect();
    format!("{}{{{}}}", labels.value(METRIC_NAME), pairs.join(","))
}
