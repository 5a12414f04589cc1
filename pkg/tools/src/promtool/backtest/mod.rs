//! `aion tools rules backtest`: when alerts would have fired.

mod ask;
mod episodes;
mod render;

use std::sync::Arc;

use flags::{Flag, Parsed};
use futures::StreamExt;
use futures::future::BoxFuture;
use promclient::{ClientOptions, PromClient};
use rules::{GroupSpec, RuleSpec};
use service::tool::Deps;
use transport::http::ClientConfig;

use self::ask::{Asked, Steps};
use self::episodes::{Episode, Holding, episodes};
use self::render::{Report, RuleReport};
use super::check_rules::options;
use super::common::Outcome;
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[
    Flag::text(
        "url",
        "http://localhost:9090",
        "The Prometheus API whose history is asked: Prometheus, aion server, aion query, Thanos.",
    )
    .placeholder("<URL>"),
    Flag::text(
        "http.client-config",
        "",
        "Path to a file with the HTTP client configuration: authentication, TLS, proxies.",
    )
    .placeholder("<path>"),
    Flag::text("from", "-1d", "Begin of the history: RFC 3339, Unix seconds, or a duration before now such as -90d."),
    Flag::text("to", "0s", "End of the history, as --from."),
    Flag::duration("interval", "1m", "How often groups are evaluated that name no interval."),
    Flag::word("output", &["table", "json", "timeline"], "table", "How the result is printed.").short('o'),
    Flag::text("alert", "", "Only these alerts. Can be repeated.").repeated(),
    Flag::count("concurrency", "4", "How many queries are made at one time."),
    Flag::count(
        "max-points",
        "11000",
        "Most steps of one query: what the API allows. Longer histories are asked in parts.",
    ),
    Flag::duration("timeout", "2m", "The longest time for one query."),
];

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let now_ms = deps.clock.now_ms();
    let time = |flag: &str| {
        seconds_of(parsed.text(flag))
            .or_else(|| flags::parse_time_or_duration(parsed.text(flag), now_ms))
            .ok_or_else(|| Error::Usage(format!("--{flag}: {:?} is no time", parsed.text(flag))))
    };
    let (from_ms, to_ms) = (time("from")?, time("to")?);
    if from_ms >= to_ms {
        return Err(Error::Usage("--from must be before --to".to_owned()));
    }
    let client = client(parsed)?;
    let groups = read(parsed.args())?;
    let wanted: Vec<String> = parsed.list("alert").into_iter().filter(|name| !name.is_empty()).collect();
    let recorded: Arc<Vec<String>> =
        Arc::new(groups.iter().flat_map(|g| &g.rules).filter(|r| r.alert.is_none()).map(|r| r.name.clone()).collect());
    let points_max = parsed.count("max-points").max(2);
    let default_ms = parsed.duration_ms("interval").max(1);
    let mut work: Vec<BoxFuture<'static, RuleReport>> = Vec::new();
    for group in groups {
        let step_ms = group.interval_ms.unwrap_or(default_ms).max(1);
        let steps = Steps { from_ms, to_ms, step_ms, points_max };
        for rule in group.rules {
            if rule.alert.is_some() && (wanted.is_empty() || wanted.contains(&rule.name)) {
                work.push(Box::pin(backtest(client.clone(), group.name.clone(), rule, steps, recorded.clone())));
            }
        }
    }
    let concurrency = usize::try_from(parsed.count("concurrency")).unwrap_or(1).clamp(1, 64);
    let reports: Vec<RuleReport> = futures::stream::iter(work).buffered(concurrency).collect().await;
    let failed = reports.iter().any(|report| report.error.is_some());
    let report = Report { from_ms, to_ms, rules: reports };
    deps.print(&match parsed.text("output") {
        "json" => report.json(),
        "timeline" => report.timeline(),
        _ => report.table(),
    })?;
    Ok(u8::from(failed))
}

/// Unix seconds.
fn seconds_of(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    (seconds.is_finite() && seconds.abs() < 1e12).then(|| (seconds * 1000.0).round() as i64)
}

fn client(parsed: &Parsed) -> Result<PromClient, Error> {
    let yaml = match parsed.text_opt("http.client-config") {
        None => String::new(),
        Some(path) => {
            std::fs::read_to_string(path).map_err(|e| Error::Usage(format!("--http.client-config: {path}: {e}")))?
        }
    };
    let wrong = |e: transport::Error| Error::Usage(format!("--http.client-config: {e}"));
    let http = ClientConfig::parse(&yaml).map_err(wrong)?.build().map_err(wrong)?;
    let timeout = std::time::Duration::from_millis(parsed.duration_ms("timeout").max(1).unsigned_abs());
    Ok(PromClient::new(parsed.text("url"), http, ClientOptions { timeout, ..ClientOptions::default() }))
}

fn read(files: &[String]) -> Result<Vec<GroupSpec>, Error> {
    let mut groups = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|e| Error::Failed(format!("{file}: {e}")))?;
        let options = rules::ParseOptions { thanos: true, ..options(false) };
        groups.extend(rules::parse(file, &text, &options).map_err(|e| Error::Failed(format!("{file}: {e}")))?);
    }
    Ok(groups)
}

async fn backtest(
    client: PromClient,
    group: String,
    rule: RuleSpec,
    steps: Steps,
    recorded: Arc<Vec<String>>,
) -> RuleReport {
    let mut report = RuleReport {
        group,
        alert: rule.name.clone(),
        query: rule.query.clone(),
        episodes: Vec::new(),
        warnings: warnings_of(&rule, &recorded),
        error: None,
    };
    let Some(alert) = &rule.alert else { return report };
    let holding =
        Holding { for_ms: alert.for_ms, keep_firing_for_ms: alert.keep_firing_for_ms, step_ms: steps.step_ms };
    match ask::ask(&client, &rule.query, steps).await {
        Err(error) => report.error = Some(error.to_string()),
        Ok(Asked { series, warnings }) => {
            report.warnings.extend(warnings);
            for (labels, points) in series {
                let labels = Arc::new(rule.alert_labels(&labels, f64::NAN));
                let found = episodes(&points, holding, steps.to_ms);
                report.episodes.extend(found.into_iter().map(|span| Episode { labels: labels.clone(), span }));
            }
            report.episodes.sort_by(|a, b| (a.span.pending_ms, &a.labels).cmp(&(b.span.pending_ms, &b.labels)));
        }
    }
    report
}

/// What the result leaves open.
fn warnings_of(rule: &RuleSpec, recorded: &[String]) -> Vec<String> {
    let selectors = promql_syntax::selectors(&rule.expr);
    let names = selectors.iter().filter_map(|selector| {
        let name = selector.matchers.iter().find(|m| m.name() == labels::METRIC_NAME)?.value();
        recorded.iter().any(|known| known == name).then(|| name.to_owned())
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| format!("{name} is recorded by these rules: it is read as it was recorded at the time"))
        .collect()
}
