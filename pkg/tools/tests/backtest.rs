//! `aion tools rules backtest` against an API that answers with a fixed history.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use model::FakeClock;
use service::tool::Deps;
use tools::{Call, Tools};

/// The series of `x > 0` is there from minute 10 to 20; the answer says what is missing. Other queries fail.
async fn query_range(Query(params): Query<HashMap<String, String>>) -> (axum::http::StatusCode, String) {
    if params["query"] != "x > 0" {
        let text = r#"{"status":"error","errorType":"execution","error":"no such thing"}"#;
        return (axum::http::StatusCode::UNPROCESSABLE_ENTITY, text.to_owned());
    }
    let number = |name: &str| params[name].parse::<f64>().unwrap();
    let (mut at, end, step) = (number("start"), number("end"), number("step"));
    assert!((end - at) / step <= 9.0, "{params:?}");
    let mut points = Vec::new();
    while at <= end {
        if (600.0..=1200.0).contains(&at) {
            points.push(format!("[{at},\"5\"]"));
        }
        at += step;
    }
    let series = match points.is_empty() {
        true => String::new(),
        false => format!(r#"{{"metric":{{"__name__":"x","i":"a"}},"values":[{}]}}"#, points.join(",")),
    };
    let text = format!(
        r#"{{"status":"success","data":{{"resultType":"matrix","result":[{series}]}},"warnings":["a store is down"]}}"#
    );
    (axum::http::StatusCode::OK, text)
}

async fn backtest(url: &str, output: &str) -> (u8, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yml");
    std::fs::write(
        &file,
        "groups:\n- name: g\n  rules:\n  - {alert: High, expr: x > 0, for: 5m, labels: {who: '{{ $labels.i }}!'}}\n  - {alert: Broken, expr: y}\n  - {record: r, expr: x}\n",
    )
    .unwrap();
    let args = ["rules", "backtest", "--from=0", "--to=3600", "--max-points=10", "--url", url, "-o", output]
        .map(str::to_owned)
        .into_iter()
        .chain([file.display().to_string()])
        .collect();
    let call = Tools::with(&[]).parse(args, "v").unwrap();
    assert!(matches!(call, Call::Promtool(..)));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut deps = Deps {
        out: &mut out,
        err: &mut err,
        clock: Arc::new(FakeClock::at(3_600_000)),
        env: Arc::new(|_| None),
        metrics: telemetry::Metrics::new(),
        random: Arc::new(|| 0),
        shutdown: Default::default(),
    };
    let code = tools::run(&call, &mut deps).await.unwrap();
    (code, String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_alerts_would_have_fired() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/api/v1/query_range", get(query_range));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (code, table) = backtest(&url, "table").await;
    assert_eq!(code, 1, "{table}");
    let line = table.lines().find(|line| line.starts_with("High")).unwrap();
    let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(
        words,
        [
            "High",
            "1970-01-01T00:10:00Z",
            "1970-01-01T00:15:00Z",
            "1970-01-01T00:21:00Z",
            "6m",
            "{alertname=\"High\", i=\"a\", who=\"a!\"}"
        ]
    );
    assert!(table.contains("warning: High: a store is down"), "{table}");
    assert!(table.contains("error: Broken: ") && table.contains("no such thing"), "{table}");

    let (_, json) = backtest(&url, "json").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let episode = &json["rules"][0]["episodes"][0];
    assert_eq!(
        (episode["firingSince"].as_str(), episode["firingSeconds"].as_f64()),
        (Some("1970-01-01T00:15:00Z"), Some(360.0))
    );
    assert!(json["rules"][1]["error"].is_string());

    let (_, timeline) = backtest(&url, "timeline").await;
    let bar = timeline.lines().find(|line| line.starts_with("High")).unwrap().rsplit(' ').next().unwrap();
    assert_eq!(bar.chars().count(), 72, "{timeline}");
    let places = |mark: char| bar.chars().enumerate().filter(|(_, c)| *c == mark).map(|(at, _)| at).collect::<Vec<_>>();
    assert_eq!(places('#'), (18..=25).collect::<Vec<_>>(), "{bar}");
    assert_eq!(places('-'), (12..=17).collect::<Vec<_>>(), "{bar}");
}
