//! Our programs and stock Thanos in one system, in either direction.

use std::process::Command;

use anyhow::ensure;
use tests::engines::{Cast, Maker, Programs, World, hold};

use crate::differential::differences;
use crate::queries::{Case, all};

/// Who meets whom.
const CASTS: [(&str, Cast); 5] = [
    (
        "Thanos in every part",
        Cast { sidecar: Maker::Thanos, store: Maker::Thanos, query: Maker::Thanos, compression: "none" },
    ),
    (
        "Thanos' querier on our sidecars and store",
        Cast { sidecar: Maker::Aion, store: Maker::Aion, query: Maker::Thanos, compression: "none" },
    ),
    (
        "the same with snappy",
        Cast { sidecar: Maker::Aion, store: Maker::Aion, query: Maker::Thanos, compression: "snappy" },
    ),
    (
        "our querier on Thanos' sidecars and store",
        Cast { sidecar: Maker::Thanos, store: Maker::Thanos, query: Maker::Aion, compression: "none" },
    ),
    (
        "the same with snappy",
        Cast { sidecar: Maker::Thanos, store: Maker::Thanos, query: Maker::Aion, compression: "snappy" },
    ),
];

/// Queries that Thanos' deduplication answers exactly even where it leaves a replica's gap late: on the cluster
/// without gaps.
fn without_gaps(cases: Vec<Case>) -> Vec<Case> {
    let selects = |q: &str| q.contains("demo_memory_bytes") && !q.contains("cluster");
    let mut out: Vec<_> = cases.into_iter().filter(|c| selects(&c.query)).collect();
    for case in &mut out {
        case.query = case.query.replace("demo_memory_bytes{", "demo_memory_bytes{cluster=\"us\",");
        case.query = case.query.replace("demo_memory_bytes ", "demo_memory_bytes{cluster=\"us\"} ");
        case.query = case.query.replace("demo_memory_bytes)", "demo_memory_bytes{cluster=\"us\"})");
        case.query = case.query.replace("demo_memory_bytes[", "demo_memory_bytes{cluster=\"us\"}[");
    }
    out.retain(|c| c.query.matches("demo_memory_bytes").count() == c.query.matches("cluster=\"us\"").count());
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_thanos_and_ours_work_together() -> anyhow::Result<()> {
    let test = "stock_thanos_and_ours_work_together";
    let Some(thanos) = tests::peer::thanos(test) else { return Ok(()) };
    let Some(prometheus) = tests::peer::prometheus(test) else { return Ok(()) };
    let programs = Programs {
        prometheus,
        aion: tests::aion::binary().to_owned(),
        thanos: Some(thanos.clone()),
        aion_scrapes: false,
    };
    let world = World::start(programs).await?;
    bucket_tools(&thanos, &world)?;
    let (ours, theirs) = (all(), without_gaps(all()));
    ensure!(theirs.len() > 20, "{} queries", theirs.len());
    let mut wrong = Vec::new();
    for (what, cast) in CASTS {
        let layer = world.layer(cast).await?;
        let cases = if cast.query == Maker::Thanos { &theirs } else { &ours };
        let (count, different) = differences(&world.reference.api, &layer.query.api, cases).await?;
        eprintln!("{what} ({}): {} of {count} answers differ", cast.compression, different.len());
        if !different.is_empty() {
            hold(&world, &layer).await;
        }
        wrong.extend(different.into_iter().map(|d| format!("{what}: {d}")));
        wrong.extend(layer.stop().await?);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// `thanos tools bucket` on the bucket that our sidecars filled.
fn bucket_tools(thanos: &std::path::Path, world: &World) -> anyhow::Result<()> {
    let config = format!("--objstore.config={}", world.bucket.config());
    let run = |args: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(thanos).args(["tools", "bucket"]).args(args).arg(&config).output()?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "thanos tools bucket {args:?}: {log}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &log)
    };
    let listed = run(&["ls"])?;
    let blocks = listed.lines().filter(|l| l.trim().len() == 26).count();
    ensure!(blocks == 12, "{blocks} blocks listed: {listed}");
    let verified = run(&["verify"])?;
    ensure!(!verified.contains("level=error") && !verified.contains("level=warn"), "{verified}");
    Ok(())
}
