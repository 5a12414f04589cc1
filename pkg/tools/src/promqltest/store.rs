//! What `load` put in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use labels::{BUCKET_LABEL, Builder, Labels, METRIC_NAME};
use memory_store::{MemoryStore, MemoryStoreOptions};
use promql_syntax::testlang::{Eval, Load};
use promql_syntax::{Expr, SequenceValue, SeriesItem, parse, selectors, walk};
use storage::append::{AppendOptions, Appendable, Appender, Floats};
use storage::{Ctx, SeriesSource};

/// The samples loaded so far.
#[derive(Debug)]
pub(super) struct Store {
    floats: MemoryStore,
    /// Series that hold native histograms; their samples are not kept yet.
    histograms: BTreeSet<Labels>,
}

impl Default for Store {
    fn default() -> Self {
        // A later `load` may go further back.
        let options = MemoryStoreOptions { out_of_order_window_ms: i64::MAX, ..MemoryStoreOptions::default() };
        Self { floats: MemoryStore::new(options), histograms: BTreeSet::new() }
    }
}

/// Functions that only native histograms have an answer to.
const HISTOGRAM_FUNCTIONS: [&str; 5] =
    ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];

impl Store {
    /// Adds the series of a `load`.
    pub async fn load(&mut self, load: &Load) -> Result<(), String> {
        // Within one load the later of two equal series counts.
        let mut fresh: BTreeMap<&Labels, BTreeMap<i64, f64>> = BTreeMap::new();
        for series in &load.series {
            if series.has_histograms() {
                self.histograms.insert(series.description.labels.clone());
            }
            let mut floats = BTreeMap::new();
            let mut at = 0;
            for item in &series.description.items {
                if let SeriesItem::Floats { .. } = item {
                    let one = promql_syntax::SeriesDescription { labels: Labels::empty(), items: vec![item.clone()] };
                    let values = one.expand(|_, _, _| Err("no histogram here".to_owned()))?;
                    for (i, value) in values.into_iter().enumerate() {
                        if let SequenceValue::Float(v) = value {
                            floats.insert((at + i) as i64 * load.step_ms, v);
                        }
                    }
                }
                at += item.points();
            }
            fresh.insert(&series.description.labels, floats);
        }
        let mut appender = self.floats.appender(&Ctx::background(), AppendOptions::default());
        for (labels, floats) in fresh {
            if load.with_nhcb {
                self.histograms.extend(custom_histogram(labels));
            }
            if !floats.is_empty() {
                append(&mut *appender, labels, &floats)?;
            }
        }
        let committed = appender.commit().await.map_err(|e| e.to_string())?;
        committed.refused.first().map_or(Ok(()), |(_, refused)| Err(refused.why.to_string()))
    }

    /// To query.
    pub fn source(&self) -> Arc<dyn SeriesSource> {
        Arc::new(self.floats.clone())
    }

    /// Why an eval cannot be judged without native histograms.
    pub fn needs_histograms(&self, eval: &Eval) -> Option<String> {
        let expects = eval.series.iter().any(|s| {
            let is_histogram =
                |i: &SeriesItem| matches!(i, SeriesItem::Histograms { .. } | SeriesItem::HistogramSteps { .. });
            s.description.items.iter().any(is_histogram)
        });
        if expects {
            return Some("native histograms expected".to_owned());
        }
        let expr = parse(&eval.query).ok()?;
        for selector in selectors(&expr) {
            let matched =
                self.histograms.iter().find(|l| selector.matchers.iter().all(|m| m.matches(l.value(m.name()))));
            if let Some(labels) = matched {
                return Some(format!("selects native histograms: {labels}"));
            }
        }
        let mut named = None;
        walk(&expr, &mut |e| {
            if let Expr::Call(c) = e
                && HISTOGRAM_FUNCTIONS.contains(&c.function.name)
            {
                named = Some(format!("{}() of native histograms", c.function.name));
            }
        });
        named
    }
}

fn append(appender: &mut dyn Appender, labels: &Labels, samples: &BTreeMap<i64, f64>) -> Result<(), String> {
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    let mut found = appender.resolve(&[&pairs]).map_err(|e| e.to_string())?;
    let series =
        found.pop().map_or_else(|| Err("no reference".to_owned()), |r| r.map_err(|e| format!("{labels}: {e}")))?;
    let rows = Floats {
        series: &vec![series; samples.len()],
        times_ms: &samples.keys().copied().collect::<Vec<_>>(),
        values: &samples.values().copied().collect::<Vec<_>>(),
        starts_ms: &[],
    };
    let refused = appender.floats(rows).map_err(|e| e.to_string())?;
    refused.first().map_or(Ok(()), |r| Err(format!("{labels}: {}", r.why)))
}

/// The labels that `load_with_nhcb` gives the histogram made of a classic one's series.
fn custom_histogram(labels: &Labels) -> Option<Labels> {
    let name = labels.metric_name();
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
    Some(Builder::from_labels(labels).set(METRIC_NAME, base).remove(BUCKET_LABEL).build())
}
