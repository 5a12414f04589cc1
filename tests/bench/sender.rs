//! The sender of remote write: what it costs over and above taking the samples in, and how soon what gathered while the
//! receiver was away is sent.

use std::time::{Duration, Instant};

use anyhow::ensure;
use testkit::wait_for;

use crate::fleet::TICKS_PER_HOUR;
use crate::isolation::now_s;
use crate::load::{Load, Pace};
use crate::phases::{Figure, IDLE, Options, fresh};
use crate::receiver::Receiver;
use crate::servers::{Kind, Server};

/// Ten minutes at 15 s.
const OUTAGE_TICKS: i64 = 40;
/// A server takes no samples of more than ten minutes ahead, and Prometheus sends none of before its start: the ticks are
/// said to follow each other closely.
const TICK_MS: i64 = 1500;
const LONG: Duration = Duration::from_secs(600);

/// CPU and memory of a server that takes the data set in, then of one that sends it on as well.
///
/// # Errors
/// A server fails, or not every sample arrives.
pub async fn sender(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let ticks = (options.hours * TICKS_PER_HOUR as f64) as i64;
    let ahead_s = (ticks + OUTAGE_TICKS) * TICK_MS / 1000;
    ensure!(ahead_s < 600, "samples would lie {ahead_s} s ahead, servers take 600 s: give --hours=1");
    for kind in options.kinds.iter().copied().filter(|kind| *kind != Kind::Victoria) {
        let (alone_s, alone_mib, _) = taken(options, kind, ticks, None).await?;
        let receiver = Receiver::start().await?;
        let (both_s, both_mib, server) = taken(options, kind, ticks, Some(&receiver)).await?;
        let counts = receiver.counts().await?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        let samples = counts.samples as f64;
        add("samples sent", samples);
        add("samples a request", samples / counts.requests as f64);
        add("CPU s, taken in", alone_s);
        add("CPU s, taken in and sent", both_s);
        add("µs CPU of sending a sample", (both_s - alone_s) * 1e6 / samples);
        add("peak MiB, taken in", alone_mib);
        add("peak MiB, taken in and sent", both_mib);
        add("MiB of sending", both_mib - alone_mib);
        let (server, mut load) = server;
        server.reset_peak()?;
        receiver.set_away(true).await?;
        let begun = Instant::now();
        let sent = load.send(&server.base, OUTAGE_TICKS).await?;
        tokio::time::sleep(Duration::from_secs(10).saturating_sub(begun.elapsed())).await;
        let before = server.cpu_s()?;
        receiver.set_away(false).await?;
        let begun = Instant::now();
        arrived(&receiver, counts.samples + sent.samples).await;
        add("s until the samples of an outage of 10 min were sent", begun.elapsed().as_secs_f64());
        add("CPU s of that", server.cpu_s()? - before);
        add("peak MiB of outage and after", server.peak_mib()?);
        let after = receiver.counts().await?;
        add("requests in vain during the outage", (after.refused - counts.refused) as f64);
        let all = after.samples;
        ensure!(all == counts.samples + sent.samples, "{}: {all} samples arrived: some twice", kind.name());
        server.stop().await?;
    }
    Ok(figures)
}

async fn arrived(receiver: &Receiver, samples: u64) {
    let all = async || receiver.counts().await.is_ok_and(|counts| counts.samples >= samples);
    wait_for("all samples at the receiver", LONG, all).await;
}

/// A server that took `ticks` ticks in, and sent them to `receiver`: the CPU of that, its peak, and the server.
async fn taken(
    options: &Options,
    kind: Kind,
    ticks: i64,
    receiver: Option<&Receiver>,
) -> anyhow::Result<(f64, f64, (Server, Load))> {
    let config = receiver.map_or_else(String::new, |receiver| {
        format!(
            "remote_write:\n- url: {}\n  queue_config: {{capacity: 10000, max_samples_per_send: 2000, max_shards: 50}}\n",
            receiver.url()
        )
    });
    let server = Server::start(kind, &fresh(&options.dir, kind)?, &format!("{IDLE}{config}")).await?;
    let start_ms = (now_s() * 1000.0) as i64 + 5000;
    let mut load = Load::paced(options.targets, Pace { start_ms, tick_ms: TICK_MS });
    let before = server.cpu_s()?;
    let sent = load.send(&server.base, ticks).await?;
    match receiver {
        Some(receiver) => arrived(receiver, sent.samples).await,
        // What is put off until later belongs to it.
        None => tokio::time::sleep(Duration::from_secs(5)).await,
    }
    Ok((server.cpu_s()? - before, server.peak_mib()?, (server, load)))
}
