//! Questions put to a server, and how two answers differ.

use std::time::Instant;

use anyhow::Context;
use serde_json::Value;
use tests::client::Api;
use tests::compare::{Order, difference};

use crate::fleet::{START_MS, TICK_MS, TICKS_PER_HOUR};
use crate::queries::Ask;

/// When the queries end, s: seven milliseconds off the grid of evaluations, a minute before the last of `hours`.
pub fn end_s(hours: f64) -> f64 {
    let ticks = (hours * TICKS_PER_HOUR as f64) as i64;
    (START_MS - 123 + ticks * TICK_MS) as f64 / 1000.0 - 60.0 + 0.007
}

/// One of the servers, or the processes that are one together.
pub struct Side {
    pub api: Api,
    pub pids: Vec<u32>,
}

impl Side {
    async fn bytes(&self, ask: &Ask, end_s: f64) -> anyhow::Result<Vec<u8>> {
        let end = format!("{end_s:.3}");
        let before = |s: f64| format!("{:.3}", end_s - s);
        match ask {
            Ask::Instant(query) => self.api.get_bytes("/api/v1/query", &[("query", query), ("time", &end)]).await,
            Ask::Range(query, range, step) => {
                let (start, step) = (before(f64::from(*range)), step.to_string());
                let params = [("query", *query), ("start", &start), ("end", &end), ("step", &step)];
                self.api.get_bytes("/api/v1/query_range", &params).await
            }
            Ask::List(path, matcher) => {
                let start = before(11.0 * 3600.0);
                let mut params = vec![("start", start.as_str()), ("end", &end)];
                if !matcher.is_empty() {
                    params.push(("match[]", matcher));
                }
                self.api.get_bytes(path, &params).await
            }
        }
    }

    /// The answer and the seconds it took.
    ///
    /// # Errors
    /// No answer, or none in JSON.
    pub async fn ask(&self, ask: &Ask, end_s: f64) -> anyhow::Result<(Value, f64)> {
        let begun = Instant::now();
        let bytes = self.bytes(ask, end_s).await?;
        let wall = begun.elapsed().as_secs_f64();
        Ok((serde_json::from_slice(&bytes)?, wall))
    }

    /// The seconds until the whole answer is here.
    ///
    /// # Errors
    /// No answer.
    pub async fn time(&self, ask: &Ask, end_s: f64) -> anyhow::Result<f64> {
        let begun = Instant::now();
        self.bytes(ask, end_s).await?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// How the answers differ, external labels left aside: they are no part of Prometheus' own answers.
///
/// # Errors
/// An answer that is no list where one is wanted.
pub fn compare(ask: &Ask, expected: &Value, answer: &Value) -> anyhow::Result<Option<String>> {
    let (mut expected, mut answer) = (expected.clone(), answer.clone());
    let strip = |labels: &mut Value| _ = labels.as_object_mut().map(|labels| labels.remove("prometheus"));
    if let Ask::List(..) = ask {
        for list in [&mut expected["data"], &mut answer["data"]] {
            let list = list.as_array_mut().context("no list")?;
            list.iter_mut().for_each(strip);
            list.sort_by_cached_key(Value::to_string);
        }
        return Ok((expected["data"] != answer["data"]).then(|| "other entries".to_owned()));
    }
    for answer in [&mut expected, &mut answer] {
        for series in answer["data"]["result"].as_array_mut().into_iter().flatten() {
            strip(&mut series["metric"]);
        }
    }
    Ok(difference(&expected, &answer, Order::Any).map(|d| d.to_string()))
}

/// The middle of some figures; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
