//! `info`: adds labels of info metrics (`target_info`) that share `instance` and `job`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};
use histogram::FloatHistogram;
use labels::{Builder, Labels, METRIC_NAME, MatchType, Matcher};
use promql_syntax::Reads;

use crate::annotations::shown_labels;
use crate::decode::Decoder;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::fetch::Fetch;
use crate::merge::{Collector, ENTRY_BYTES, Ready};
use crate::samples::{Samples, aligned};
use crate::select_plan::SelectPlan;
use crate::series::StepSeries;
use crate::{Grid, QueryError, StepColumn};

/// The labels that say whom an info metric is about.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

pub(crate) struct Info {
    pub inner: Stream,
    pub matchers: Option<Arc<[Matcher]>>,
    pub at_ms: Option<i64>,
    pub offset_ms: i64,
    pub grid: Grid,
    pub done: Ready,
}

/// A step of an info series, or of what was chosen among them.
const TIME_BYTES: usize = size_of::<Option<i64>>();

/// An info series, and the time of its sample at each step.
struct InfoSeries {
    labels: Labels,
    times: Vec<Option<i64>>,
}

/// A value of the series that gets labels.
enum Value<'a> {
    Float(f64),
    Histogram(&'a Arc<FloatHistogram>),
}

/// Metric name and identifying labels.
type Key = (String, Vec<(String, String)>);

fn regex(name: &str, pattern: &str) -> Result<Matcher> {
    Matcher::new(MatchType::Regex, name, pattern)
        .map_err(|e| QueryError::Execution(format!("info(): matcher on {name}: {e}")))
}

/// The matchers on names that info series are selected by.
fn name_matchers(given: &[Matcher]) -> Result<Vec<Matcher>> {
    let own: Vec<Matcher> = given.iter().filter(|m| m.name() == METRIC_NAME).cloned().collect();
    if own.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    if own.iter().any(|m| matches!(m.kind(), MatchType::Equal | MatchType::Regex)) {
        return Ok(own);
    }
    let mut all = vec![regex(METRIC_NAME, ".+_info")?];
    all.extend(own);
    Ok(all)
}

fn identity(labels: &Labels) -> Vec<(String, String)> {
    IDENTIFYING.iter().filter_map(|l| labels.get(l).map(|v| ((*l).to_owned(), v.to_owned()))).collect()
}

impl Info {
    fn fetch(
        &self,
        base: &[StepSeries],
        ignored: &HashSet<Labels>,
        names: &[Matcher],
        cx: &mut Cx,
    ) -> Result<Vec<InfoSeries>> {
        let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for s in base.iter().filter(|s| !ignored.contains(&s.labels)) {
            for label in IDENTIFYING {
                if let Some(value) = s.labels.get(label) {
                    values.entry(label).or_default().insert(value);
                }
            }
        }
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut matchers = Vec::new();
        for (label, values) in values {
            // Twice each text, and twice that when every character is quoted.
            let bytes = values.iter().map(|v| 4 * v.len() + ENTRY_BYTES).sum();
            cx.hold(0, bytes)?;
            let quoted: Vec<String> = values.into_iter().map(quote).collect();
            matchers.push(regex(label, &quoted.join("|"))?);
            cx.release(0, bytes);
        }
        let given = self.matchers.iter().flat_map(|m| m.iter());
        matchers.extend(given.filter(|m| m.name() != METRIC_NAME).cloned());
        matchers.extend(names.iter().cloned());
        let plan = SelectPlan {
            matchers: matchers.into(),
            offset_ms: self.offset_ms,
            at_ms: self.at_ms,
            unseen_ms: 0,
            anchored: false,
            smoothed: false,
            within_ms: None,
            hint: Some(Arc::from("info")),
            stats_only: false,
            shared: OnceLock::new(),
            labels: OnceLock::new(),
            span: promql_syntax::Span::default(),
        };
        let looks = plan.looks(self.grid, cx.lookback_ms, 0);
        let select = cx.select(looks.range(), &plan, Reads::Count, None);
        let mut fetch = Fetch::start(cx, &plan, select);
        let mut decoder = Decoder::new(Reads::Count, cx);
        let mut samples = Samples::default();
        let mut out = Vec::new();
        while let Some(series) = fetch.next(cx)? {
            decoder.series(&series, looks, &mut samples, cx)?;
            if !samples.histograms.is_empty() {
                let text =
                    format!("this should be an info metric, with float samples: {}", shown_labels(&series.labels));
                return Err(QueryError::Execution(text));
            }
            let times = (0..self.grid.steps()).map(|i| {
                let at = self.at_ms.unwrap_or_else(|| self.grid.time(i)) - self.offset_ms;
                let next = samples.column.times.partition_point(|t| *t <= at);
                let shown = if samples.holds(next, aligned(at)) { next } else { next.checked_sub(1)? };
                let (t, v) = (samples.column.times[shown].min(at), samples.column.values[shown]);
                (t > at - cx.lookback_ms && !model::is_stale(v)).then_some(t)
            });
            let times: Vec<Option<i64>> = times.collect();
            cx.work(times.len())?;
            if times.iter().any(Option::is_some) {
                // The labels are held twice: what series are found by is copied.
                cx.hold(times.len(), times.len() * TIME_BYTES + 2 * series.labels.size_bytes() + 2 * ENTRY_BYTES)?;
                out.push(InfoSeries { labels: series.labels, times });
            }
        }
        Ok(out)
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let mut base = Vec::new();
        while let Some(series) = cx.next(&mut self.inner)? {
            cx.hold_series(&series)?;
            base.push(series);
        }
        let given: Vec<Matcher> = self.matchers.iter().flat_map(|m| m.iter().cloned()).collect();
        let names = name_matchers(&given)?;
        let is_info = |l: &Labels| names.iter().all(|m| m.matches(l.metric_name()));
        let ignored: HashSet<Labels> = base.iter().filter(|s| is_info(&s.labels)).map(|s| s.labels.clone()).collect();
        let infos = self.fetch(&base, &ignored, &names, cx)?;
        let data: Vec<&Matcher> = given.iter().filter(|m| m.name() != METRIC_NAME).collect();
        let mut by_key: HashMap<Key, Vec<usize>> = HashMap::new();
        let mut metrics: BTreeSet<String> = BTreeSet::new();
        for (n, info) in infos.iter().enumerate() {
            let name = info.labels.metric_name().to_owned();
            metrics.insert(name.clone());
            by_key.entry((name, identity(&info.labels))).or_default().push(n);
        }
        // Which info series counts at each step: the one with the newest sample.
        let mut chosen: HashMap<&Key, Vec<Option<usize>>> = HashMap::new();
        for (key, list) in &by_key {
            cx.hold(0, self.grid.steps() * TIME_BYTES)?;
            let mut steps = vec![None; self.grid.steps()];
            for (i, slot) in steps.iter_mut().enumerate() {
                cx.work(list.len())?;
                let mut best: Option<(i64, usize)> = None;
                for n in list {
                    let Some(t) = infos[*n].times[i] else { continue };
                    match best {
                        Some((have, other)) if have == t => {
                            let (a, b) = (shown_labels(&infos[other].labels), shown_labels(&infos[*n].labels));
                            return Err(QueryError::Execution(format!(
                                "found duplicate series for info metric: existing {a} @ {t}, new {b} @ {t}"
                            )));
                        }
                        Some((have, _)) if have > t => {}
                        _ => best = Some((t, *n)),
                    }
                }
                *slot = best.map(|(_, n)| n);
            }
            chosen.insert(key, steps);
        }
        let must_match = data.iter().any(|m| !m.matches_empty());
        let mut out = Collector::default();
        for series in base {
            cx.release_series(&series);
            cx.work(series.labels.size_bytes())?;
            if ignored.contains(&series.labels) {
                out.add(series, cx)?;
                continue;
            }
            let keys: Vec<Key> = metrics.iter().map(|m| (m.clone(), identity(&series.labels))).collect();
            let mut parts: Vec<(Vec<usize>, StepColumn)> = Vec::new();
            let floats = series.column.floats().map(|(i, v)| (i, Value::Float(v)));
            let histograms = series.column.native_histograms.iter().map(|(i, h)| (*i as usize, Value::Histogram(h)));
            for (i, value) in floats.chain(histograms) {
                let found: Vec<usize> = keys.iter().filter_map(|k| chosen.get(k).and_then(|steps| steps[i])).collect();
                if found.is_empty() && must_match {
                    continue;
                }
                cx.work(parts.len() + keys.len())?;
                let at = match parts.iter().position(|(f, _)| *f == found) {
                    Some(at) => at,
                    None => {
                        let column = StepColumn::absent(self.grid.steps());
                        cx.hold(0, column.size_bytes())?;
                        parts.push((found, column));
                        parts.len() - 1
                    }
                };
                match value {
                    Value::Float(v) => parts[at].1.set(i, v),
                    Value::Histogram(h) => parts[at].1.native_histograms.push((i as u32, h.clone())),
                }
            }
            for (found, column) in parts {
                cx.release(0, column.size_bytes());
                let infos: Vec<&Labels> = found.iter().map(|n| &infos[*n].labels).collect();
                let size = infos.iter().fold(series.labels.size_bytes(), |sum, l| sum + 2 * l.size_bytes());
                let labels = cx.make_labels(size, || enrich(&series.labels, infos.into_iter(), &data))??;
                out.add(StepSeries { labels, drop_name: series.drop_name, column }, cx)?;
            }
        }
        Ok(out.finish(cx))
    }
}

/// `base` with the data labels of `infos`.
fn enrich<'a>(base: &Labels, infos: impl Iterator<Item = &'a Labels>, data: &[&Matcher]) -> Result<Labels> {
    let mut added = Builder::new();
    for info in infos {
        for (name, value) in info {
            if name == METRIC_NAME || (!data.is_empty() && !data.iter().any(|m| m.name() == name)) {
                continue;
            }
            let have = added.value(name);
            if !have.is_empty() && have != value {
                return Err(QueryError::Execution(format!("conflicting label: {name}")));
            }
            if base.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    let mut builder = Builder::from_labels(base);
    for (name, value) in added.iter() {
        builder.set(name, value);
    }
    Ok(builder.build())
}

/// The text as a regular expression that matches only it.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl Operator for Info {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}
