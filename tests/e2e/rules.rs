//! `aion server` beside the real Prometheus: both evaluate the same rules over the same target.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use testkit::wait_for;
use tests::aion::binary;
use tests::client::http;
use tests::peer::{Prometheus, PrometheusOptions, prometheus};

use crate::server::serve;

const LONG: Duration = Duration::from_secs(60);

const RULES: &str = "
groups:
- name: recorded
  interval: 1s
  rules:
  - {record: 'job:load:sum', expr: sum by (job) (load), labels: {kind: sum, instance: ''}}
  - {record: 'twice', expr: 'job:load:sum * 2'}
  - {record: 'now', expr: time()}
  - {record: 'each', expr: 'load > 1'}
- name: alerts
  interval: 1s
  rules:
  - alert: Loaded
    expr: load > 1
    for: 5s
    labels: {severity: page, of: '{{ $labels.part }} in {{ $externalLabels.cluster }}'}
    annotations:
      summary: 'load {{ $value | humanize }} of {{ len (query \"load\") }}, {{ printf \"%.2f\" $value }}'
      link: '{{ $externalURL }}{{ if gt $value 2.0 }} high{{ end }}'
  - {alert: Always, expr: vector(1)}
";

fn now_s() -> anyhow::Result<f64> {
    Ok(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64())
}

/// Times and values of all samples that rules gave, by labels.
async fn recorded(of: &Prometheus) -> anyhow::Result<BTreeMap<String, BTreeMap<String, String>>> {
    let query = "{__name__=~\"job:load:sum|twice|now|each|ALERTS|ALERTS_FOR_STATE\"}[1h]";
    let answer = of.api.query(query, now_s()?).await?;
    let series = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let one = |series: &Value| {
        let points = series["values"].as_array().into_iter().flatten();
        let points = points.map(|p| (p[0].to_string(), p[1].as_str().unwrap_or_default().to_owned()));
        (series["metric"].to_string(), points.collect())
    };
    Ok(series.iter().map(one).collect())
}

/// Labels, annotations, state and value of all alerts.
async fn alerts(of: &Prometheus) -> anyhow::Result<BTreeSet<String>> {
    let answer = of.api.get("/api/v1/alerts", &[]).await?;
    let alerts = answer["data"]["alerts"].as_array().with_context(|| answer.to_string())?;
    let shown = |a: &Value| format!("{} {} {} {}", a["labels"], a["annotations"], a["state"], a["value"]);
    Ok(alerts.iter().map(shown).collect())
}

/// The rules as the API shows them, without times.
async fn rules(of: &Prometheus) -> anyhow::Result<Vec<String>> {
    let answer = of.api.get("/api/v1/rules", &[]).await?;
    let groups = answer["data"]["groups"].as_array().with_context(|| answer.to_string())?;
    let rules = groups.iter().flat_map(|group| {
        let rules = group["rules"].as_array().into_iter().flatten();
        rules.map(|r| {
            format!(
                "{} {} {}: {} {} {} {} {} {}",
                group["name"],
                group["file"],
                group["interval"],
                r["type"],
                r["name"],
                r["query"],
                // Prometheus 2 leaves out labels where there are none, and shows those without a value.
                r["labels"].as_object().into_iter().flatten().filter(|(_, value)| *value != "").count(),
                r["health"],
                r["duration"]
            )
        })
    });
    Ok(rules.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_give_what_they_give_in_prometheus() -> anyhow::Result<()> {
    let Some(program) = prometheus("rules_give_what_they_give_in_prometheus") else { return Ok(()) };
    // Neither is above 1, both are, only `b` is.
    let phase = Arc::new(AtomicUsize::new(0));
    let shown = phase.clone();
    let target = serve(move || {
        let (a, b) = [(0.5, 0.5), (2.5, 1.5), (0.5, 1.5)][shown.load(Ordering::Relaxed)];
        ("text/plain; version=0.0.4".to_owned(), format!("load{{part=\"a\"}} {a}\nload{{part=\"b\"}} {b}\n"))
    })
    .await?;
    let dir = tempfile::Builder::new().prefix("aion-rules-").tempdir()?;
    let file = dir.path().join("rules.yml");
    std::fs::write(&file, RULES)?;
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{cluster: eu}}}}\nrule_files: [{file:?}]\n\
         scrape_configs:\n- job_name: load\n  static_configs: [{{targets: [\"127.0.0.1:{target}\"]}}]\n"
    );
    let flags = vec!["--web.external-url=http://prom.example".to_owned()];
    let options = PrometheusOptions { config: Some(config), flags, ..Default::default() };
    let theirs = Prometheus::start(&program, &dir.path().join("theirs"), &options).await?;
    let ours = PrometheusOptions { subcommand: Some("server"), ..options };
    let ours = Prometheus::start(binary(), &dir.path().join("ours"), &ours).await?;

    // A server writes the states of alerts from its third evaluation on: alerts must not begin before in one of them.
    let evaluated = "count_over_time(now[1h]) > 3 and on () absent(load > 1) and on () twice";
    let holds = async |of: &Prometheus, query: &str| {
        let Ok(now) = now_s() else { return false };
        of.api.query(query, now).await.is_ok_and(|a| a["data"]["result"].as_array().is_some_and(|r| !r.is_empty()))
    };
    let both_hold = async |query: &str| holds(&theirs, query).await && holds(&ours, query).await;
    wait_for("four evaluations in both", LONG, async || both_hold(evaluated).await).await;
    phase.store(1, Ordering::Relaxed);
    let pending = "count_over_time(ALERTS{part=\"a\",alertstate=\"pending\"}[1h])";
    wait_for("alerts to be pending in both", LONG, async || both_hold(pending).await).await;

    let firing = |alerts: &BTreeSet<String>| alerts.iter().filter(|a| a.contains("\"firing\"")).count() == 3;
    let both_fire =
        async || alerts(&theirs).await.is_ok_and(|a| firing(&a)) && alerts(&ours).await.is_ok_and(|a| firing(&a));
    wait_for("all alerts to fire in both", LONG, both_fire).await;
    ensure!(alerts(&theirs).await? == alerts(&ours).await?, "{:?}\n{:?}", alerts(&theirs).await?, alerts(&ours).await?);
    ensure!(rules(&theirs).await? == rules(&ours).await?, "{:#?}\n{:#?}", rules(&theirs).await?, rules(&ours).await?);

    // Only `b` is above 1 from now on: the series of `a` end.
    phase.store(2, Ordering::Relaxed);
    let gone = "absent(each{part=\"a\"}) and absent(ALERTS{part=\"a\"})";
    wait_for("the series to end in both", LONG, async || both_hold(gone).await).await;
    ensure!(alerts(&theirs).await? == alerts(&ours).await?);

    // Samples of one time are of one value in both, and there are the same ones where both ran.
    let (expected, got) = (recorded(&theirs).await?, recorded(&ours).await?);
    let missed = ours.api.metric("prometheus_rule_group_iterations_missed_total", "recorded").await?;
    let (mut compared, mut skipped) = (0, 0.0);
    for (labels, points) in &expected {
        let mine = got.get(labels).with_context(|| format!("{labels} is missing: {:?}", got.keys()))?;
        let (Some(first), Some(last)) = (mine.keys().next(), mine.keys().last()) else { continue };
        // What depends on the moment of a scrape may come one evaluation earlier or later.
        let steady = labels.contains("\"now\"") || labels.contains("\"b\"");
        for (time, value) in points.iter().filter(|(time, _)| *time >= first && *time <= last) {
            match mine.get(time) {
                Some(my_value) if steady && !labels.contains("FOR_STATE") => {
                    ensure!(my_value == value, "{labels} at {time}: {value} there, {my_value} here");
                    compared += 1;
                }
                Some(_) => {}
                None if labels.contains("\"now\"") => skipped += 1.0,
                None => {}
            }
        }
    }
    ensure!(
        skipped <= missed,
        "{skipped} evaluations have no sample, {missed} are told as missed: {expected:?} {got:?}"
    );
    ensure!(compared >= 5, "only {compared} samples could be compared: {expected:?} {got:?}");
    let names = |of: &BTreeMap<String, BTreeMap<String, String>>| of.keys().cloned().collect::<BTreeSet<_>>();
    ensure!(names(&expected) == names(&got), "{:?}\n{:?}", names(&expected), names(&got));
    ours.stop().await?;
    theirs.stop().await
}

/// The status of the answer to a request to reload.
async fn reload(server: &Prometheus) -> anyhow::Result<u16> {
    Ok(http()?.post(format!("{}/-/reload", server.base)).send().await?.status().as_u16())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rules_leave_the_former_ones() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-rules-").tempdir()?;
    let file = dir.path().join("rules.yml");
    let rules =
        |value: u32| format!("groups: [{{name: g, interval: 1s, rules: [{{record: r, expr: 'vector({value})'}}]}}]");
    std::fs::write(&file, rules(1))?;
    let options = PrometheusOptions {
        subcommand: Some("server"),
        config: Some(format!("rule_files: [{file:?}]\n")),
        ..Default::default()
    };
    let server = Prometheus::start(binary(), &dir.path().join("data"), &options).await?;
    let value = async || {
        let answer = server.api.query("r", now_s().unwrap_or(0.0)).await.unwrap_or_default();
        answer["data"]["result"][0]["value"][1].as_str().unwrap_or_default().to_owned()
    };
    wait_for("the first value", LONG, async || value().await == "1").await;
    std::fs::write(&file, "groups: [{name: g, rules: [{record: r, expr: 'vector('}]}]")?;
    ensure!(reload(&server).await? == 500);
    ensure!(value().await == "1");
    std::fs::write(&file, rules(2))?;
    ensure!(reload(&server).await? == 200);
    wait_for("the second value", LONG, async || value().await == "2").await;
    // A server that starts with wrong rules says so.
    server.stop().await?;
    std::fs::write(&file, "groups: [{name: g, rules: [{record: r}]}]")?;
    let refused = Prometheus::start(binary(), &dir.path().join("data"), &options).await;
    let why = refused.err().context("it started")?.to_string();
    ensure!(why.contains("field 'expr' must be set in rule"), "{why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subqueries_without_a_step_have_that_of_the_evaluation() -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("aion-rules-").tempdir()?;
    let config = |interval: &str| format!("global: {{evaluation_interval: {interval}}}\n");
    let options = PrometheusOptions { subcommand: Some("server"), config: Some(config("5s")), ..Default::default() };
    let server = Prometheus::start(binary(), dir.path(), &options).await?;
    let steps = async || -> anyhow::Result<Value> {
        let answer = server.api.query("count_over_time(vector(1)[1m:])", 1_700_000_000.0).await?;
        Ok(answer["data"]["result"][0]["value"][1].clone())
    };
    ensure!(steps().await? == "12", "{:?}", steps().await?);
    std::fs::write(server.dir.join("prometheus.yml"), config("10s"))?;
    ensure!(reload(&server).await? == 200);
    ensure!(steps().await? == "6", "{:?}", steps().await?);
    server.stop().await
}
