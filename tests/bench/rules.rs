//! Recording rules beside scrapes: what a thousand of them cost, over and above the scrapes.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use testkit::wait_for;

use crate::isolation::{interval_ms, now_s};
use crate::phases::{Figure, Options, fresh};
use crate::servers::{Kind, Server};
use crate::targets::Targets;

/// How many, in groups of a hundred.
const RULES: usize = 1000;
const GROUP: usize = 100;
/// Series of one metric of a target.
const HANDLERS: usize = 50;

/// CPU of a server that scrapes, then of one that scrapes and evaluates the rules; the difference is theirs.
///
/// # Errors
/// A server fails.
pub async fn rules(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let targets = Targets::start(options.series).await?;
    let interval = &options.interval;
    let scrapes = targets.config(options.targets, interval);
    let interval_s = interval_ms(interval)? / 1000.0;
    for kind in options.kinds.iter().copied().filter(|kind| *kind != Kind::Victoria) {
        let mut cores = Vec::new();
        for with_rules in [false, true] {
            let dir = fresh(&options.dir, kind)?;
            let config =
                if with_rules { write_rules(&dir, options.series, interval)? + &scrapes } else { scrapes.clone() };
            let server = Server::start(kind, &dir, &config).await?;
            let all = async || server.number("sum(up)", now_s()).await.is_ok_and(|up| up == options.targets as f64);
            wait_for("all targets to be scraped", Duration::from_secs(600), all).await;
            // Until rates have the samples they want, and the rules their first series.
            tokio::time::sleep(Duration::from_secs_f64(4.0 * interval_s)).await;
            let before = server.cpu_s()?;
            tokio::time::sleep(Duration::from_secs(options.seconds)).await;
            cores.push((server.cpu_s()? - before) / options.seconds as f64);
            if with_rules {
                let mut add = |what, value| figures.push(Figure { kind, what, value });
                add("CPU cores, scrapes only", cores[0]);
                add("CPU cores, scrapes and rules", cores[1]);
                add("CPU cores of the rules", cores[1] - cores[0]);
                let evaluations = server.api.metric("prometheus_rule_evaluations_total", "").await?;
                let failures = server.api.metric("prometheus_rule_evaluation_failures_total", "").await?;
                let missed = server.api.metric("prometheus_rule_group_iterations_missed_total", "").await?;
                add("rule evaluations", evaluations);
                add("rule evaluations that failed", failures);
                add("evaluations of groups missed", missed);
                add("series recorded", server.number("count({__name__=~\"rec:.*\"})", now_s()).await?);
                add("peak MiB, with rules", server.peak_mib()?);
            }
            server.stop().await?;
        }
    }
    Ok(figures)
}

/// A file with all rules, each over the series of one handler of one metric; the configuration's line that names it.
fn write_rules(dir: &Path, series: usize, interval: &str) -> anyhow::Result<String> {
    let metrics = (series / HANDLERS).max(1);
    let mut text = "groups:\n".to_owned();
    for rule in 0..RULES {
        if rule % GROUP == 0 {
            writeln!(text, "- name: g{}\n  interval: {interval}\n  rules:", rule / GROUP)?;
        }
        let (metric, handler) = (rule % metrics, rule / metrics % HANDLERS);
        writeln!(
            text,
            "  - record: rec:r{rule}\n    expr: sum by (method, code) \
             (rate(app_requests_{metric}_total{{handler=\"/api/v1/items/{handler}\"}}[1m]))"
        )?;
    }
    std::fs::create_dir_all(dir)?;
    let path = dir.join("rules.yml");
    std::fs::write(&path, text)?;
    Ok(format!("rule_files: [{:?}]\n", path.display().to_string()))
}
