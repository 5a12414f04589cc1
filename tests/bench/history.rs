//! aion and Thanos side by side: store and querier over one bucket, cold and the second time. See README.md here.

mod asking;
mod delay;
mod fleet;
mod measure;
mod prepare;
mod queries;
mod worlds;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use testkit::wait_for;
use tests::aion::{Component, binary};
use tests::peer::on_path;
use tests::s3::Bucket;

use crate::asking::{Side, compare, end_s, median};
use crate::delay::Delay;
use crate::measure::{cpu_s, machine, peak_mib};
use crate::queries::{Ask, MONTHS, QUERIES, WIDE};

/// Until a querier has seen its store.
const SEEN_WITHIN: Duration = Duration::from_secs(120);

struct Options {
    phase: Phase,
    series: usize,
    targets: usize,
    hours: i64,
    dir: PathBuf,
    only: String,
    delay_ms: u64,
    alone: bool,
    /// aion's store keeps chunks on disk.
    cached: bool,
}

/// Which data set.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Hours of a fleet, as Prometheus wrote them.
    Cold,
    /// One block of very many series.
    Wide,
    /// Months with their downsampled blocks.
    Months,
}

const USAGE: &str = "usage: history-side-by-side [cold|wide|months] [--targets=100] [--hours=12] [--series=1000000] \
                     [--dir=run/bench] [--only=q07] [--delay=30] [--alone] [--cached]";

fn options() -> anyhow::Result<Options> {
    let dir = tests::root().join("run/bench");
    let mut options = Options {
        phase: Phase::Cold,
        series: 1_000_000,
        targets: 100,
        hours: 12,
        dir,
        only: String::new(),
        delay_ms: 30,
        alone: false,
        cached: false,
    };
    for arg in std::env::args().skip(1) {
        let (name, value) = arg.split_once('=').unwrap_or((&arg, ""));
        match name {
            "cold" => options.phase = Phase::Cold,
            "wide" => options.phase = Phase::Wide,
            "months" => options.phase = Phase::Months,
            "--alone" => options.alone = true,
            "--cached" => options.cached = true,
            "--series" => options.series = value.parse().context(USAGE)?,
            "--targets" => options.targets = value.parse().context(USAGE)?,
            "--hours" => options.hours = value.parse().context(USAGE)?,
            "--dir" => options.dir = std::path::absolute(value)?,
            "--only" => options.only = value.to_owned(),
            "--delay" => options.delay_ms = value.parse().context(USAGE)?,
            _ => bail!("{arg}: {USAGE}"),
        }
    }
    Ok(options)
}

/// Copies the blocks of the bucket `from` into `to`.
fn copy(from: &str, to: &str, dir: &Path) -> anyhow::Result<()> {
    let log = dir.join("replicate.log");
    let status = std::process::Command::new(binary())
        .args(["tools", "bucket", "replicate"])
        .args([format!("--objstore.config={from}"), format!("--objstore-to.config={to}")])
        .args(["--single-run", "--http-address=127.0.0.1:0"])
        .stdout(std::process::Stdio::null())
        .stderr(std::fs::File::create(&log)?)
        .status()?;
    ensure!(status.success(), "blocks could not be copied: {}", log.display());
    Ok(())
}

/// What is asked of which blocks.
struct World {
    title: String,
    /// The configuration of a bucket in a folder.
    config: String,
    queries: &'static [(&'static str, Ask)],
    end_s: f64,
    /// Flags of both queriers.
    flags: &'static [&'static str],
    /// How often a query is asked again.
    again: usize,
}

impl World {
    async fn open(options: &Options) -> anyhow::Result<Self> {
        let folder =
            |dir: &Path| format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", dir.display().to_string());
        match options.phase {
            Phase::Cold => {
                let (targets, hours) = (options.targets, options.hours);
                let prometheus =
                    tests::peer::prometheus("history-side-by-side").context("there is no prometheus on PATH")?;
                let prepared = prepare::prepare(&prometheus, &options.dir, targets, hours).await?;
                let title = format!("{targets} targets × 200 series × {hours} h");
                let end_s = end_s(hours as f64);
                Ok(Self { title, config: prepared.config(), queries: &QUERIES, end_s, flags: &[], again: 3 })
            }
            Phase::Wide => {
                let dir = options.dir.join(format!("wide-{}", options.series));
                worlds::wide(&dir, options.series)?;
                let title = format!("one block of {} series, two samples each", options.series);
                let end_s = worlds::wide_end_s();
                Ok(Self { title, config: folder(&dir), queries: &WIDE, end_s, flags: &[], again: 1 })
            }
            Phase::Months => {
                let dir = options.dir.join("months");
                worlds::months(&dir)?;
                let title = format!("200 series × {} days at 60 s, with blocks of 5 m and 1 h", worlds::DAYS);
                let (end_s, flags) = (worlds::months_end_s(), &["--query.auto-downsampling"]);
                Ok(Self { title, config: folder(&dir), queries: &MONTHS, end_s, flags, again: 10 })
            }
        }
    }
}

/// The `host:port` that an S3 configuration names.
fn endpoint(config: &str) -> anyhow::Result<&str> {
    let line = config.lines().find_map(|line| line.trim().strip_prefix("endpoint:")).context("no endpoint")?;
    Ok(line.trim().trim_matches('"'))
}

/// A store and a querier of one kind, with nothing cached.
struct Pair {
    store: Component,
    query: Component,
    side: Side,
    delay: Delay,
}

impl Pair {
    /// `cached`: the store keeps chunks on disk.
    async fn start(
        program: &Path,
        bucket: &str,
        dir: &Path,
        (delay_ms, cached): (u64, bool),
        flags: &[&str],
    ) -> anyhow::Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        let endpoint = endpoint(bucket)?;
        let delay = Delay::start(endpoint, Duration::from_millis(delay_ms)).await?;
        let config = bucket.replace(endpoint, &delay.address);
        let mut args =
            vec![format!("--data-dir={}", dir.join("store").display()), format!("--objstore.config={config}")];
        if cached {
            let directory = format!("{:?}", dir.join("chunks").display().to_string());
            args.push(format!(
                "--store.caching-bucket.config={{type: FILESYSTEM, config: {{directory: {directory}}}}}"
            ));
        }
        let mut store = Component::start(program, "store", dir, &args, &[])?;
        store.ready().await?;
        let mut args = vec![format!("--endpoint={}", store.grpc), "--query.replica-label=replica".to_owned()];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut query = Component::start(program, "query", dir, &args, &[])?;
        query.ready().await?;
        let api = query.api.clone();
        let serves = async || {
            let answer = api.get("/api/v1/stores", &[]).await.unwrap_or_default();
            answer["data"]["store"][0]["lastError"].is_null() && answer["data"]["store"][0]["labelSets"][0].is_object()
        };
        wait_for("the querier to see the store", SEEN_WITHIN, serves).await;
        let side = Side { api: query.api.clone(), pids: vec![store.id(), query.id()] };
        quiet(&side.pids).await?;
        Ok(Self { store, query, side, delay })
    }

    /// Asks once, and `again` times.
    async fn ask(&self, ask: &Ask, end_s: f64, again: usize) -> anyhow::Result<(Value, Asked)> {
        let (before, at) = (cpu_s(&self.side.pids)?, self.delay.requests());
        let (answer, cold_s) = self.side.ask(ask, end_s).await?;
        let (between, then) = (cpu_s(&self.side.pids)?, self.delay.requests());
        let mut walls = Vec::with_capacity(again);
        for _ in 0..again {
            walls.push(self.side.time(ask, end_s).await?);
        }
        let after = cpu_s(&self.side.pids)?;
        let asked = Asked {
            cold_s,
            requests: then - at,
            cold_cpu_s: between - before,
            again_s: median(&walls),
            again_cpu_s: (after - between) / again as f64,
            peak_mib: [peak_mib(self.store.id())?, peak_mib(self.query.id())?],
        };
        Ok((answer, asked))
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.query.stop(&[]).await?;
        self.store.stop(&[]).await?;
        Ok(())
    }
}

/// Waits until processes have next to nothing to do, or for a minute: index-headers are made after the start.
async fn quiet(pids: &[u32]) -> anyhow::Result<()> {
    let mut before = cpu_s(pids)?;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = cpu_s(pids)?;
        if now - before < 0.04 {
            break;
        }
        before = now;
    }
    Ok(())
}

/// One query's figures at one of the two.
struct Asked {
    cold_s: f64,
    requests: u64,
    cold_cpu_s: f64,
    again_s: f64,
    again_cpu_s: f64,
    /// Of store and querier.
    peak_mib: [f64; 2],
}

impl Asked {
    fn columns(&self) -> String {
        format!(
            "{:.0} | {} | {:.0} | {:.0} | {:.0} | {:.0}, {:.0}",
            self.cold_s * 1e3,
            self.requests,
            self.cold_cpu_s * 1e3,
            self.again_s * 1e3,
            self.again_cpu_s * 1e3,
            self.peak_mib[0],
            self.peak_mib[1]
        )
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = options()?;
    let thanos = std::env::var_os("AION_THANOS_BIN").map(PathBuf::from).or_else(|| on_path("thanos"));
    let thanos = thanos.filter(|_| !options.alone);
    ensure!(thanos.is_some() || options.alone, "there is no thanos on PATH; AION_THANOS_BIN names one");
    let world = World::open(&options).await?;
    let dir = options.dir.join("history");
    std::fs::create_dir_all(&dir)?;
    let bucket = Bucket::open(&dir).await?;
    copy(&world.config, &bucket.config(), &dir)?;
    let config = bucket.config();
    println!("{}, {} ms a reply; {}\n", world.title, options.delay_ms, machine());
    println!(
        "| query | aion cold ms | requests | CPU ms | again ms | CPU ms | peak MiB | Thanos cold ms | requests | CPU ms | \
         again ms | CPU ms | peak MiB | equal |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"
    );
    for (id, ask) in world.queries.iter().filter(|(id, _)| id.starts_with(&options.only)) {
        let ours =
            Pair::start(binary(), &config, &dir.join("aion"), (options.delay_ms, options.cached), world.flags).await?;
        let (answer, asked) = ours.ask(ask, world.end_s, world.again).await?;
        ours.stop().await?;
        let Some(thanos) = &thanos else {
            println!("| {id} | {} |", asked.columns());
            continue;
        };
        let theirs = Pair::start(thanos, &config, &dir.join("thanos"), (options.delay_ms, false), world.flags).await?;
        let (expected, reference) = theirs.ask(ask, world.end_s, world.again).await?;
        theirs.stop().await?;
        let differs = compare(ask, &expected, &answer)?;
        let equal = differs.as_deref().unwrap_or("yes");
        println!("| {id} | {} | {} | {equal} |", asked.columns(), reference.columns());
    }
    Ok(())
}
