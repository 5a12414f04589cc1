//! `--query.mode=distributed`: the same answers as in local mode, without the series.

use std::ops::Range;

use bytes::Bytes;
use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use serde_json::Value;
use storage::{Chunk, Series};

use crate::world::{START_S, Store, World};

/// Counters and gauges of two jobs; `skew` makes clusters differ, `gap` replicas.
fn samples(skew: i64, gap: Range<i64>) -> Vec<Series> {
    samples_at(skew, 0..200, gap)
}

/// The same at some of the steps only.
pub fn samples_at(skew: i64, at: Range<i64>, gap: Range<i64>) -> Vec<Series> {
    let mut all = Vec::new();
    for (name, job, factor) in [("total", "a", 3), ("total", "b", 7), ("gauge", "a", -2), ("gauge", "b", 5)] {
        for le in ["1", "+Inf"] {
            let labels = Labels::from_pairs([("__name__", name), ("job", job), ("le", le)]);
            let value = |step: i64| match name {
                "total" => (step * factor + skew * step / 3) as f64 * if le == "1" { 1.0 } else { 2.0 },
                _ => ((step * 37 + skew * 11) % 101) as f64 * factor as f64,
            };
            // Replicas scrape at other times.
            let time = |step: i64| (START_S + step * 15) * 1000 + 123 + skew % 3 * 2500;
            // Every other series ends early.
            let end = if job == "b" && skew > 3 { 120 } else { 200 };
            let steps: Vec<i64> = at.clone().filter(|step| *step < end && !gap.contains(step)).collect();
            let data = encode_xor(steps.iter().map(|step| (time(*step), value(*step)))).unwrap();
            let (min, max) = (time(steps[0]), time(steps[steps.len() - 1]));
            all.push(Series { labels, chunks: vec![Chunk::raw(min, max, Encoding::Xor, Bytes::from(data))] });
        }
    }
    all
}

/// Two leaf queriers, each over a cluster of its own.
async fn leaves(second_cluster: &str) -> [World; 2] {
    let args = ["--query.replica-label=replica"];
    let eu = vec![Store::of("eu", "a", samples(1, 40..60)), Store::of("eu", "b", samples(1, 90..130))];
    let us = vec![Store::of(second_cluster, "c", samples(5, 0..3))];
    [World::start(eu, &args).await, World::start(us, &args).await]
}

async fn global(leaves: &[World], more: &[&str]) -> World {
    let endpoints: Vec<String> = leaves.iter().map(|leaf| format!("--endpoint={}", leaf.grpc)).collect();
    let args: Vec<&str> = endpoints.iter().map(String::as_str).chain(more.iter().copied()).collect();
    World::start(Vec::new(), &[&args[..], &["--query.replica-label=replica"]].concat()).await
}

/// Series calls that the leaves were asked for.
async fn series_calls(leaves: &[World]) -> f64 {
    let mut calls = 0.0;
    for leaf in leaves {
        let lines = leaf.metrics().await;
        let handled = |l: &&str| l.starts_with("grpc_server_started_total") && l.contains("grpc_method=\"Series\"");
        calls += lines.lines().filter(handled).filter_map(|l| l.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>();
    }
    calls
}

async fn evaluated(world: &World, place: &str) -> f64 {
    let start = format!("aion_query_distributed_total{{evaluated=\"{place}\"}} ");
    let lines = world.metrics().await;
    lines.lines().find_map(|l| l.strip_prefix(&start)?.parse().ok()).unwrap_or(0.0)
}

/// Numbers rounded to what the order of sums leaves alone, series in order.
fn rounded(answer: &Value) -> Value {
    match answer {
        Value::Array(all) => {
            let mut all: Vec<Value> = all.iter().map(rounded).collect();
            if all.iter().all(|one| one.get("metric").is_some()) {
                all.sort_by_key(|one| one["metric"].to_string());
            }
            Value::Array(all)
        }
        Value::Object(all) => Value::Object(all.iter().map(|(k, v)| (k.clone(), rounded(v))).collect()),
        Value::String(text) => match text.parse::<f64>() {
            // The protocol has one zero.
            Ok(v) => Value::String(format!("{:.9e}", v + 0.0)),
            Err(_) => answer.clone(),
        },
        other => other.clone(),
    }
}

pub const QUERIES: [&str; 32] = [
    "sum(gauge)",
    "sum by (job) (rate(total[5m]))",
    "sum by (cluster, job) (rate(total[5m]))",
    "sum without (job) (gauge)",
    "sum without (cluster) (gauge)",
    "count(gauge)",
    "count by (job) (gauge > 10)",
    "avg by (job) (gauge)",
    "avg(gauge)",
    "min(gauge)",
    "max by (job) (gauge offset 10m)",
    "group by (job) (gauge)",
    "topk(2, gauge)",
    "quantile(0.7, gauge)",
    "stddev(gauge)",
    "histogram_quantile(0.6, sum by (le) (rate(total[5m])))",
    "sum(gauge) / sum(total)",
    "gauge / on (job, le, cluster) total",
    "gauge - ignoring (cluster) group_left () sum by (job, le) (total)",
    "sum(max_over_time(gauge[10m:1m]))",
    "max_over_time(sum(gauge)[10m:1m])",
    "absent(gauge{job=\"none\"})",
    "absent(gauge{job=\"b\"})",
    "absent(sum(gauge{job=\"b\"}))",
    "absent_over_time(gauge{job=\"none\",cluster=\"eu\"}[5m])",
    "absent_over_time(gauge[1m] offset 50m)",
    "sum(absent(gauge > 1e9)) + count(gauge)",
    "sum(gauge{cluster=\"eu\"}) or vector(7)",
    "-gauge",
    "sum(gauge @ 1700000900.000)",
    "sum(gauge) > scalar(min(total))",
    "timestamp(sum(gauge))",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_local_mode() {
    let leaves = leaves("us").await;
    let local = global(&leaves, &[]).await;
    let distributed = global(&leaves, &["--query.mode=distributed"]).await;
    let ranges = [(0, 3000, 60), (700, 2200, 37)];
    for query in QUERIES {
        for at in [700, 1500, 2000] {
            let at = (START_S + at).to_string();
            let (want, got) = (local.query(query, &at).await, distributed.query(query, &at).await);
            assert_eq!(want["status"], "success", "{query}: {want}");
            assert_eq!(rounded(&got["data"]), rounded(&want["data"]), "{query} at {at}");
        }
        for (from, to, step) in ranges {
            let (from, to) = ((START_S + from).to_string(), (START_S + to).to_string());
            let step = step.to_string();
            let params = [("query", query), ("start", &from), ("end", &to), ("step", &step)];
            let (want, got) = (
                local.get("/api/v1/query_range", &params).await,
                distributed.get("/api/v1/query_range", &params).await,
            );
            assert_eq!(rounded(&got["data"]), rounded(&want["data"]), "{query} from {from} to {to}");
        }
    }
    assert!(evaluated(&distributed, "remote").await > 100.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_stay_where_they_are() {
    let leaves = leaves("us").await;
    let distributed = global(&leaves, &["--query.mode=distributed"]).await;
    let at = (START_S + 1500).to_string();
    let before = series_calls(&leaves).await;
    for query in ["sum(gauge)", "avg by (job) (rate(total[5m]))", "topk(1, gauge)", "sum(gauge) / count(total)"] {
        let answer = distributed.query(query, &at).await;
        assert!(!answer["data"]["result"].as_array().unwrap().is_empty(), "{query}: {answer}");
    }
    assert_eq!((series_calls(&leaves).await - before, evaluated(&distributed, "remote").await), (0.0, 4.0));
    // And those that can only be answered here come as series, so that the count above counts.
    distributed.query("max_over_time(sum(gauge)[10m:1m])", &at).await;
    assert!(series_calls(&leaves).await > before);
    assert_eq!(evaluated(&distributed, "local").await, 1.0);
    assert!(distributed.metrics().await.contains("aion_query_distributed_local_total{reason=\"query\"} 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explain_says_where_a_query_is_evaluated() {
    let leaves = leaves("us").await;
    let distributed = global(&leaves, &["--query.mode=distributed"]).await;
    for (query, at, want) in [
        ("sum(gauge)", "1700000000", "by 2 queriers: sum by (cluster) (gauge); here: sum({__part__=\"0\"})"),
        ("max_over_time(sum(gauge)[10m:1m])", "1700000000", "here: no part of the query comes of"),
        ("sum(gauge)", "1700000000.5", "here: the protocol cannot say what the request asks for"),
    ] {
        let answer = distributed.get("/api/v1/query_explain", &[("query", query), ("time", at)]).await;
        let told = answer["data"]["evaluated"].as_str().unwrap_or_default();
        assert!(told.starts_with(want), "{query}: {answer}");
    }
    let local = global(&leaves, &[]).await;
    let answer = local.get("/api/v1/query_explain", &[("query", "sum(gauge)")]).await;
    assert!(answer["data"]["evaluated"].is_null(), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_told_apart_is_evaluated_here() {
    let at = (START_S + 1500).to_string();
    let answered_locally = async |world: World| {
        let answer = world.query("count(gauge)", &at).await;
        assert_eq!(answer["status"], "success", "{answer}");
        assert_eq!((evaluated(&world, "remote").await, evaluated(&world, "local").await), (0.0, 1.0));
        answer["data"]["result"][0]["value"][1].as_str().unwrap().to_owned()
    };
    // Two queriers of one cluster: their replicas are one series.
    let same = leaves("eu").await;
    assert_eq!(answered_locally(global(&same, &["--query.mode=distributed"]).await).await, "4");
    let leaves = leaves("us").await;
    // A label that not all series have.
    let args = ["--query.mode=distributed", "--query.partition-label=region"];
    assert_eq!(answered_locally(global(&leaves, &args).await).await, "8");
    // Labels of this querier's own.
    let args = ["--query.mode=distributed", "--selector-label=site=\"x\""];
    assert_eq!(answered_locally(global(&leaves, &args).await).await, "8");
    // A store beside the queriers has series that no querier has.
    let endpoints: Vec<String> = leaves.iter().map(|leaf| format!("--endpoint={}", leaf.grpc)).collect();
    let args = [&endpoints[0], &endpoints[1], "--query.mode=distributed", "--query.replica-label=replica"];
    let beside = vec![Store::of("asia", "a", samples(2, 0..1))];
    assert_eq!(answered_locally(World::start(beside, &args).await).await, "12");
    // Parts of seconds cannot be said in the protocol.
    let world = global(&leaves, &["--query.mode=distributed"]).await;
    let answer = world.query("count(gauge)", &format!("{at}.5")).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "8");
    assert_eq!(evaluated(&world, "local").await, 1.0);
}
