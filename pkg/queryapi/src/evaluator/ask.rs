//! The question: a query, how its data is read, limits and settings of the engine.

use std::time::{Duration, Instant};

use dedup::Method;
use promql::{EngineOptions, Grid, Passes, Query, ReadOptions, Times};
use promql_syntax::ParseOptions;
use proto::aion as wire;
use storage::{Ctx, PartialResponse};
use tonic::Status;

/// What is asked of an evaluator beside the query.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub query: Query,
    pub method: Method,
    pub options: EngineOptions,
    /// What the asker calls this source, if it wants to know what was read; else empty.
    pub origin: String,
    /// How long it may take, ms; 0 = no limit.
    pub timeout_ms: u64,
    /// How often to say that it is at work, ms; 0 = never.
    pub pulse_ms: u64,
}

/// The question in its message. The query's own limits are in `options` already, the replica labels in its read options.
pub(super) fn to_wire(
    ctx: &Ctx,
    (name, version, pulse): (&str, String, Duration),
    query: &Query,
    method: Method,
    options: &EngineOptions,
) -> wire::EvaluateRequest {
    let (start_ms, end_ms, step_ms) = match query.times {
        Times::Instant(at) => (at, at, 0),
        Times::Range(grid) => (grid.start_ms, grid.end_ms, grid.step_ms),
    };
    let left = ctx.deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let read = &query.read;
    wire::EvaluateRequest {
        version,
        query: query.text.clone(),
        start_ms,
        end_ms,
        step_ms,
        // Not less than is left: 0 would be no limit.
        timeout_ms: left.map_or(0, |left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX).saturating_add(1)),
        read: Some(wire::EvaluateRead {
            dedup: read.dedup,
            replica_labels: read.replica_labels.clone().unwrap_or_default(),
            chain: method == Method::Chain,
            abort: read.partial_response == PartialResponse::Abort,
            max_resolution_ms: read.max_resolution_ms,
            auto_resolution: read.auto_resolution,
            lookback_ms: read.lookback_ms,
        }),
        limits: Some(wire::EvaluateLimits {
            samples: options.max_samples as u64,
            series: options.max_series,
            bytes: options.max_query_bytes,
            label_bytes: options.max_label_bytes as u64,
            points: options.max_points_per_series,
            regex_bytes: options.parse.max_regex_bytes as u64,
        }),
        pulse_ms: i64::try_from(pulse.as_millis()).unwrap_or(i64::MAX),
        origin: if ctx.hints.is_some() { name.to_owned() } else { String::new() },
        engine: Some(wire::EvaluateEngine {
            subquery_step_ms: options.default_subquery_step_ms,
            delayed_name_removal: options.delayed_name_removal,
            type_and_unit_labels: options.type_and_unit_labels,
            use_start_timestamps: options.use_start_timestamps,
            disabled_passes: Passes::names().filter(|p| !options.passes.has(p)).map(str::to_owned).collect(),
        }),
    }
}

/// The question out of its message, for an engine that has the settings `base` where nothing is said.
///
/// # Errors
/// A status, for passes that there are none of.
pub(super) fn from_wire(asked: wire::EvaluateRequest, base: &EngineOptions) -> Result<Asked, Status> {
    let wire::EvaluateRequest {
        query,
        start_ms,
        end_ms,
        step_ms,
        timeout_ms,
        read,
        limits,
        engine,
        origin,
        pulse_ms,
        ..
    } = asked;
    let (read, limits, engine) = (read.unwrap_or_default(), limits.unwrap_or_default(), engine.unwrap_or_default());
    let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let passes = Passes::ALL.without(&engine.disabled_passes).map_err(Status::invalid_argument)?;
    let options = EngineOptions {
        max_samples: count(limits.samples),
        max_series: limits.series,
        max_query_bytes: limits.bytes,
        max_label_bytes: count(limits.label_bytes),
        max_points_per_series: limits.points,
        default_subquery_step_ms: engine.subquery_step_ms.max(1),
        delayed_name_removal: engine.delayed_name_removal,
        type_and_unit_labels: engine.type_and_unit_labels,
        use_start_timestamps: engine.use_start_timestamps,
        passes,
        // The asker has parsed it by its own settings.
        parse: ParseOptions { max_regex_bytes: count(limits.regex_bytes), ..ParseOptions::ALL },
        timeout_ms: 0,
        ..base.clone()
    };
    let method = if read.chain { Method::Chain } else { Method::Penalty };
    let read = ReadOptions {
        dedup: read.dedup,
        replica_labels: Some(read.replica_labels),
        partial_response: if read.abort { PartialResponse::Abort } else { PartialResponse::Warn },
        max_resolution_ms: read.max_resolution_ms.max(0),
        auto_resolution: read.auto_resolution,
        lookback_ms: read.lookback_ms.max(0),
        ..ReadOptions::default()
    };
    let query = match step_ms {
        0 => Query::instant(query, start_ms),
        step_ms => Query { times: Times::Range(Grid { start_ms, end_ms, step_ms }), ..Query::instant(query, 0) },
    };
    let [timeout_ms, pulse_ms] = [timeout_ms, pulse_ms].map(|ms| u64::try_from(ms).unwrap_or(0));
    Ok(Asked { query: query.reading(read), method, options, origin, timeout_ms, pulse_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_an_answer_depends_on_arrives() {
        let read = ReadOptions {
            dedup: false,
            replica_labels: Some(vec!["a".to_owned(), "b".to_owned()]),
            partial_response: PartialResponse::Abort,
            max_resolution_ms: 300_001,
            auto_resolution: true,
            lookback_ms: 77_777,
            ..ReadOptions::default()
        };
        let options = EngineOptions {
            max_samples: 1,
            max_series: 2,
            max_query_bytes: 3,
            max_label_bytes: 4,
            max_points_per_series: 5,
            default_subquery_step_ms: 6,
            delayed_name_removal: true,
            type_and_unit_labels: true,
            use_start_timestamps: true,
            passes: Passes::ALL.without(["share-subtrees"]).unwrap(),
            parse: ParseOptions { max_regex_bytes: 7, ..ParseOptions::ALL },
            timeout_ms: 0,
            ..EngineOptions::default()
        };
        let base = EngineOptions { threads: 3, max_concurrent: 9, timeout_ms: 8, ..EngineOptions::default() };
        let deadline = Some(Instant::now() + Duration::from_secs(60));
        let ctx = Ctx { deadline, hints: Some(std::sync::Arc::default()), ..Ctx::background() };
        for times in [Times::Instant(-5), Times::Range(Grid { start_ms: 1, end_ms: 100, step_ms: 7 })] {
            let query = Query { times, ..Query::instant("sum(a)", 0) }.reading(read.clone());
            let sent =
                to_wire(&ctx, ("h:1", "v".to_owned(), Duration::from_millis(75)), &query, Method::Chain, &options);
            assert_eq!((sent.version.as_str(), sent.pulse_ms), ("v", 75));
            let asked = from_wire(sent, &base).unwrap();
            assert_eq!((asked.query.text.as_str(), asked.query.times), ("sum(a)", times));
            assert_eq!((asked.query.read, asked.method, asked.origin.as_str()), (read.clone(), Method::Chain, "h:1"));
            assert!((50_000..=60_001).contains(&asked.timeout_ms), "{}", asked.timeout_ms);
            // Threads and how many queries run are the evaluator's own.
            let want = EngineOptions { threads: 3, max_concurrent: 9, ..options.clone() };
            assert_eq!(format!("{:?}", asked.options), format!("{want:?}"));
        }
    }

    #[test]
    fn little_said_is_no_limit_and_nonsense_is_refused() {
        let asked = from_wire(wire::EvaluateRequest::default(), &EngineOptions::default()).unwrap();
        assert_eq!((asked.timeout_ms, asked.options.max_samples, asked.query.times), (0, 0, Times::Instant(0)));
        let engine = wire::EvaluateEngine { disabled_passes: vec!["none".to_owned()], ..Default::default() };
        let asked = wire::EvaluateRequest { engine: Some(engine), timeout_ms: -1, ..Default::default() };
        assert!(from_wire(asked, &EngineOptions::default()).is_err());
    }
}
