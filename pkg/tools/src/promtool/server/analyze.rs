//! `aion tools query analyze`: how many buckets histograms have, and how many of them are used.

use std::collections::{BTreeMap, BTreeSet};

use flags::{Flag, Parsed};
use serde_json::{Map, Value};
use service::tool::Deps;

use super::super::common::Outcome;
use super::print::labels_text;
use super::{HTTP_CONFIG, client, failed, seconds, time_ms};
use crate::Error;
use crate::output::format_duration;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::text("server", "", "Prometheus server to query.").placeholder("<URL>"),
    Flag::text("type", "", "Type of metric: histogram.").placeholder("<type>"),
    Flag::duration("duration", "1h", "Time frame to analyze."),
    Flag::text("time", "", "Query time (RFC3339 or Unix timestamp), defaults to now."),
    Flag::text("match", "", "Series selector. Can be specified multiple times.").repeated(),
    HTTP_CONFIG,
    Flag::duration("timeout", "2m", "The longest time for each query."),
];

const HEADER: &str = "Bucket stats for each histogram series over time
------------------------------------------------
First the min, avg, and max number of populated buckets, followed by the total
number of buckets (only if different from the max number of populated buckets
which is typical for classic but not native histograms).";
const FOOTER: &str = "Aggregated bucket stats
-----------------------
Each line shows min/avg/max over the series above.";

/// Populated buckets of one histogram over time, and all that it has.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Buckets {
    min: usize,
    avg: f64,
    max: usize,
    total: usize,
}

impl Buckets {
    /// Of the number of populated buckets of each sample; `None` for less than two.
    fn of(populated: &[usize], total: usize) -> Option<Self> {
        let (min, max) = (*populated.iter().min()?, *populated.iter().max()?);
        let avg = populated.iter().sum::<usize>() as f64 / populated.len() as f64;
        (populated.len() > 1).then_some(Self { min, avg, max, total })
    }

    fn text(&self) -> String {
        let total = if self.max == self.total { String::new() } else { format!("/{}", self.total) };
        format!("{}/{:.3}/{}{total}", self.min, self.avg, self.max)
    }
}

pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    if parsed.text("type") != "histogram" {
        return Err(Error::Usage(format!("analyze type is {}, must be 'histogram'", parsed.text("type"))));
    }
    let selectors: Vec<String> = parsed.list("match").into_iter().filter(|text| !text.is_empty()).collect();
    let Some(server) = parsed.text_opt("server").filter(|_| !selectors.is_empty()) else {
        return Err(Error::Usage("--server and --match are required".to_owned()));
    };
    let client = client(parsed, server)?;
    let time = time_ms(parsed, "time")?.unwrap_or_else(|| deps.clock.now_ms());
    deps.print(&format!("{HEADER}\n\n"))?;
    let (mut native, mut classic) = (Vec::new(), Vec::new());
    for selector in selectors {
        let query = format!("{selector}[{}]", format_duration(parsed.duration_ms("duration")));
        let answer = client.ask("/api/v1/query", &[("query", query), ("time", seconds(time))]).await.map_err(failed)?;
        let Some(series) = answer.value["result"].as_array().filter(|_| answer.value["resultType"] == "matrix") else {
            return Err(Error::Failed("query of buckets resulted in non-Matrix".to_owned()));
        };
        let mut families: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for one in series {
            if one["values"].as_array().is_none_or(Vec::is_empty) {
                if let Some(found) = native_buckets(one) {
                    deps.print(&format!("- {} (native): {}\n", labels_text(&one["metric"]), found.text()))?;
                    native.push(found);
                }
            } else if let Some(family) = family(&one["metric"]) {
                families.entry(family).or_default().push(one);
            }
        }
        for (name, members) in families {
            if let Some(found) = classic_buckets(members).map_err(Error::Failed)? {
                deps.print(&format!("- {name} (classic): {}\n", found.text()))?;
                classic.push(found);
            }
        }
    }
    deps.print(&format!("\n{FOOTER}\n"))?;
    for (kind, found) in [("Native", native), ("Classic", classic)] {
        if !found.is_empty() {
            deps.print(&format!("\n{kind} {}\n", summary(&found)))?;
        }
    }
    Ok(0)
}

/// The histogram that a series of a bucket belongs to.
fn family(metric: &Value) -> Option<String> {
    let metric = metric.as_object()?;
    let name = metric.get(labels::METRIC_NAME)?.as_str()?;
    metric.get("le")?;
    let others: Map<String, Value> = metric
        .iter()
        .filter(|(label, _)| *label != labels::METRIC_NAME && *label != "le")
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect();
    name.ends_with("_bucket").then(|| format!("{name}{}", labels_text(&Value::Object(others))))
}

fn native_buckets(series: &Value) -> Option<Buckets> {
    let samples = series["histograms"].as_array()?;
    let mut all = BTreeSet::new();
    let mut populated = Vec::with_capacity(samples.len());
    for sample in samples {
        let buckets = sample[1]["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
        all.extend(buckets.iter().map(|bucket| format!("{} {} {}", bucket[0], bucket[1], bucket[2])));
        populated.push(buckets.len());
    }
    Buckets::of(&populated, all.len())
}

fn number(value: &Value) -> f64 {
    value.as_str().and_then(|text| model::parse_go_float(text).ok()).unwrap_or(f64::NAN)
}

fn classic_buckets(mut members: Vec<&Value>) -> Result<Option<Buckets>, String> {
    members.sort_by(|a, b| number(&a["metric"]["le"]).total_cmp(&number(&b["metric"]["le"])));
    let points = |member: &Value| -> Vec<(f64, f64)> {
        let points = member["values"].as_array().into_iter().flatten();
        points.map(|point| (point[0].as_f64().unwrap_or(f64::NAN), number(&point[1]))).collect()
    };
    let columns: Vec<Vec<(f64, f64)>> = members.into_iter().map(points).collect();
    let mut populated = Vec::new();
    for at in 0..columns[0].len() {
        let (mut count, mut below) = (0, None);
        for column in &columns {
            // What is known of a sample that not all buckets have.
            let Some((time, value)) = column.get(at) else { break };
            let (last_time, last_value) = below.unwrap_or((*time, 0.0));
            if *time != last_time {
                return Err("matrix result is not time aligned".to_owned());
            }
            count += usize::from((*value - last_value) as i64 != 0);
            below = Some((*time, *value));
        }
        populated.push(count);
    }
    Ok(Buckets::of(&populated, columns.len()))
}

/// Minimum, average and maximum over histograms.
fn summary(all: &[Buckets]) -> String {
    let line = |name: &str, of: &dyn Fn(&Buckets) -> usize| {
        let values: Vec<usize> = all.iter().map(of).collect();
        let (min, max) = (values.iter().min().unwrap_or(&0), values.iter().max().unwrap_or(&0));
        let avg = values.iter().sum::<usize>() as f64 / values.len() as f64;
        format!("\n- {name}: {min}/{avg:.3}/{max}")
    };
    let mut out = format!("histogram series ({} in total):", all.len());
    out += &line("min populated", &|b| b.min);
    out += &line("avg populated", &|b| b.avg as usize);
    out += &line("max populated", &|b| b.max);
    if all.iter().any(|b| b.max != b.total) {
        out += &line("total", &|b| b.total);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classic() {
        let bucket = |le: &str, values: [&str; 2]| json!({"metric": {"__name__": "h_bucket", "le": le, "a": "b"}, "values": [[1, values[0]], [2, values[1]]]});
        let members = [bucket("+Inf", ["5", "9"]), bucket("1", ["2", "2"]), bucket("2", ["2", "6"])];
        let found = classic_buckets(members.iter().collect()).unwrap().unwrap();
        assert_eq!(found.text(), "2/2.500/3");
        assert_eq!(family(&members[0]["metric"]).unwrap(), "h_bucket{a=\"b\"}");
        assert_eq!(
            summary(&[found]),
            "histogram series (1 in total):\n- min populated: 2/2.000/2\n- avg populated: 2/2.000/2\n- max populated: 3/3.000/3"
        );
    }

    #[test]
    fn native() {
        let series = json!({"metric": {}, "histograms": [
            [1, {"buckets": [[0, "1", "2", "3"]]}], [2, {"buckets": [[0, "1", "2", "3"], [0, "2", "4", "3"]]}]]});
        assert_eq!(native_buckets(&series).unwrap().text(), "1/1.500/2");
        assert_eq!(native_buckets(&json!({"histograms": [[1, {}]]})), None);
    }
}
