//! Classic histograms into native ones with custom buckets, as `load_with_nhcb` asks for.

use std::collections::BTreeMap;

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use labels::{BUCKET_LABEL, Builder, Labels, METRIC_NAME};

use super::store::{Sample, Samples, Value};

/// The series of one classic histogram at one time.
#[derive(Debug, Default)]
struct Classic {
    /// Upper bounds and counts up to them.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The native histograms of all classic ones among `series`, by labels and time.
///
/// # Errors
/// Where counts fall from one bucket to the next.
pub(super) fn convert(series: &BTreeMap<Labels, Samples>) -> Result<BTreeMap<Labels, Samples>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for (labels, samples) in series {
        let name = labels.metric_name();
        let Some((base, part)) = ["_bucket", "_count", "_sum"].iter().find_map(|s| Some((name.strip_suffix(s)?, *s)))
        else {
            continue;
        };
        let own = Builder::from_labels(labels).set(METRIC_NAME, base).remove(BUCKET_LABEL).build();
        let bound = model::parse_go_float(labels.value(BUCKET_LABEL)).ok().filter(|b| !b.is_nan());
        if part == "_bucket" && bound.is_none() {
            continue;
        }
        let by_time = found.entry(own).or_default();
        for (time, sample) in samples {
            let Value::Float(v) = sample.value else { continue };
            let classic = by_time.entry(*time).or_default();
            match (part, bound) {
                ("_bucket", Some(bound)) => classic.buckets.push((bound, v)),
                ("_count", _) => classic.count = Some(v),
                _ => classic.sum = v,
            }
        }
    }
    let mut out = BTreeMap::new();
    for (labels, by_time) in found {
        let mut samples = Samples::new();
        for (time, classic) in by_time {
            let h = native(classic).map_err(|e| format!("{labels}: {e}"))?;
            samples.insert(time, Sample { start_ms: 0, value: Value::Histogram(Box::new(h)) });
        }
        out.insert(labels, samples);
    }
    Ok(out)
}

fn native(Classic { mut buckets, count, sum }: Classic) -> Result<FloatHistogram, String> {
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let highest = buckets.last().map_or(0.0, |(_, count)| *count);
    let count = count.unwrap_or(highest);
    if buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
        buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let mut counts = Vec::with_capacity(buckets.len());
    for (_, up_to) in &buckets {
        let own = up_to - before;
        if own < 0.0 {
            return Err("counts of buckets are not cumulative".to_owned());
        }
        counts.push(own);
        before = *up_to;
    }
    let mut h = FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count,
        sum,
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive_buckets: counts,
        custom_values: buckets.iter().map(|(bound, _)| *bound).filter(|b| *b != f64::INFINITY).collect(),
        ..FloatHistogram::default()
    };
    promql::compact(&mut h);
    Ok(h)
}
