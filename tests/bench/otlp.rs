//! Metrics of OpenTelemetry over HTTP: what a sample costs. Prometheus takes them since its version 3.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use ingest::wire::Writer;
use tests::client::http;
use tokio::sync::Semaphore;

use crate::fleet::{START_MS, TICK_MS, TICKS_PER_HOUR};
use crate::phases::{Figure, IDLE, Options, fresh};
use crate::servers::{Kind, Server};

/// Resources of one request, and requests under way at a time.
const RESOURCES: usize = 10;
const CONNECTIONS: usize = 2;
/// Metrics of a resource and points of a metric: with their series of buckets, 200 series.
const SUMS: usize = 8;
const GAUGES: usize = 4;
const POINTS: usize = 10;
const HISTOGRAMS: usize = 2;
const HISTOGRAM_POINTS: usize = 3;
/// Ten bounds: eleven buckets, the count and the sum of a point are thirteen series.
const BOUNDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const ROUTES: [&str; POINTS] =
    ["/", "/login", "/logout", "/search", "/cart", "/cart/items", "/checkout", "/orders", "/health", "/account"];

/// Requests of `targets` resources over `hours`, at 15 s.
///
/// # Errors
/// A server fails, or answers differently.
pub async fn otlp(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut answers = Vec::new();
    let ticks = (options.hours * TICKS_PER_HOUR as f64) as i64;
    for kind in options.kinds.iter().copied().filter(|kind| *kind != Kind::Victoria) {
        let dir = fresh(&options.dir, kind)?;
        let server = Server::start_with(kind, &dir, IDLE, &["--web.enable-otlp-receiver"]).await?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        let before = server.cpu_s()?;
        send(&server.base, options.targets, 0..1).await?;
        let created = server.cpu_s()? - before;
        let last_s = |tick: i64| (START_MS + tick * TICK_MS) as f64 / 1000.0 + 1.0;
        let series = server.number("count({__name__=~\".+\"})", last_s(0)).await?;
        add("series", series);
        add("µs CPU a new series", created * 1e6 / series);
        let (before, begun) = (server.cpu_s()?, Instant::now());
        send(&server.base, options.targets, 1..ticks).await?;
        let wall_s = begun.elapsed().as_secs_f64();
        // What is put off until later belongs to it.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let samples = series * (ticks - 1) as f64;
        add("µs CPU a sample", (server.cpu_s()? - before) * 1e6 / samples);
        add("samples a second", samples / wall_s);
        add("peak MiB", server.peak_mib()?);
        let mut found = Vec::new();
        for query in ["count({__name__=~\".+\"})", "sum({__name__=~\".+\"})", "sum(count_over_time(target_info[10m]))"]
        {
            found.push(server.number(query, last_s(ticks - 1)).await?);
        }
        answers.push(found);
        server.stop().await?;
    }
    ensure!(answers.windows(2).all(|pair| pair[0] == pair[1]), "answers differ: {answers:?}");
    Ok(figures)
}

async fn send(base: &str, resources: usize, ticks: std::ops::Range<i64>) -> anyhow::Result<()> {
    let client = http()?;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    for tick in ticks {
        let mut running = tokio::task::JoinSet::new();
        for first in (0..resources).step_by(RESOURCES) {
            let body = request(first..(first + RESOURCES).min(resources), tick);
            let slot = slots.clone().acquire_owned().await?;
            let post = client
                .post(format!("{base}/api/v1/otlp/v1/metrics"))
                .header("Content-Type", "application/x-protobuf")
                .body(body);
            running.spawn(async move {
                let _slot = slot;
                let answer = post.send().await?;
                let status = answer.status();
                ensure!(status.is_success(), "{status}: {}", answer.text().await.unwrap_or_default());
                Ok(())
            });
        }
        // A sample must not overtake the one before it.
        while let Some(done) = running.join_next().await {
            done??;
        }
    }
    Ok(())
}

fn request(resources: std::ops::Range<usize>, tick: i64) -> Vec<u8> {
    let time_ns = (START_MS + tick * TICK_MS) as u64 * 1_000_000;
    let mut writer = Writer::default();
    for resource in resources {
        writer.message(1, |rm| {
            rm.message(1, |r| {
                attribute(r, 1, "service.name", ["api", "checkout", "cart", "search"][resource % 4]);
                attribute(r, 1, "service.namespace", "shop");
                attribute(r, 1, "service.instance.id", &format!("627cc493-f310-47de-96bd-71410b7d{resource:04x}"));
                attribute(r, 1, "host.name", &format!("node-{}", resource % 40));
                attribute(r, 1, "k8s.pod.name", &format!("api-6d4cf56db6-{resource:05x}"));
            });
            rm.message(2, |scope| {
                for metric in 0..SUMS {
                    scope.message(2, |m| sum(m, metric, time_ns, tick));
                }
                for metric in 0..GAUGES {
                    scope.message(2, |m| gauge(m, metric, time_ns, tick));
                }
                for metric in 0..HISTOGRAMS {
                    scope.message(2, |m| histogram(m, metric, time_ns, tick));
                }
            });
        });
    }
    writer.into_bytes()
}

fn attribute(writer: &mut Writer, field: u64, key: &str, value: &str) {
    writer.message(field, |pair| _ = pair.string(1, key).message(2, |v| _ = v.string(1, value)));
}

fn attributes(point: &mut Writer, field: u64, number: usize) {
    attribute(point, field, "http.request.method", "GET");
    attribute(point, field, "http.route", ROUTES[number % POINTS]);
    attribute(point, field, "http.response.status_code", "200");
    attribute(point, field, "url.scheme", "https");
}

fn sum(metric: &mut Writer, number: usize, time_ns: u64, tick: i64) {
    metric.string(1, format!("http.server.requests.{number}")).string(3, "{request}").message(7, |sum| {
        sum.varint(2, 2).varint(3, 1);
        for point in 0..POINTS {
            sum.message(1, |p| {
                p.fixed64(3, time_ns).double(4, (tick * (7 + point as i64)) as f64);
                attributes(p, 7, point);
            });
        }
    });
}

fn gauge(metric: &mut Writer, number: usize, time_ns: u64, tick: i64) {
    metric.string(1, format!("process.memory.usage.{number}")).string(3, "By").message(5, |gauge| {
        for point in 0..POINTS {
            gauge.message(1, |p| {
                p.fixed64(3, time_ns).double(4, 1e8 + ((tick * 7919 + point as i64) % 1000 * 4096) as f64);
                attributes(p, 7, point);
            });
        }
    });
}

fn histogram(metric: &mut Writer, number: usize, time_ns: u64, tick: i64) {
    metric.string(1, format!("http.server.request.duration.{number}")).string(3, "s").message(9, |histogram| {
        histogram.varint(2, 2);
        for point in 0..HISTOGRAM_POINTS {
            let counts: Vec<u64> = (1..=BOUNDS.len() as u64 + 1).map(|bucket| bucket * tick as u64).collect();
            let total: u64 = counts.iter().sum();
            histogram.message(1, |p| {
                p.fixed64(3, time_ns).fixed64(4, total).double(5, total as f64 * 0.25);
                p.string(6, counts.iter().flat_map(|count| count.to_le_bytes()).collect::<Vec<u8>>());
                p.string(7, BOUNDS.map(f64::to_le_bytes).concat());
                attributes(p, 9, point);
            });
        }
    });
}
