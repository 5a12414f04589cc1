//! Queries of death beside scrapes: whether scrapes come late, and whether memory stays within its limit.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::phases::{Figure, Options, fresh};
use crate::servers::{Kind, Server};
use crate::targets::Targets;

/// How many.
const QUERIES: usize = 100;
/// What may kill a server that answers it: all series, joins of everything, steps without end, expressions without end.
const DEADLY: [&str; 10] = [
    "{__name__=~\".+\"}",
    "sum by (instance, handler, code, method, zone) (rate({__name__=~\".+\"}[10m]))",
    "count_values(\"v\", {__name__=~\".+\"})",
    "{__name__=~\"app.+\"} * on (instance, handler, code, method, zone) group_left (job) {__name__=~\"app.+\"}",
    "max_over_time(sum by (instance) (rate({__name__=~\"app_requests_1.*\"}[5m]))[1h:1s])",
    "label_replace({__name__=~\".+\"}, \"x\", \"$1$1$1$1$1$1$1$1\", \"handler\", \"(.*)\")",
    "sort_desc({__name__=~\".*(.*(.*(a|b).*).*).*\"})",
    "quantile_over_time(0.5, {__name__=~\".+\"}[1h])",
    "topk(1000000, {__name__=~\".+\"}) or bottomk(1000000, {__name__=~\".+\"}) or {instance=~\".+\"}",
    "absent_over_time(({__name__=~\".+\"} > 0)[1h:1s])",
];

/// What both servers have by default.
const LIMITS: [&str; 2] = ["--query.max-samples=50000000", "--query.timeout=2m"];

/// Scrapes of a server that is left alone, then of one that is asked [`QUERIES`] queries one after the other.
///
/// # Errors
/// A server fails.
pub async fn isolation(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let targets = Targets::start(options.series).await?;
    let config = targets.config(options.targets, &options.interval);
    let interval = interval_ms(&options.interval)?;
    for kind in options.kinds.iter().copied().filter(|kind| *kind != Kind::Victoria) {
        let server = Server::start_with(kind, &fresh(&options.dir, kind)?, &config, &LIMITS).await?;
        let mut add = |what, value| figures.push(Figure { kind, what, value });
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        server.reset_peak()?;
        tokio::time::sleep(Duration::from_secs(options.seconds)).await;
        add("peak MiB, left alone", server.peak_mib()?);
        let alone = lateness(&server, options.seconds, interval).await?;
        add("longest pause beyond the interval, ms, left alone", alone.longest_ms);
        server.reset_peak()?;
        let (begun, mut answered) = (Instant::now(), 0);
        for query in DEADLY.iter().cycle().take(QUERIES) {
            let (now, hour) = (now_s(), now_s() - 3600.0);
            let (start, end) = (format!("{hour:.3}"), format!("{now:.3}"));
            let params = [("query", *query), ("start", &start), ("end", &end), ("step", "15")];
            match server.api.get_bytes("/api/v1/query_range", &params).await {
                Ok(body) if body.starts_with(b"{\"status\":\"success\"") => answered += 1,
                Ok(_) => {}
                Err(e) => eprintln!("{}: {query}: {e:#}", kind.name()),
            }
        }
        let asked_s = begun.elapsed().as_secs();
        add("queries answered, others are refused", f64::from(answered));
        add("s for all queries", begun.elapsed().as_secs_f64());
        add("peak MiB, asked", server.peak_mib()?);
        let asked = lateness(&server, asked_s.max(options.seconds), interval).await?;
        add("longest pause beyond the interval, ms, asked", asked.longest_ms);
        add("targets with a scrape missing, asked", asked.missing);
        add("targets up", server.number("sum(up)", now_s()).await?);
    }
    Ok(figures)
}

/// How late scrapes were.
pub struct Lateness {
    /// The longest pause between two scrapes of a target, less the interval.
    pub longest_ms: f64,
    /// Targets with a pause of more than one and a half intervals.
    pub missing: f64,
}

/// How late scrapes were in the last `seconds`, by their timestamps.
///
/// # Errors
/// No answer.
pub async fn lateness(server: &Server, seconds: u64, interval_ms: f64) -> anyhow::Result<Lateness> {
    let answer = server.api.query(&format!("up[{seconds}s]"), now_s()).await?;
    let series = answer["data"]["result"].as_array().with_context(|| answer.to_string())?;
    let mut late = Lateness { longest_ms: 0.0, missing: 0.0 };
    for one in series {
        let times = one["values"].as_array().into_iter().flatten().filter_map(|point| point[0].as_f64());
        let times: Vec<f64> = times.collect();
        let pauses = times.windows(2).map(|pair| (pair[1] - pair[0]) * 1000.0 - interval_ms);
        let longest = pauses.fold(0.0, f64::max);
        late.longest_ms = late.longest_ms.max(longest);
        late.missing += if longest > interval_ms / 2.0 { 1.0 } else { 0.0 };
    }
    Ok(late)
}

/// The time of day, Unix seconds.
pub fn now_s() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `--interval` in ms.
///
/// # Errors
/// It is not in seconds.
pub fn interval_ms(interval: &str) -> anyhow::Result<f64> {
    let seconds = interval.strip_suffix('s').and_then(|s| s.parse::<f64>().ok());
    Ok(seconds.context("--interval in seconds")? * 1000.0)
}
