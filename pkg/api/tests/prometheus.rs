//! The same questions to a real Prometheus without data: bodies and codes must be alike.
//!
//! `AION_PROMETHEUS` names the program; otherwise the one on the path is taken.

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::Api;
use serde_json::Value;

fn prometheus() -> Option<PathBuf> {
    match std::env::var_os("AION_PROMETHEUS") {
        Some(path) => Some(PathBuf::from(path)).filter(|p| p.is_file()),
        None => std::env::split_paths(&std::env::var_os("PATH")?).map(|d| d.join("prometheus")).find(|p| p.is_file()),
    }
}

/// Path, form for POST, and whether version 2 says the same. Spaces stand for `+`.
const QUESTIONS: &[(&str, Option<&str>, bool)] = &[
    ("query?query=1%2B1&time=4", None, true),
    ("query?query=1%2B1&time=4.0215", None, true),
    ("query", Some("query=1%2B1&time=4"), true),
    ("query?query=vector(1)&time=1.5", None, true),
    ("query?query=vector(1e21)&time=1", None, true),
    ("query?query=1e21&time=1", None, true),
    ("query?query=vector(1e-7)&time=1", None, true),
    ("query?query=1e-7&time=1", None, true),
    ("query?query=vector(0.1%2B0.2)&time=1", None, true),
    ("query?query=vector(-1/0)&time=2015-07-01T20:10:30.781Z", None, true),
    ("query?query=vector(0/0)&time=-1.5", None, true),
    ("query?query=-0&time=0", None, true),
    ("query?query=%22a%5C%22b%3C%C3%A9%22&time=0", None, false),
    ("query?query=absent(x%7Ba=%22b%22%7D)&time=3", None, true),
    ("query?query=up&time=1", None, true),
    ("query?query=up[5m]&time=1", None, true),
    ("query_range?query=vector(1)&start=0&end=10&step=2.5", None, true),
    ("query_range?query=time()&start=1&end=2&step=500ms", None, true),
    ("query_range?query=time()%2B0.001&start=1435781430.781&end=1435781440&step=3", None, true),
    ("query_range", Some("query=1&start=0&end=3&step=1"), true),
    ("query_range?query=up&start=0&end=3&step=1", None, true),
    ("label/job/values", None, true),
    ("label/job/values?match[]=up&match[]=down", None, true),
    ("labels", None, true),
    ("series?match[]=up", None, true),
    ("series", Some("match[]=up"), true),
    ("query_exemplars?query=up&start=1&end=2", None, true),
    ("format_query?query=sum(a)by(b)", None, true),
    ("rules", None, true),
    ("alerts", None, true),
    ("metadata", None, true),
    ("targets", None, false),
    ("targets?state=active", None, false),
    ("scrape_pools", None, false),
    ("alertmanagers", None, true),
    ("notifications", None, false),
    ("parse_query?query=sum+by+(a)+(rate(b%7Bc=%22d%22%7D[5m]))", None, false),
    // Refused.
    ("query", None, false),
    ("query?query=sum(&time=1", None, false),
    ("query?query=1%2B", None, false),
    ("query?query=foo%7B", None, false),
    ("query?query=rate(x)", None, true),
    ("query?query=1&time=x", None, false),
    ("query?query=1&time=NaN", None, false),
    ("query?query=1&timeout=x", None, true),
    ("query?query=1&lookback_delta=x", None, false),
    ("query?query=1&limit=x", None, false),
    ("query?query=1&limit=-1", None, false),
    ("query?query=vector(1)%2Bon()%20vector(1)&time=1", None, true),
    ("query?query=label_replace(vector(1),%22a%22,%22b%22,%22c%22,%22(%22)", None, false),
    ("query_range?query=up[5m]&start=0&end=3&step=1", None, false),
    ("query_range?query=1&start=x&end=3&step=1", None, true),
    ("query_range?query=1&start=4&end=3&step=1", None, true),
    ("query_range?query=1&start=0&end=3&step=0", None, true),
    ("query_range?query=1&start=0&end=3&step=x", None, true),
    ("query_range?query=1&start=0&end=11001&step=1", None, true),
    ("labels?start=x", None, false),
    ("labels?limit=-1", None, false),
    ("labels?match[]=%7B%7D", None, false),
    ("labels?match[]=up[", None, false),
    ("series", None, true),
    ("series?match[]=%7B%7D", None, false),
    ("series?match[]=up&start=x", None, false),
    ("query_exemplars?query=up(", None, false),
    ("query_exemplars?query=up&start=2&end=1", None, false),
    ("format_query?query=sum(", None, false),
    ("rules?type=x", None, false),
    ("rules?exclude_alerts=x", None, false),
    ("rules?group_limit=0", None, false),
    ("rules?group_limit=x", None, false),
    ("rules?group_next_token=x", None, false),
    ("metadata?limit=x", None, true),
    ("status/tsdb?limit=0", None, false),
    ("status/tsdb?limit=10001", None, false),
];

/// Questions to which this API gives another answer on purpose.
const NOT_ALIKE: &[&str] = &[
    // Go's cast of NaN is the year −292 million
    "query?query=1&time=NaN",
    // An object stays an object, `{}` for `null`.
    "targets?state=active",
];

#[tokio::test]
async fn answers_are_alike() {
    let Some(program) = prometheus() else {
        testkit::skip_without_service("AION_PROMETHEUS", "answers_are_alike");
        return;
    };
    let version = Command::new(&program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).into_owned();
    let old = version.contains("version 2.");
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.yml"), "{}\n").unwrap();
    let port = testkit::free_port().unwrap();
    let _process = testkit::Process::start(
        Command::new(&program)
            .current_dir(dir.path())
            .args(["--config.file=p.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
    .unwrap();
    // The client is built without a TLS provider of its own; an earlier test may have set the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let base = format!("http://127.0.0.1:{port}");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match client.get(format!("{base}/-/ready")).send().await {
            Ok(answer) if answer.status() == 200 => break,
            _ => assert!(tokio::time::Instant::now() < deadline, "Prometheus does not become ready"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let api = Api::empty();
    let mut differences = Vec::new();
    for (path, form, in_old) in QUESTIONS {
        if (old && !in_old) || NOT_ALIKE.contains(path) {
            continue;
        }
        let url = format!("{base}/api/v1/{path}");
        let asked = match form {
            None => client.get(url),
            Some(form) => {
                client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form.to_string())
            }
        };
        let theirs = asked.send().await.unwrap();
        let (status, theirs) = (theirs.status().as_u16(), theirs.text().await.unwrap());
        let ours = match form {
            None => api.get(path).await,
            Some(form) => api.post(path, form).await,
        };
        if (ours.status.as_u16(), without_html(ours.text())) != (status, without_html(&theirs)) {
            differences.push(format!(
                "{path}\n  theirs {status} {theirs}\n  ours   {} {}",
                ours.status.as_u16(),
                ours.text()
            ));
        }
    }
    assert!(differences.is_empty(), "{version}{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Go's JSON escapes `<`, `>` and `&` in some places; both forms read the same.
fn without_html(text: &str) -> String {
    // Keys of objects that Go keeps in structs come in its order; the syntax tree is compared as a value.
    match serde_json::from_str::<Value>(text) {
        Ok(value) if value["data"]["type"].is_string() => value.to_string(),
        _ => text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&"),
    }
}
