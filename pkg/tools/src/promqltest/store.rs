//! What `load` put in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chunkenc::{Encoding, encode_xor};
use labels::{BUCKET_LABEL, Builder, Labels, METRIC_NAME};
use promql_syntax::testlang::{Eval, Load};
use promql_syntax::{Expr, SequenceValue, SeriesItem, parse, selectors, walk};
use storage::{Chunk, MemorySource, Series, SeriesSource};

/// Samples per chunk, as a Prometheus head cuts them.
const SAMPLES_PER_CHUNK: usize = 120;

/// The samples loaded so far.
#[derive(Debug, Default)]
pub(super) struct Store {
    floats: BTreeMap<Labels, BTreeMap<i64, f64>>,
    /// Series that hold native histograms; their samples are not kept yet.
    histograms: BTreeSet<Labels>,
    source: Option<Arc<dyn SeriesSource>>,
}

/// Functions that only native histograms have an answer to.
const HISTOGRAM_FUNCTIONS: [&str; 5] =
    ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"];

impl Store {
    /// Adds the series of a `load`.
    pub fn load(&mut self, load: &Load) -> Result<(), String> {
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
        for (labels, floats) in fresh {
            if load.with_nhcb {
                self.histograms.extend(custom_histogram(labels));
            }
            if !floats.is_empty() {
                self.floats.entry(labels.clone()).or_default().extend(floats);
            }
        }
        self.source = None;
        self.source = Some(Arc::new(self.build()?));
        Ok(())
    }

    fn build(&self) -> Result<MemorySource, String> {
        let mut all = Vec::with_capacity(self.floats.len());
        for (labels, samples) in &self.floats {
            let samples: Vec<(i64, f64)> = samples.iter().map(|(t, v)| (*t, *v)).collect();
            let mut chunks = Vec::new();
            for part in samples.chunks(SAMPLES_PER_CHUNK) {
                let data = encode_xor(part.iter().copied()).map_err(|e| e.to_string())?;
                chunks.push(Chunk::raw(part[0].0, part[part.len() - 1].0, Encoding::Xor, data.into()));
            }
            all.push(Series { labels: labels.clone(), chunks });
        }
        Ok(MemorySource::new(all))
    }

    /// To query.
    pub fn source(&self) -> Arc<dyn SeriesSource> {
        self.source.clone().unwrap_or_else(|| Arc::new(MemorySource::default()))
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

/// The labels that `load_with_nhcb` gives the histogram made of a classic one's series.
fn custom_histogram(labels: &Labels) -> Option<Labels> {
    let name = labels.metric_name();
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
    Some(Builder::from_labels(labels).set(METRIC_NAME, base).remove(BUCKET_LABEL).build())
}
