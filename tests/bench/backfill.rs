//! The tools that ask a history: a recording rule over all of it into blocks, beside promtool; a hundred alerts over all
//! of it, which promtool cannot do.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use testkit::{Process, free_port, wait_for};
use tests::aion::binary;
use tests::client::Api;
use tests::peer::{blocks_in, on_path, terminate};

use crate::isolation::now_s;
use crate::measure::{cpu_s, peak_mib};
use crate::phases::{Figure, Options, fresh};
use crate::servers::Kind;

const DAY_S: u64 = 86_400;
const ALERTS: usize = 100;
const RECORDING: &str = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - record: cluster:http_requests:rate5m\n    \
                         expr: sum by (cluster, code) (rate(http_requests_total[5m]))\n";

/// The demo, whose history is kept in the folder for later runs.
struct Demo {
    process: Process,
    url: String,
}

async fn demo(options: &Options) -> anyhow::Result<Demo> {
    let dir = options.dir.join(format!("demo-{}", options.days));
    std::fs::create_dir_all(&dir)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let log = File::options().create(true).append(true).open(dir.join("log"))?;
    let mut command = Command::new(binary());
    command
        .args(["demo", "--server.http-address=127.0.0.1:0", "--host.http-address=127.0.0.1:0", "--no-compact"])
        .arg(format!("--http-address={address}"))
        .arg(format!("--days={}", options.days))
        .arg(format!("--dir={}", dir.join("history").display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let process = Process::start(&mut command)?;
    let url = format!("http://{address}");
    let api = Api::new(&url)?;
    let begin_s = now_s() - f64::from(options.days.saturating_sub(1)) * DAY_S as f64;
    let has_history = async || {
        let answer = api.query("count(up)", begin_s).await;
        answer.is_ok_and(|a| a["data"]["result"].as_array().is_some_and(|r| !r.is_empty()))
    };
    wait_for("the demo's history", Duration::from_secs(600), has_history).await;
    Ok(Demo { process, url })
}

/// What a run of a program took.
struct Run {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
}

/// Runs a program to its end; what it prints goes to `log`.
async fn run(command: &mut Command, log: &Path) -> anyhow::Result<Run> {
    let file = File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let begun = Instant::now();
    let mut process = Process::start(command)?;
    let mut run = Run { wall_s: 0.0, cpu_s: 0.0, peak_mib: 0.0 };
    loop {
        // The last look at it is a few ms before its end.
        if let (Ok(cpu), Ok(peak)) = (cpu_s(&[process.id()]), peak_mib(process.id())) {
            (run.cpu_s, run.peak_mib) = (cpu, peak);
        }
        if let Some(status) = process.child().try_wait()? {
            ensure!(status.success(), "{command:?} ended with {status}: see {}", log.display());
            run.wall_s = begun.elapsed().as_secs_f64();
            return Ok(run);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn promtool() -> anyhow::Result<PathBuf> {
    let named = std::env::var_os("AION_PROMTOOL_BIN").map(PathBuf::from);
    named.or_else(|| on_path("promtool")).context("promtool is not on PATH")
}

/// One recording rule over all of the demo's history, by promtool and by ours, out of the same querier.
///
/// # Errors
/// A program fails.
pub async fn backfill(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let demo = demo(options).await?;
    let rules = options.dir.join("backfill.yml");
    std::fs::write(&rules, RECORDING)?;
    // Ends where nothing is still to come.
    let end_s = now_s() as u64 - 3 * 3600;
    let start_s = end_s - (u64::from(options.days) - 1) * DAY_S;
    let mut figures = Vec::new();
    for kind in options.kinds.iter().copied().filter(|kind| *kind != Kind::Victoria) {
        let dir = fresh(&options.dir, kind)?;
        std::fs::create_dir_all(&dir)?;
        let mut command = match kind {
            Kind::Aion => {
                let mut ours = Command::new(binary());
                ours.arg("tools");
                ours
            }
            _ => Command::new(promtool()?),
        };
        command
            .args(["tsdb", "create-blocks-from", "rules"])
            .arg(format!("--url={}", demo.url))
            .arg(format!("--start={start_s}"))
            .arg(format!("--end={end_s}"))
            .arg(format!("--output-dir={}", dir.join("data").display()))
            .arg(&rules);
        let served = cpu_s(&[demo.process.id()])?;
        let run = run(&mut command, &dir.join("log")).await?;
        let served = cpu_s(&[demo.process.id()])? - served;
        let samples = samples_in(&dir.join("data"))?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        add("samples", samples);
        add("s", run.wall_s);
        add("samples a second", samples / run.wall_s);
        add("CPU s", run.cpu_s);
        add("CPU s of the querier meanwhile", served);
        add("peak MiB", run.peak_mib);
    }
    terminate(demo.process.id())?;
    Ok(figures)
}

/// Samples of all blocks in a folder.
fn samples_in(dir: &Path) -> anyhow::Result<f64> {
    let mut samples = 0.0;
    for block in blocks_in(dir) {
        let meta = std::fs::read(dir.join(block).join("meta.json"))?;
        let meta: serde_json::Value = serde_json::from_slice(&meta)?;
        samples += meta["stats"]["numSamples"].as_f64().unwrap_or(0.0);
    }
    Ok(samples)
}

/// A hundred alerts over all of the demo's history.
///
/// # Errors
/// A program fails.
pub async fn backtest(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let demo = demo(options).await?;
    let rules = options.dir.join("backtest.yml");
    std::fs::write(&rules, alerts()?)?;
    let dir = fresh(&options.dir, Kind::Aion)?;
    std::fs::create_dir_all(&dir)?;
    let mut command = Command::new(binary());
    command
        .args(["tools", "rules", "backtest", "--output=json", "--to=-1h"])
        .arg(format!("--from=-{}d", options.days))
        .arg(format!("--url={}", demo.url))
        .arg(&rules);
    let served = cpu_s(&[demo.process.id()])?;
    let run = run(&mut command, &dir.join("log")).await?;
    let served = cpu_s(&[demo.process.id()])? - served;
    terminate(demo.process.id())?;
    let figure = |what, value| Figure { kind: Kind::Aion, what, value };
    Ok(vec![
        figure("s", run.wall_s),
        figure("CPU s", run.cpu_s),
        figure("CPU s of the querier meanwhile", served),
        figure("peak MiB", run.peak_mib),
    ])
}

/// Alerts such as people have: rates, ratios, quantiles, what is gone, each with another threshold and time.
fn alerts() -> anyhow::Result<String> {
    let mut text = "groups:\n- name: g\n  interval: 1m\n  rules:\n".to_owned();
    for number in 0..ALERTS {
        let (n, held) = (number / 5, number % 4 * 5);
        let expr = match number % 5 {
            0 => format!("sum by (cluster) (rate(http_requests_total{{code=~\"5..\"}}[5m])) > {n}"),
            1 => format!(
                "sum by (cluster) (rate(http_requests_total{{code=~\"5..\"}}[10m])) / \
                 sum by (cluster) (rate(http_requests_total[10m])) > 0.{n:02}"
            ),
            2 => format!(
                "histogram_quantile(0.99, sum by (cluster, le) (rate(http_request_duration_seconds_bucket[10m]))) > 0.{n}5"
            ),
            3 => format!("sum by (cluster) (up == bool 0) > {n}"),
            _ => format!("process_resident_memory_bytes > {n}e7"),
        };
        writeln!(text, "  - alert: Alert{number}\n    expr: '{expr}'\n    for: {held}m")?;
    }
    Ok(text)
}
