//! Remote write as a Prometheus sends it: 2 000 series a request, one sample each, over two connections. Labels are encoded
//! once, so that the generator costs little.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use prost::Message;
use proto::prometheus_copy::TimeSeries;
use tests::client::http;
use tokio::sync::Semaphore;

use crate::fleet::{SERIES_PER_TARGET, START_MS, TICK_MS, Target};

/// Targets in one request.
const TARGETS: usize = 2000 / SERIES_PER_TARGET;
/// Requests under way at a time.
const CONNECTIONS: usize = 2;

/// A target, and the label part of each of its series' messages.
struct Encoded {
    target: Target,
    labels: Vec<Vec<u8>>,
}

/// The targets of a data set and where they stand.
pub struct Load {
    targets: Vec<Encoded>,
    tick: i64,
    pace: Pace,
}

/// When ticks are said to be.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The first one, ms since the epoch.
    pub start_ms: i64,
    /// From one to the next, ms.
    pub tick_ms: i64,
}

impl Pace {
    /// That of the data set itself.
    pub const OWN: Self = Self { start_ms: START_MS, tick_ms: TICK_MS };

    fn time_ms(self, own_ms: i64) -> i64 {
        self.start_ms + (own_ms - START_MS) * self.tick_ms / TICK_MS
    }
}

/// What a run of requests came to.
#[derive(Debug, Default, Clone, Copy)]
pub struct Sent {
    pub samples: u64,
    pub wall_s: f64,
    /// The time of the last sample, ms.
    pub last_ms: i64,
}

impl Load {
    /// `targets` targets of 200 series, at their first tick.
    pub fn new(targets: usize) -> Self {
        Self::paced(targets, Pace::OWN)
    }

    /// As [`Load::new`], at other times.
    pub fn paced(targets: usize, pace: Pace) -> Self {
        let encode = |number| {
            let target = Target::new(number);
            let labels = target
                .series
                .iter()
                .map(|s| TimeSeries { labels: s.labels.clone(), ..Default::default() }.encode_to_vec());
            Encoded { labels: labels.collect(), target }
        };
        Self { targets: (0..targets).map(encode).collect(), tick: 0, pace }
    }

    /// Series of all targets.
    pub fn series(&self) -> usize {
        self.targets.len() * SERIES_PER_TARGET
    }

    /// Sends the next `ticks` ticks of all targets to the server at `base`.
    ///
    /// # Errors
    /// The server refuses a request or is gone.
    pub async fn send(&mut self, base: &str, ticks: i64) -> anyhow::Result<Sent> {
        let client = http()?;
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let begun = Instant::now();
        let mut sent = Sent::default();
        for tick in self.tick..self.tick + ticks {
            let mut running = tokio::task::JoinSet::new();
            for group in self.targets.chunks_mut(TARGETS) {
                let (body, last_ms) = request(group, tick, self.pace);
                sent.samples += (group.len() * SERIES_PER_TARGET) as u64;
                sent.last_ms = sent.last_ms.max(last_ms);
                let slot = slots.clone().acquire_owned().await?;
                let post = client
                    .post(format!("{base}/api/v1/write"))
                    .header("Content-Encoding", "snappy")
                    .header("Content-Type", "application/x-protobuf")
                    .header("X-Prometheus-Remote-Write-Version", "0.1.0")
                    .body(body);
                running.spawn(async move {
                    let _slot = slot;
                    let answer = post.send().await?;
                    let status = answer.status();
                    ensure!(status.is_success(), "{status}: {}", answer.text().await.unwrap_or_default());
                    Ok(())
                });
            }
            // a sample must not overtake the one before it
            while let Some(done) = running.join_next().await {
                done?.with_context(|| format!("tick {tick}"))?;
            }
        }
        self.tick += ticks;
        sent.wall_s = begun.elapsed().as_secs_f64();
        Ok(sent)
    }
}

fn request(group: &mut [Encoded], tick: i64, pace: Pace) -> (Vec<u8>, i64) {
    let mut plain = Vec::with_capacity(TARGETS * SERIES_PER_TARGET * 256);
    let mut last_ms = 0;
    for Encoded { target, labels } in group {
        let time_ms = pace.time_ms(target.time_ms(tick));
        last_ms = last_ms.max(time_ms);
        for (series, labels) in target.series.iter_mut().zip(labels) {
            let mut sample = [0; 24];
            sample[0] = 0x09;
            sample[1..9].copy_from_slice(&series.step().to_le_bytes());
            sample[9] = 0x10;
            let mut len = 10;
            let mut rest = time_ms as u64;
            loop {
                sample[len] = (rest & 0x7f) as u8 | if rest > 0x7f { 0x80 } else { 0 };
                len += 1;
                rest >>= 7;
                if rest == 0 {
                    break;
                }
            }
            plain.push(0x0a);
            prost::encode_length_delimiter(labels.len() + 2 + len, &mut plain).unwrap_or_default();
            plain.extend_from_slice(labels);
            plain.extend_from_slice(&[0x12, len as u8]);
            plain.extend_from_slice(&sample[..len]);
        }
    }
    (snap::raw::Encoder::new().compress_vec(&plain).unwrap_or_default(), last_ms)
}
