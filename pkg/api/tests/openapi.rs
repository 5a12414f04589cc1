//! Prometheus' own description of its API: each path that is served takes each parameter described.

mod common;

use common::Api;
use serde_json::Value;

/// Paths of a Prometheus server that have no meaning without a scraping or writing TSDB, or are not served yet.
const NOT_SERVED: &[&str] = &[
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
        (_, "limit" | "limit_per_metric" | "group_limit") => "5",
        (_, "match[]") => "{job=\"a\"}",
        (_, "exclude_alerts") => "true",
        ("/rules", "type") => "alert",
        (_, "state") => "any",
        (_, "name") => "job",
        _ => "a",
    }
}

fn encoded(pairs: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[tokio::test]
async fn parameters_are_taken() {
    let file = "prometheus/web/api/v1/testdata/openapi_3.2_golden.yaml";
    let path = testkit::conformance_dir().map(|dir| dir.join(file)).filter(|p| p.exists());
    let Some(path) = path else {
        testkit::skip_without(file, "parameters_are_taken");
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let described: Value = serde_saphyr::from_str(&text).unwrap();
    let api = Api::new();
    let (mut served, mut missing) = (0, Vec::new());
    for (path, item) in described["paths"].as_object().unwrap() {
        for method in ["get", "post"] {
            let Some(operation) = item.get(method) else { continue };
            let names = parameters(&described, operation, path);
            // A token is of the answer before, and pages need their own test.
            let names = names.into_iter().filter(|name| name != "group_next_token");
            let pairs: Vec<_> = names.map(|name| (name.clone(), example(path, &name).to_owned())).collect();
            let target = path.trim_start_matches('/').replace("{name}", "job");
            let got = match method {
                "get" => api.get(&format!("{target}?{}", encoded(&pairs))).await,
                _ => api.post(&target, &encoded(&pairs)).await,
            };
            match got.status.as_u16() {
                200 => served += 1,
                404 if NOT_SERVED.contains(&path.as_str()) => missing.push(path.clone()),
                status => panic!("{method} {path} {pairs:?}: {status} {}", got.text()),
            }
        }
    }
    missing.sort();
    missing.dedup();
    assert!(served >= 25, "{served} operations answered");
    let known: Vec<_> = NOT_SERVED
        .iter()
        .filter(|p| described["paths"].get(**p).is_some_and(|i| i.get("get").is_some() || i.get("post").is_some()))
        .collect();
    assert_eq!(missing.iter().collect::<Vec<_>>(), known, "a path that is served now still stands in the list");
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
