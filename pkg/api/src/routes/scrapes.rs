//! What a scraping server tells of its targets beside `targets`: `targets/metadata`, `targets/relabel_steps`,
//! `scrape_pools/config`.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use labels::Labels;
use serde::Serialize;
use storage::{RelabelRule, TargetMetadata, TargetMetadataQuery};

use crate::envelope::{Answered, success};
use crate::error::ApiError;
use crate::json::LabelObject;
use crate::params::Params;
use crate::shared::Shared;
use crate::values::parse_int;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/targets/metadata", get(metadata))
        .route("/targets/relabel_steps", get(relabel_steps))
        .route("/scrape_pools/config", get(pool_config))
}

#[derive(Debug, Serialize)]
struct MetadataJson<'a> {
    target: LabelObject<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    metric: &'a str,
    r#type: &'a str,
    help: &'a str,
    unit: &'a str,
}

#[derive(Debug, Serialize)]
struct StepsJson<'a> {
    steps: Vec<StepJson<'a>>,
}

#[derive(Debug, Serialize)]
struct StepJson<'a> {
    rule: RuleJson<'a>,
    output: LabelObject<'a>,
    keep: bool,
}

#[derive(Debug, Serialize)]
struct RuleJson<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    source_labels: &'a [String],
    separator: &'a str,
    regex: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    modulus: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    target_label: &'a str,
    replacement: &'a str,
    action: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct YamlJson {
    pub yaml: String,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

async fn metadata(State(shared): State<Shared>, params: Params) -> Answered {
    let server = shared.server()?;
    let limit = match params.get("limit") {
        "" => None,
        text => Some(parse_int(text, "Atoi").map_err(|_| ApiError::bad("limit must be a number"))?),
    };
    let matchers = match params.get("match_target") {
        "" => Vec::new(),
        text => promql_syntax::parse_series_matchers(text).map_err(|why| ApiError::parameter("match_target", why))?,
    };
    let metric = params.get("metric");
    // Below zero there is no limit; at zero nothing is wanted.
    let limit = limit.filter(|limit| *limit >= 0).map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let found = match limit {
        Some(0) => Vec::new(),
        limit => {
            let want = TargetMetadataQuery { matchers, metric: metric.to_owned(), limit: limit.unwrap_or(0) };
            server.scrapes.target_metadata(&want)
        }
    };
    let one = |entry| metadata_json(entry, metric.is_empty());
    let entries: Vec<_> = found.iter().map(one).collect();
    success(&entries, &shared.warned(Vec::new()), shared.state.options.annotations_max)
}

/// The metric's name is left out where the request gave it.
fn metadata_json(entry: &TargetMetadata, named: bool) -> MetadataJson<'_> {
    MetadataJson {
        target: LabelObject(&entry.target),
        metric: if named { &entry.metric } else { "" },
        r#type: &entry.metadata.metric_type,
        help: &entry.metadata.help,
        unit: &entry.metadata.unit,
    }
}

async fn relabel_steps(State(shared): State<Shared>, params: Params) -> Answered {
    let server = shared.server()?;
    let pool = pool(&params)?;
    let text = params.get("labels");
    if text.is_empty() {
        return Err(ApiError::bad("no labels parameter provided"));
    }
    let pairs: BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|e| ApiError::bad(format!("error parsing labels: {e}")))?;
    let discovered = Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let steps = server.scrapes.relabel_steps(pool, &discovered).ok_or_else(|| no_such(pool))?;
    let steps = steps
        .iter()
        .map(|step| StepJson { rule: rule_json(&step.rule), output: LabelObject(&step.output), keep: step.keep })
        .collect();
    success(&StepsJson { steps }, &shared.warned(Vec::new()), shared.state.options.annotations_max)
}

fn rule_json(rule: &RelabelRule) -> RuleJson<'_> {
    RuleJson {
        source_labels: &rule.source_labels,
        separator: &rule.separator,
        regex: &rule.regex,
        modulus: rule.modulus,
        target_label: &rule.target_label,
        replacement: &rule.replacement,
        action: &rule.action,
    }
}

async fn pool_config(State(shared): State<Shared>, params: Params) -> Answered {
    let server = shared.server()?;
    let pool = pool(&params)?;
    let yaml = server.scrapes.pool_config(pool).ok_or_else(|| no_such(pool))?;
    success(&YamlJson { yaml }, &shared.warned(Vec::new()), shared.state.options.annotations_max)
}

fn pool(params: &Params) -> Result<&str, ApiError> {
    match params.get("scrapePool") {
        "" => Err(ApiError::bad("no scrapePool parameter provided")),
        pool => Ok(pool),
    }
}

fn no_such(pool: &str) -> ApiError {
    ApiError::bad(format!("error retrieving scrape config: scrape pool {} not found", labels::quote(pool)))
}
