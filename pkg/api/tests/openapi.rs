//! Prometheus' own description of its API: each path takes each parameter described, and a server answers in the shape
//! described. And our own description: what is in it is served, and nothing of Prometheus' is missing in it.

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Api, Got};
use serde_json::Value;

/// Paths of a Prometheus server that a querier does not serve.
const NOT_OF_A_QUERIER: &[&str] = &[
    "/admin/tsdb/clean_tombstones",
    "/admin/tsdb/delete_series",
    "/admin/tsdb/snapshot",
    "/features",
    "/notifications/live",
    "/otlp/v1/metrics",
    "/read",
    "/scrape_pools/config",
    "/search/label_names",
    "/search/label_values",
    "/search/metric_names",
    "/status/config",
    "/status/self_metrics",
    "/status/tsdb/blocks",
    "/status/walreplay",
    "/targets/metadata",
    "/targets/relabel_steps",
    "/write",
];
/// Paths that a server has from other crates, or not yet.
const OTHERS: &[&str] = &["/otlp/v1/metrics", "/read", "/write"];
/// Keys that answers have beyond what is described.
const EXTENSIONS: &[&str] = &["aionVersion", "partialResponseStrategy", "samples", "analysis"];

/// A value that makes sense for a parameter of a path.
fn example(path: &str, name: &str) -> &'static str {
    match (path, name) {
        (_, "query") => "up",
        (_, "time" | "start") => "1435781400",
        (_, "end") => "2015-07-01T20:10:30Z",
        (_, "step") => "15s",
        (_, "timeout") => "30s",
        (_, "lookback_delta") => "5m",
        (_, "stats") => "all",
        (_, "limit" | "limit_per_metric" | "group_limit" | "batch_size" | "fuzz_threshold") => "5",
        (_, "match[]" | "match_target") => "{job=\"a\"}",
        (_, "exclude_alerts" | "case_sensitive" | "include_score" | "include_metadata" | "skip_head") => "true",
        ("/rules", "type") => "alert",
        ("/status/queries", "state") => "ended",
        ("/status/queries", "group") => "panel",
        ("/status/queries", "sort") => "samples",
        ("/status/queries", "offset") => "1",
        (_, "state") => "any",
        (_, "fuzz_alg") => "jarowinkler",
        (_, "sort_by") => "alpha",
        (_, "sort_dir") => "dsc",
        (_, "name" | "label") => "job",
        (_, "labels") => "{\"__address__\":\"h:1\"}",
        _ => "a",
    }
}

fn encoded(pairs: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Prometheus' description of this version, where it can be had.
fn golden(version: &str, test: &str) -> Option<Value> {
    let file = format!("prometheus/web/api/v1/testdata/openapi_{version}_golden.yaml");
    let path = testkit::conformance_dir().map(|dir| dir.join(&file)).filter(|p| p.exists());
    let Some(path) = path else {
        testkit::skip_without(&file, test);
        return None;
    };
    let text = std::fs::read_to_string(path).unwrap();
    Some(serde_saphyr::from_str(&text).unwrap())
}

/// Asks `api` for what a description has at `path`; with all parameters described.
async fn ask(api: &Api, described: &Value, (path, method, operation): (&str, &str, &Value)) -> Got {
    let names = parameters(described, operation, path);
    // A token is of the answer before, and pages need their own test.
    let names = names.into_iter().filter(|name| name != "group_next_token" && name != "next");
    let pairs: Vec<_> = names.map(|name| (name.clone(), example(path, &name).to_owned())).collect();
    let target = path.trim_start_matches('/').replace("{name}", "job");
    let in_form = !operation["requestBody"]["content"]["application/x-www-form-urlencoded"].is_null();
    let got = match method {
        "get" => api.get(&format!("{target}?{}", encoded(&pairs))).await,
        "put" => api.put(&format!("{target}?{}", encoded(&pairs))).await,
        _ if in_form => api.post(&target, &encoded(&pairs)).await,
        _ => api.post(&format!("{target}?{}", encoded(&pairs)), "").await,
    };
    assert!(got.status.as_u16() != 400, "{method} {path} {pairs:?}: {}", got.text());
    got
}

/// Path, method and description of each operation.
fn operations(described: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = described["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            ["get", "post", "put"].into_iter().filter_map(move |m| Some((path.as_str(), m, item.get(m)?)))
        })
        .collect()
}

#[tokio::test]
async fn a_querier_takes_the_parameters() {
    let Some(described) = golden("3.2", "a_querier_takes_the_parameters") else { return };
    let api = Api::new();
    let (mut served, mut missing) = (0, BTreeSet::new());
    for operation in operations(&described).into_iter().filter(|(_, method, _)| *method != "put") {
        let (path, method, _) = operation;
        let got = ask(&api, &described, operation).await;
        match got.status.as_u16() {
            200 => served += 1,
            404 if NOT_OF_A_QUERIER.contains(&path) => drop(missing.insert(path)),
            status => panic!("{method} {path}: {status} {}", got.text()),
        }
    }
    assert!(served >= 25, "{served} operations answered");
    let known: BTreeSet<_> = NOT_OF_A_QUERIER.iter().copied().collect();
    assert_eq!(missing, known, "a path that is served now still stands in the list");
}

#[tokio::test]
async fn a_server_answers_in_the_shapes() {
    let Some(described) = golden("3.1", "a_server_answers_in_the_shapes") else { return };
    let mut checked = 0;
    for operation in operations(&described) {
        let (path, method, text) = operation;
        if OTHERS.contains(&path) {
            continue;
        }
        let (api, _) = Api::server(true);
        let got = ask(&api, &described, operation).await;
        let status = got.status.as_u16();
        // For deletions Prometheus describes 200 and answers 204.
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {}", got.text());
        let content = &text["responses"]["200"]["content"];
        if status == 204 {
            continue;
        }
        let (media, schema) = content.as_object().unwrap().iter().next().unwrap();
        let kind = got.headers["content-type"].to_str().unwrap();
        assert!(kind.starts_with(media.as_str()), "{path}: {kind}, not {media}");
        if media == "application/json" {
            let mut faults = Vec::new();
            hold(&described, &schema["schema"], &got.json(), "", &mut faults);
            assert!(faults.is_empty(), "{method} {path}: {faults:#?}\n{}", got.text());
        }
        checked += 1;
    }
    assert!(checked >= 40, "{checked} answers checked");
}

#[tokio::test]
async fn live_notifications_are_a_stream() {
    let (api, _) = Api::server(true);
    let live = api.unread("notifications/live").await;
    assert_eq!((live.status().as_u16(), live.headers()["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
}

/// Holds a value against a schema.
fn hold(described: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = described.pointer(reference.trim_start_matches('#')).unwrap();
        return hold(described, schema, value, place, faults);
    }
    for (key, all) in [("anyOf", false), ("oneOf", false), ("allOf", true)] {
        let Some(choices) = schema[key].as_array() else { continue };
        let fits = |choice: &Value| {
            let mut faults = Vec::new();
            hold(described, choice, value, place, &mut faults);
            faults
        };
        let found: Vec<_> = choices.iter().map(fits).collect();
        let holds = if all { found.iter().all(Vec::is_empty) } else { found.iter().any(Vec::is_empty) };
        if !holds {
            faults.push(format!("{place}: none of {key}: {found:?}"));
        }
    }
    let right = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    };
    if !right {
        faults.push(format!("{place}: {value} is no {}", schema["type"]));
    }
    if let Some(choices) = schema["enum"].as_array()
        && !choices.contains(value)
    {
        faults.push(format!("{place}: {value} is none of {choices:?}"));
    }
    if let (Some(items), Some(list)) = (schema.get("items"), value.as_array()) {
        list.iter().enumerate().for_each(|(n, v)| hold(described, items, v, &format!("{place}/{n}"), faults));
    }
    let Some(object) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(name.as_str().unwrap()) {
            faults.push(format!("{place}: {name} is missing"));
        }
    }
    let more = &schema["additionalProperties"];
    for (name, value) in object {
        let place = format!("{place}/{name}");
        match schema["properties"].get(name) {
            Some(schema) => hold(described, schema, value, &place, faults),
            None if more.is_object() => hold(described, more, value, &place, faults),
            None if *more == Value::Bool(false) && !EXTENSIONS.contains(&name.as_str()) => {
                faults.push(format!("{place}: not described"));
            }
            None => {}
        }
    }
}

/// Parameters of the URL, and for POST the fields of the form.
fn parameters(described: &Value, operation: &Value, path: &str) -> Vec<String> {
    let mut names: Vec<String> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|p| p["in"] != "path")
        .map(|p| p["name"].as_str().unwrap_or_else(|| panic!("{path}: a parameter without name")).to_owned())
        .collect();
    let schema = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    let schema = match schema["$ref"].as_str() {
        Some(reference) => described.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null),
        None => schema,
    };
    names.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    names
}

async fn our_own(version: &str) -> Value {
    let (api, _) = Api::server(true);
    let got = api.get(&format!("openapi.yaml?openapi_version={version}")).await;
    assert_eq!(got.headers["content-type"], "application/yaml; charset=utf-8");
    serde_saphyr::from_str(got.text()).unwrap()
}

#[tokio::test]
async fn what_we_describe_is_served() {
    let described = our_own("3.1").await;
    assert_eq!(described["openapi"], "3.1.0");
    for operation in operations(&described) {
        let (path, method, text) = operation;
        // The last needs a query that is under way; its own test has one.
        if matches!(path, "/read" | "/write" | "/status/queries/cancel") {
            continue;
        }
        let (api, _) = Api::server(true);
        let got = ask(&api, &described, operation).await;
        let status = got.status.as_u16().to_string();
        assert!(text["responses"].get(&status).is_some(), "{method} {path}: {status} {}", got.text());
        let schema = &text["responses"]["200"]["content"]["application/json"]["schema"];
        if !schema.is_null() {
            let mut faults = Vec::new();
            hold(&described, schema, &got.json(), "", &mut faults);
            assert!(faults.is_empty(), "{method} {path}: {faults:#?}");
        }
    }
}

#[tokio::test]
async fn we_describe_what_prometheus_describes() {
    for version in ["3.1", "3.2"] {
        let Some(golden) = golden(version, "we_describe_what_prometheus_describes") else { return };
        let ours = our_own(version).await;
        let of = |described: &Value| -> BTreeMap<(String, String), BTreeSet<String>> {
            operations(described)
                .into_iter()
                .map(|(path, method, operation)| {
                    let names = parameters(described, operation, path);
                    ((path.to_owned(), method.to_owned()), names.into_iter().collect())
                })
                .collect()
        };
        let (ours, theirs) = (of(&ours), of(&golden));
        for (operation, names) in theirs.iter().filter(|((path, _), _)| path != "/otlp/v1/metrics") {
            let own = ours.get(operation).unwrap_or_else(|| panic!("{version}: {operation:?} is not described"));
            assert!(own.is_superset(names), "{version}: {operation:?}: {own:?} lacks some of {names:?}");
        }
    }
}
