//! Sidecars, store and querier over gappy replicas must answer as one Prometheus with all samples does.

use futures::stream::{self, StreamExt};
use serde_json::Value;
use tests::client::Api;
use tests::compare::{Order, difference};
use tests::data::{HOUR_MS, START_MS};
use tests::engines::{Cast, Programs, World, hold};

use crate::queries::{Case, all};

/// Evaluations lie 7 ms after whole seconds: no sample and no step of a subquery is on a window's edge, where Prometheus
/// 2 and 3 differ.
fn at_s(hours: f64) -> f64 {
    (START_MS - 123 + 7 + (hours * HOUR_MS as f64) as i64 / 1000 * 1000) as f64 / 1000.0
}

/// Instants to ask at, hours after the first sample: in the bucket alone, at a block's border, at the border between
/// bucket and replicas, in both, in the heads, in gaps of either replica, after the last sample.
const INSTANTS_H: [f64; 9] = [0.5, 1.3, 2.0, 4.0, 4.05, 6.1, 8.6, 9.3, 9.5];

/// Ranges, hours and step in seconds: all there is, and finely across the border of bucket and replicas.
const RANGES_H: [(f64, f64, f64); 2] = [(0.05, 9.6, 411.0), (3.7, 4.5, 37.0)];

/// Queries in flight.
const CONCURRENCY: usize = 3;

/// All differences between two servers' answers, one text each, and how many answers were compared.
pub async fn differences(reference: &Api, got: &Api, cases: &[Case]) -> anyhow::Result<(usize, Vec<String>)> {
    let mut asked = Vec::new();
    for (i, case) in cases.iter().enumerate() {
        let instants = [INSTANTS_H[i % INSTANTS_H.len()], INSTANTS_H[(i * 4 + 3) % INSTANTS_H.len()]];
        asked.extend(instants.map(|h| (case, h, None)));
        asked.push((case, RANGES_H[0].0, Some(RANGES_H[0])));
        if i % 2 == 0 {
            asked.push((case, RANGES_H[1].0, Some(RANGES_H[1])));
        }
    }
    let count = asked.len();
    let compared: Vec<anyhow::Result<Option<String>>> = stream::iter(asked)
        .map(|(case, hours, range)| async move {
            let (expected, answer, order) = match range {
                None => {
                    let at = at_s(hours);
                    let (e, g) = tokio::try_join!(reference.query(&case.query, at), got.query(&case.query, at))?;
                    (e, g, case.order)
                }
                Some((from, to, step)) => {
                    let (from, to) = (at_s(from), at_s(to));
                    let (e, g) = tokio::try_join!(
                        reference.query_range(&case.query, from, to, step),
                        got.query_range(&case.query, from, to, step)
                    )?;
                    // a matrix is in order of labels
                    (e, g, Order::Same)
                }
            };
            let kind = if range.is_some() { "range" } else { "instant" };
            Ok(difference(&expected, &answer, order).map(|d| format!("{kind} at {hours} h: {}\n    {d}", case.query)))
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    let mut out = Vec::new();
    for one in compared {
        out.extend(one?);
    }
    out.sort();
    Ok((count, out))
}

/// The strings of an answer's `data`, sorted; objects as text.
fn listed(answer: &Value) -> Vec<String> {
    let list = answer["data"].as_array().cloned().unwrap_or_default();
    let mut list: Vec<_> = list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
    list.sort();
    list
}

async fn lists(reference: &Api, got: &Api) -> anyhow::Result<Vec<String>> {
    let (from, to) = (at_s(0.0).to_string(), at_s(9.5).to_string());
    let times = [("start", from.as_str()), ("end", to.as_str())];
    let requests: &[(&str, &[(&str, &str)])] = &[
        ("/api/v1/labels", &[]),
        ("/api/v1/labels", &[("match[]", "demo_up")]),
        ("/api/v1/labels", &[("match[]", "demo_memory_bytes"), ("match[]", "demo_info{cluster=\"eu\"}")]),
        ("/api/v1/label/__name__/values", &[]),
        ("/api/v1/label/cluster/values", &[]),
        ("/api/v1/label/instance/values", &[("match[]", "demo_up{cluster=\"us\"}")]),
        ("/api/v1/label/site/values", &[]),
        ("/api/v1/label/version/values", &[("match[]", "{job=\"demo\",cluster=~\"eu|us\"}")]),
        ("/api/v1/label/nothing/values", &[]),
        ("/api/v1/series", &[("match[]", "demo_memory_bytes")]),
        ("/api/v1/series", &[("match[]", "{cluster=\"eu\",instance=\"host-1:8080\"}")]),
        ("/api/v1/series", &[("match[]", "demo_info"), ("match[]", "demo_up{cluster=\"us\"}")]),
        ("/api/v1/series", &[("match[]", "nonexistent")]),
    ];
    let mut out = Vec::new();
    for (path, params) in requests {
        let params = [&times[..], params].concat();
        let (expected, answer) = tokio::try_join!(reference.get(path, &params), got.get(path, &params))?;
        let mut found = listed(&answer);
        // the reference has no replicas
        found.retain(|text| text != "replica");
        let expected = listed(&expected);
        if found != expected {
            let extra: Vec<_> = found.iter().filter(|f| !expected.contains(f)).take(3).collect();
            let missing: Vec<_> = expected.iter().filter(|e| !found.contains(e)).take(3).collect();
            out.push(format!(
                "{path} {params:?}: {} entries instead of {}, missing {missing:?}, extra {extra:?}",
                found.len(),
                expected.len()
            ));
        }
    }
    Ok(out)
}

/// What is wrong with the lists that come from the scraping servers: each rule once a cluster, all targets.
async fn live_lists(got: &Api, rules: bool) -> anyhow::Result<Vec<String>> {
    let mut out = if rules { rule_lists(got).await? } else { Vec::new() };
    let targets = got.get("/api/v1/targets", &[]).await?;
    if targets["data"]["activeTargets"].as_array().map_or(0, Vec::len) < 2 {
        out.push(format!("/api/v1/targets: {targets}"));
    }
    let metadata = got.get("/api/v1/metadata", &[]).await?;
    if metadata["status"] != "success" {
        out.push(format!("/api/v1/metadata: {metadata}"));
    }
    Ok(out)
}

async fn rule_lists(got: &Api) -> anyhow::Result<Vec<String>> {
    let mut out = Vec::new();
    let rules = got.get("/api/v1/rules", &[]).await?;
    let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
    let listed = groups.iter().flat_map(|g| g["rules"].as_array().cloned().unwrap_or_default());
    let mut names: Vec<_> =
        listed.map(|r| format!("{} {} {}", r["name"], r["labels"]["cluster"], r["labels"]["replica"])).collect();
    names.sort();
    let wanted = [
        "\"DemoDown\" \"eu\" null",
        "\"DemoDown\" \"us\" null",
        "\"demo:requests:rate5m\" \"eu\" null",
        "\"demo:requests:rate5m\" \"us\" null",
    ];
    if names != wanted {
        out.push(format!("/api/v1/rules: {names:?} instead of {wanted:?}"));
    }
    Ok(out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_one_prometheus() -> anyhow::Result<()> {
    compare_with_one_prometheus("answers_are_those_of_one_prometheus", false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_they_are_beside_aion_servers() -> anyhow::Result<()> {
    compare_with_one_prometheus("so_they_are_beside_aion_servers", true).await
}

async fn compare_with_one_prometheus(test: &str, aion_scrapes: bool) -> anyhow::Result<()> {
    let Some(prometheus) = tests::peer::prometheus(test) else { return Ok(()) };
    let programs = Programs { prometheus, aion: tests::aion::binary().to_owned(), thanos: None, aion_scrapes };
    let world = World::start(programs).await?;
    let layer = world.layer(Cast::AION).await?;
    let cases = all();
    assert!(cases.len() >= 300, "{} queries", cases.len());
    let (count, mut wrong) = differences(&world.reference.api, &layer.query.api, &cases).await?;
    wrong.extend(lists(&world.reference.api, &layer.query.api).await?);
    wrong.extend(live_lists(&layer.query.api, !aion_scrapes).await?);
    if !wrong.is_empty() {
        hold(&world, &layer).await;
    }
    let errors = layer.stop().await?;
    assert!(wrong.is_empty(), "{} of {count} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}
