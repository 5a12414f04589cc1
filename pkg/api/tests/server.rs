//! What a scraping server answers beyond a querier.

mod common;

use std::sync::atomic::Ordering;

use common::Api;
use futures::StreamExt;
use http::StatusCode;
use model::{MAX_TIME_MS, MIN_TIME_MS};
use serde_json::{Value, json};
use storage::Error;

async fn data(api: &Api, path: &str) -> Value {
    let got = api.get(path).await;
    assert_eq!(got.status, StatusCode::OK, "{path}: {}", got.text());
    got.json()["data"].clone()
}

#[tokio::test]
async fn admin_is_disabled_unless_it_is_enabled() {
    let (api, fake) = Api::server(false);
    for path in ["delete_series?match[]=up", "clean_tombstones", "snapshot"] {
        let got = api.post(&format!("admin/tsdb/{path}"), "").await;
        assert_eq!(got.status, 500, "{path}");
        assert_eq!(
            (&got.json()["errorType"], &got.json()["error"]),
            (&json!("unavailable"), &json!("admin APIs disabled"))
        );
    }
    assert!(fake.done.lock().unwrap().is_empty());
    let got = Api::new().post("admin/tsdb/snapshot", "").await;
    assert_eq!(got.status, 404, "a querier has no TSDB");
}

#[tokio::test]
async fn admin_does_what_it_is_asked() {
    let (api, fake) = Api::server(true);
    let got = api.put("admin/tsdb/delete_series?match[]=up&match[]={job=\"a\"}&start=1&end=2.5").await;
    assert_eq!((got.status.as_u16(), got.text()), (204, ""));
    assert_eq!(api.post("admin/tsdb/delete_series", "match[]=up").await.status, 204);
    assert_eq!(api.post("admin/tsdb/clean_tombstones", "").await.status, 204);
    let got = api.post("admin/tsdb/snapshot?skip_head=true", "").await;
    assert_eq!(got.json()["data"], json!({ "name": "20150701T201030Z-0000000000000001" }));
    assert_eq!(api.put("admin/tsdb/snapshot").await.status, 200);
    assert_eq!(
        *fake.done.lock().unwrap(),
        [
            r#"delete [["__name__=\"up\""], ["job=\"a\""]] 1000 2500"#.to_owned(),
            format!(r#"delete [["__name__=\"up\""]] {MIN_TIME_MS} {MAX_TIME_MS}"#),
            "clean".to_owned(),
            "snapshot true".to_owned(),
            "snapshot false".to_owned(),
        ]
    );
    for (path, text) in [
        ("delete_series", "no match[] parameter provided"),
        ("delete_series?match[]=up&match[]={", "invalid parameter \"match[]\""),
        ("delete_series?match[]=up&match[]={}", "names no series"),
        ("delete_series?match[]=up&start=x", "invalid parameter \"start\""),
        ("snapshot?skip_head=x", "unable to parse boolean"),
    ] {
        let got = api.post(&format!("admin/tsdb/{path}"), "").await;
        assert_eq!(got.status, 400, "{path}");
        assert!(got.json()["error"].as_str().unwrap().contains(text), "{}", got.text());
    }
    assert_eq!(fake.done.lock().unwrap().len(), 5, "nothing is done of a request with a mistake");
    *fake.fails.lock().unwrap() = Some(Error::other("disk full"));
    let got = api.post("admin/tsdb/snapshot", "").await;
    assert_eq!(got.status, 500);
    assert_eq!(got.json()["error"], "create snapshot: disk full");
    assert_eq!(api.get("admin/tsdb/snapshot").await.status, 405);
}

/// A querier refuses it, as Thanos does.
#[tokio::test]
async fn nothing_is_found_where_the_end_is_before_the_start() {
    let (api, _) = Api::server(false);
    for path in ["labels?", "label/job/values?", "series?match[]=up&", "labels?match[]=up&match[]=down&"] {
        assert_eq!(data(&api, &format!("{path}start=2&end=1")).await, json!([]), "{path}");
        assert_ne!(data(&api, &format!("{path}start=1&end=2e9")).await, json!([]), "{path}");
    }
}

#[tokio::test]
async fn no_target_is_in_a_state_that_is_unknown() {
    let (api, _) = Api::server(false);
    let none = json!({ "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} });
    assert_eq!(data(&api, "targets?state=x").await, none);
    assert_ne!(data(&api, "targets?state=ACTIVE").await["activeTargets"], json!([]));
}

#[tokio::test]
async fn status_pages() {
    let (api, _) = Api::server(true);
    assert_eq!(data(&api, "status/config").await, json!({ "yaml": "global: {}\n" }));
    assert_eq!(data(&api, "status/walreplay").await, json!({ "min": 2, "max": 9, "current": 5 }));
    assert_eq!(data(&api, "status/tsdb/blocks").await["blocks"][0]["ulid"], "01FZ");
    let page = data(&api, "status/tsdb/blocks?limit=5").await;
    assert_eq!((&page["blocks"][0]["ulid"], &page["total"], &page["next"]), (&json!("01FZ"), &json!(1), &json!(null)));
    assert_eq!(data(&api, "status/tsdb/blocks?limit=5&next=01FZ").await["blocks"], json!([]));
    let info = data(&api, "status/runtimeinfo").await;
    assert_eq!(
        (&info["reloadConfigSuccess"], &info["lastConfigTime"], &info["corruptionCount"], &info["storageRetention"]),
        (&json!(false), &json!("2015-07-01T20:10:30Z"), &json!(3), &json!("15d"))
    );
    assert!(info["serverTime"].is_string());
    assert_eq!(data(&api, "features").await, json!({ "api": { "search": true, "admin": true } }));
    let families = data(&api, "status/self_metrics?metric_name_pattern=prometheus_engine_queries").await;
    assert_eq!(families.as_array().unwrap().len(), 1);
    assert_eq!(families[0]["type"], "GAUGE");
    assert_eq!(api.get("status/self_metrics?metric_name_pattern=(").await.status, 400);
}

#[tokio::test]
async fn targets_and_pools() {
    let (api, _) = Api::server(true);
    assert_eq!(data(&api, "scrape_pools").await, json!({ "scrapePools": ["a", "b", "empty"] }));
    let known = json!({
        "activeAlertmanagers": [{"url": "http://a:9093/api/v2/alerts"}],
        "droppedAlertmanagers": [{"url": "http://b:9093/api/v2/alerts"}],
    });
    assert_eq!(data(&api, "alertmanagers").await, known);
    assert_eq!(data(&api, "scrape_pools/config?scrapePool=b").await, json!({ "yaml": "job_name: b\n" }));
    let all = data(&api, "targets?scrapePool=a").await;
    assert_eq!(all["droppedTargetCounts"], json!({ "a": 0, "b": 700 }), "those that are not kept count too");
    assert_eq!(data(&api, "targets?state=active").await["droppedTargetCounts"], json!({}));
    let metadata = data(&api, "targets/metadata?match_target={job=\"a\"}").await;
    let one = json!({ "target": { "job": "a" }, "metric": "up", "type": "gauge", "help": "H", "unit": "" });
    assert_eq!(
        metadata,
        json!([one, { "target": { "job": "a" }, "metric": "x", "type": "gauge", "help": "H", "unit": "" }])
    );
    let of_one = data(&api, "targets/metadata?metric=up&limit=1").await;
    assert_eq!(of_one, json!([{ "target": { "job": "a" }, "type": "gauge", "help": "H", "unit": "" }]));
    assert_eq!(data(&api, "targets/metadata?limit=0").await, json!([]));
    assert_eq!(data(&api, "targets/metadata?limit=1").await.as_array().unwrap().len(), 2, "all of one target");
    let steps = data(&api, "targets/relabel_steps?scrapePool=a&labels=%7B%22__address__%22:%22h:1%22%7D").await;
    assert_eq!(
        steps["steps"][0],
        json!({
            "rule": {
                "source_labels": ["__address__"], "separator": ";", "regex": "(.*)", "target_label": "instance",
                "replacement": "$1", "action": "replace"
            },
            "output": { "__address__": "h:1", "instance": "h:1" },
            "keep": true
        })
    );
    assert_eq!((&steps["steps"][1]["output"], &steps["steps"][1]["keep"]), (&json!({}), &json!(false)));
    for (path, text) in [
        ("scrape_pools/config", "no scrapePool parameter provided"),
        ("scrape_pools/config?scrapePool=x", "scrape pool \\\"x\\\" not found"),
        ("targets/relabel_steps?scrapePool=a", "no labels parameter provided"),
        ("targets/relabel_steps?scrapePool=a&labels=[]", "error parsing labels"),
        ("targets/relabel_steps?scrapePool=x&labels={}", "not found"),
        ("targets/metadata?limit=x", "limit must be a number"),
        ("targets/metadata?match_target={", "match_target"),
    ] {
        let got = api.get(path).await;
        assert_eq!(got.status, 400, "{path}");
        assert!(got.text().contains(text), "{}", got.text());
    }
}

#[tokio::test]
async fn what_every_answer_warns_of() {
    let (api, fake) = Api::server(true);
    fake.warnings.lock().unwrap().push("replaying the write-ahead log".to_owned());
    for path in ["query?query=up", "series?match[]=up", "labels", "label/job/values", "metadata", "targets", "rules"] {
        let got = api.get(path).await;
        assert_eq!(got.json()["warnings"][0], "replaying the write-ahead log", "{path}: {}", got.text());
    }
    let search = api.get("search/label_names").await;
    assert!(search.text().contains(r#""warnings":["replaying the write-ahead log"]"#), "{}", search.text());
}

#[tokio::test]
async fn not_ready() {
    let (api, fake) = Api::server(true);
    fake.not_ready.store(true, Ordering::SeqCst);
    for path in ["query?query=up", "status/config", "targets", "search/label_names"] {
        let got = api.get(path).await;
        assert_eq!((got.status.as_u16(), &got.json()["errorType"]), (503, &json!("unavailable")), "{path}");
    }
    assert_eq!(api.get("status/walreplay").await.status, 200);
    assert_eq!(api.get("notifications").await.status, 200);
    fake.not_ready.store(false, Ordering::SeqCst);
    assert_eq!(api.get("query?query=up").await.status, 200);
}

#[tokio::test]
async fn notifications_are_listed_and_followed() {
    let (api, _) = Api::server(true);
    let notifications = api.notifications.clone().unwrap();
    notifications.add("Configuration reload has failed.");
    let one = json!({ "text": "Configuration reload has failed.", "date": "2015-07-01T20:10:30Z", "active": true });
    assert_eq!(data(&api, "notifications").await, json!([one]));
    let live = api.unread("notifications/live").await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    assert_eq!(api.get("notifications/live").await.status, 204, "one may follow here");
    let mut events = live.into_body().into_data_stream();
    let mut event = async || String::from_utf8(events.next().await.unwrap().unwrap().to_vec()).unwrap();
    let first = event().await;
    let json = first.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap();
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), one);
    notifications.remove("Configuration reload has failed.");
    assert!(event().await.contains(r#""active":false"#));
    drop(events);
    assert_eq!(data(&api, "notifications").await, json!([]));
}

/// The lines of a search.
async fn lines(api: &Api, path: &str) -> Vec<Value> {
    let got = api.get(path).await;
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    assert_eq!(got.headers["content-type"], "application/x-ndjson; charset=utf-8");
    got.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn searches() {
    let (api, _) = Api::server(true);
    let end = json!({ "status": "success", "has_more": false });
    let found = lines(&api, "search/metric_names?search[]=req&include_score=true").await;
    assert_eq!(found, [json!({ "results": [{ "name": "requests_total", "score": 1 }] }), end.clone()]);
    let found = lines(&api, "search/metric_names?sort_by=alpha&sort_dir=dsc&batch_size=1").await;
    assert_eq!(
        found,
        [json!({ "results": [{ "name": "up" }] }), json!({ "results": [{ "name": "requests_total" }] }), end.clone()]
    );
    let found = lines(&api, "search/label_values?label=job&limit=1").await;
    assert_eq!(found, [json!({ "results": [{ "value": "a" }] }), json!({ "status": "success", "has_more": true })]);
    let found = lines(&api, "search/label_names?search[]=nothing").await;
    assert_eq!(found, [json!({ "results": [] }), end.clone()]);
    let found = lines(&api, "search/label_names?search[]=job&search[]=name&sort_by=score&match[]=up").await;
    assert_eq!(found, [json!({ "results": [{ "name": "job" }, { "name": "__name__" }] }), end]);
    for (path, text) in [
        ("label_values", "missing required parameter"),
        ("label_names?fuzz_threshold=101", "must be 0-100"),
        ("label_names?fuzz_alg=x", "unsupported fuzz_alg"),
        ("label_names?case_sensitive=x", "must be boolean"),
        ("label_names?sort_dir=asc", "only valid when sort_by is set"),
        ("label_names?sort_by=score", "requires search[]"),
        ("label_names?sort_by=x", "invalid sort_by"),
        ("label_names?sort_by=alpha&sort_dir=x", "invalid sort_dir"),
        ("label_names?limit=0", "must be a positive integer"),
        ("label_names?limit=1001", "exceeds the configured maximum (1000"),
        ("label_names?batch_size=x", "invalid batch_size"),
        ("label_names?start=2&end=1", "end timestamp must not be before"),
        ("label_names?match[]={", "parse error"),
    ] {
        let got = api.get(&format!("search/{path}")).await;
        assert_eq!(got.status, 400, "{path}: {}", got.text());
        assert!(got.text().contains(text), "{path}: {}", got.text());
    }
    let many = "search[]=x&".repeat(33);
    assert_eq!(api.get(&format!("search/label_names?{many}")).await.status, 400);
}
