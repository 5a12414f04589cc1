//! The parameters that all reading endpoints share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use labels::Matcher;
use model::Resolution;
use promql::{EngineChoice, ReadOptions};
use serde::Deserialize;
use storage::{Budget, Ctx, Origin, PartialResponse, SeriesSource, Shard};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::state::ApiOptions;
use transport::http::answers::ErrorKind;

use crate::error::ApiError;
use crate::params::Params;
use crate::shared::Shared;
use crate::tenant::Tenant;
use crate::values::{parse_bool, parse_duration};

/// A request's context; when this is dropped, with the handler's future as the client goes away, the work behind it
/// stops.
pub(crate) struct RequestCtx {
    pub ctx: Ctx,
    pub tenant: Tenant,
    _stop: DropGuard,
}

impl RequestCtx {
    pub fn new(params: &Params, shared: &Shared) -> Result<Self, ApiError> {
        let options = &shared.state.options;
        let tenant = Tenant::of(&params.headers, options)?;
        let timeout_ms = params.parsed("timeout", parse_duration)?;
        if timeout_ms.is_some_and(|ms| ms <= 0) {
            return Err(ApiError::new(ErrorKind::Timeout, "query timed out in query execution"));
        }
        let deadline = timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms.min(DEADLINE_MAX_MS) as u64));
        let mut budget = shared.state.budget.clone();
        if options.request_bytes_max > 0 {
            budget = Budget::new("the request", "--query.max-bytes", options.request_bytes_max, Some(budget));
        }
        let cancel = CancellationToken::new();
        let ctx = Ctx { cancel: cancel.clone(), deadline, budget, tenant: tenant.id.clone(), hints: None };
        Ok(Self { ctx, tenant, _stop: cancel.drop_guard() })
    }

    /// Has sources note what they send, for `stats`.
    pub fn noting_origins(mut self, params: &Params) -> Self {
        self.ctx.hints = (!params.get("stats").is_empty()).then(Arc::default);
        self
    }

    /// What sources sent.
    pub fn origins(&self) -> Vec<Origin> {
        self.ctx.hints.as_ref().map(|sink| sink.hints().origins).unwrap_or_default()
    }
}

/// Longer waits are as good as none, and the clock must not run over.
const DEADLINE_MAX_MS: i64 = 30 * 86_400_000;

/// Reads the parameters of `query` and `query_range` that say how data is read; `auto_resolution_ms` is what
/// `max_source_resolution=auto` means.
pub(crate) fn read_options(
    params: &Params,
    options: &ApiOptions,
    auto_resolution_ms: i64,
) -> Result<ReadOptions, ApiError> {
    let resolution = params.get("max_source_resolution");
    let auto = resolution == "auto" || (resolution.is_empty() && options.auto_downsampling);
    let max_resolution_ms = match resolution {
        _ if auto => auto_resolution_ms,
        "" => 0,
        text => parse_duration(text).map_err(|why| ApiError::parameter("max_source_resolution", why))?,
    };
    if max_resolution_ms < 0 {
        let text = "negative resolutions are not accepted. Try a positive duration";
        return Err(ApiError::parameter("max_source_resolution", text));
    }
    let asked_lookback = match params.get("lookback_delta") {
        "" => None,
        text => {
            let bad = |why| ApiError::bad(format!("error parsing lookback delta duration: {why}"));
            Some(parse_duration(text).map_err(bad)?)
        }
    };
    let lookback_ms = asked_lookback.filter(|ms| *ms > 0).unwrap_or_else(|| {
        let default_ms = options.engine.lookback_ms;
        // A resolution that is chosen for the client must not make a series go on after its end; windows show anyway.
        if options.dynamic_lookback && !auto { lookback_for(default_ms, max_resolution_ms) } else { default_ms }
    });
    Ok(ReadOptions {
        dedup: params.parsed("dedup", parse_bool)?.unwrap_or(true),
        replica_labels: Some(params.owned("replicaLabels[]")).filter(|l| !l.is_empty()),
        store_matchers: store_matchers(params)?,
        partial_response: partial_response(params, options.partial_response)?,
        max_resolution_ms,
        auto_resolution: auto,
        lookback_ms,
        shard: shard(params)?,
        labels_only: false,
    })
}

pub(crate) fn engine(params: &Params) -> Result<EngineChoice, ApiError> {
    let name = params.get("engine");
    EngineChoice::parse(name)
        .ok_or_else(|| ApiError::parameter("engine", format!("{} is none of prometheus, thanos", labels::quote(name))))
}

/// The source of label endpoints.
pub(crate) fn label_source(
    params: &Params,
    shared: &Shared,
    max_resolution_ms: i64,
) -> Result<(Arc<dyn SeriesSource>, PartialResponse), ApiError> {
    let partial_response = partial_response(params, shared.state.options.partial_response)?;
    let source = shared.state.source.for_request(&ReadOptions {
        dedup: params.parsed("dedup", parse_bool)?.unwrap_or(true),
        replica_labels: Some(params.owned("replicaLabels[]")).filter(|l| !l.is_empty()),
        store_matchers: store_matchers(params)?,
        partial_response,
        max_resolution_ms,
        lookback_ms: shared.state.options.engine.lookback_ms,
        labels_only: true,
        ..ReadOptions::default()
    })?;
    Ok((source, partial_response))
}

/// How far to look back where data of this resolution may answer: to the next sample at least.
fn lookback_for(lookback_ms: i64, max_resolution_ms: i64) -> i64 {
    // A query may get data of any resolution up to what it allows, so the resolution above decides.
    for finer in Resolution::ALL.into_iter().rev() {
        let Some(above) = finer.coarser() else { continue };
        if finer.ms().max(lookback_ms) < max_resolution_ms {
            return lookback_ms.max(above.ms());
        }
    }
    lookback_ms
}

/// `partial_response`, or the configured one.
pub(crate) fn partial_response(params: &Params, configured: PartialResponse) -> Result<PartialResponse, ApiError> {
    Ok(match params.parsed("partial_response", parse_bool)? {
        None => configured,
        Some(true) => PartialResponse::Warn,
        Some(false) => PartialResponse::Abort,
    })
}

/// Parses selectors and refuses those that would match everything, and more of them than `regex_bytes_max` has room for.
pub(crate) fn parse_selectors(texts: &[&str], regex_bytes_max: usize) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut regex_bytes = 0;
    let parse = |text: &&str| {
        let set = promql_syntax::parse_series_matchers(text).map_err(|why| ApiError::bad(why.to_string()))?;
        regex_bytes += set.iter().filter_map(Matcher::regex).map(|r| r.size_bytes()).sum::<usize>();
        if regex_bytes_max > 0 && regex_bytes > regex_bytes_max {
            return Err(ApiError::bad(format!(
                "regular expressions of match[] take more than {regex_bytes_max} bytes when compiled \
                 (--query.max-regex-bytes)"
            )));
        }
        match set.iter().all(Matcher::matches_empty) {
            true => Err(ApiError::bad("match[] must contain at least one non-empty matcher")),
            false => Ok(set),
        }
    };
    texts.iter().map(parse).collect()
}

fn store_matchers(params: &Params) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let parse =
        |text: &str| promql_syntax::parse_series_matchers(text).map_err(|why| ApiError::parameter("storeMatch[]", why));
    params.all("storeMatch[]").into_iter().map(parse).collect()
}

/// `shard_info`, JSON as Thanos' query frontend sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ShardInfo {
    shard_index: u64,
    total_shards: u64,
    by: bool,
    labels: Option<Vec<String>>,
}

fn shard(params: &Params) -> Result<Option<Shard>, ApiError> {
    let parse = |text: &str| serde_json::from_str::<Option<ShardInfo>>(text).map_err(|e| e.to_string());
    let info = params.parsed("shard_info", parse)?.flatten();
    Ok(info.filter(|i| i.total_shards > 0).map(|i| Shard {
        index: i.shard_index,
        total: i.total_shards,
        by: i.by,
        labels: i.labels.unwrap_or_default(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookback_reaches_the_next_sample_of_downsampled_data() {
        let (minute, hour) = (60_000, 3_600_000);
        for (lookback, resolution, expected) in [
            (5 * minute, 0, 5 * minute),
            (5 * minute, minute, 5 * minute),
            (5 * minute, 5 * minute, 5 * minute),
            (5 * minute, 6 * minute, hour),
            (5 * minute, hour, hour),
            (minute, 2 * minute, 5 * minute),
            (2 * hour, hour, 2 * hour),
        ] {
            assert_eq!(lookback_for(lookback, resolution), expected, "{lookback} {resolution}");
        }
    }
}
