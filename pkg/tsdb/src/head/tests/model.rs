//! Random histories of a head beside a simple model of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::model::TimeRange;
use proptest::prelude::*;

use super::common::{Read, START_MS as T, begin, floats, parts, read_matching, resolve};
use crate::head::{Head, HeadOptions, MemoryChunks};

const WINDOW: i64 = 3_000;
const RANGE: i64 = 4_000;

#[derive(Debug, Clone)]
enum Step {
    /// Samples (series, time, value) of one transaction, which is committed or given up.
    Write(Vec<(u8, i64, u8)>, bool),
    Map,
    /// Gives up what is older than this much before the newest.
    Truncate(i64),
    Delete(u8, i64, i64),
    CutLate,
    Read(i64, i64),
}

fn step() -> impl Strategy<Value = Step> {
    let rows = prop::collection::vec((0u8..5, -200i64..600, 0u8..4), 1..60);
    prop_oneof![
        6 => (rows, prop::bool::weighted(0.85)).prop_map(|(rows, commit)| Step::Write(rows, commit)),
        2 => Just(Step::Map),
        1 => (2_000i64..9_000).prop_map(Step::Truncate),
        1 => (0u8..5, 0i64..3_000, 0i64..500).prop_map(|(s, back, len)| Step::Delete(s, back, len)),
        1 => Just(Step::CutLate),
        3 => (0i64..8_000, 0i64..4_000).prop_map(|(back, len)| Step::Read(back, len)),
    ]
}

/// Samples by series and time.
type Model = BTreeMap<u8, BTreeMap<i64, u8>>;

struct Twins {
    head: Head,
    chunks: Arc<MemoryChunks>,
    model: Model,
    /// Times of a series that were deleted: what is written there later stays hidden until the head lets go of it, as in
    /// Prometheus, so nothing is.
    deleted: Vec<(u8, TimeRange)>,
    now: i64,
}

impl Twins {
    async fn write(&mut self, rows: &[(u8, i64, u8)], commit: bool) {
        let mut appender = begin(&self.head);
        let mut taken = self.model.clone();
        let (mut batch, mut labels) = (Vec::new(), BTreeMap::new());
        let mut time = self.now;
        let is_deleted = |series: u8, at: i64| self.deleted.iter().any(|(s, range)| *s == series && range.contains(at));
        let mut written = Vec::new();
        for (series, step, value) in rows {
            if is_deleted(*series, time + step) {
                continue;
            }
            written.push(*series);
            let name = series.to_string();
            let found = *labels.entry(*series).or_insert_with(|| resolve(&mut *appender, &[("s", &name)]));
            batch.push((found, time + step, f64::from(*value)));
            time += step.max(&0) / 4;
        }
        let refused: Vec<usize> = floats(&mut *appender, &batch).into_iter().map(|r| r.row).collect();
        for (n, (series, (_, time, value))) in written.iter().zip(&batch).enumerate() {
            if !refused.contains(&n) {
                let old = taken.entry(*series).or_default().insert(*time, *value as u8);
                assert!(old.is_none_or(|old| old == *value as u8), "another value of a time was taken");
            }
        }
        if commit {
            let committed = appender.commit().await.unwrap();
            assert_eq!(committed.refused, [], "nobody else writes");
            let count = |model: &Model| model.values().map(BTreeMap::len).sum::<usize>();
            assert_eq!(committed.samples, count(&taken) - count(&self.model));
            self.model = taken;
            self.now = self.now.max(batch.iter().map(|b| b.1).max().unwrap_or(self.now));
        } else {
            appender.rollback();
        }
    }

    async fn check(&self, range: TimeRange) {
        let got = read_matching(&self.head, range, vec![]).await;
        let mut right: BTreeMap<String, Read> = BTreeMap::new();
        for (series, samples) in &self.model {
            let inside = samples.iter().filter(|(t, _)| range.contains(**t));
            let floats: Vec<_> = inside.map(|(t, v)| (*t, f64::from(*v).to_bits())).collect();
            if !floats.is_empty() {
                right.insert(format!("{{s=\"{series}\"}}"), Read { floats, histograms: vec![] });
            }
        }
        // A chunk of a series may reach into the range without a sample of it there.
        let got: BTreeMap<_, _> = got.into_iter().filter(|(_, read)| !read.floats.is_empty()).collect();
        assert_eq!(got, right, "{range:?}");
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Write(rows, commit) => self.write(&rows, commit).await,
            Step::Map => {
                self.head.map_full_chunks(&*self.chunks).await.unwrap();
            }
            Step::Truncate(back) => self.truncate(self.now - back).await,
            Step::Delete(series, back, len) => {
                let range = TimeRange::new(self.now - back, self.now - back + len);
                let matcher = labels::Matcher::equal("s", series.to_string());
                self.head.delete(range, vec![matcher]).await.unwrap();
                self.deleted.push((series, TimeRange::new(range.min, range.max.min(self.now))));
                if let Some(samples) = self.model.get_mut(&series) {
                    samples.retain(|t, _| !range.contains(*t));
                }
            }
            Step::CutLate => {
                let cut = self.head.cut_out_of_order().unwrap();
                for found in cut.range(i64::MIN, i64::MAX) {
                    let (labels, chunks) = found.unwrap();
                    let series: u8 = labels.value("s").parse().unwrap();
                    for chunk in chunks {
                        let mut column = chunkenc::Column::new();
                        chunkenc::decode_floats(chunk.encoding, &chunk.data, &mut column).unwrap();
                        for (time, value) in column.iter() {
                            let gone = self.model.get_mut(&series).and_then(|s| s.remove(&time));
                            assert_eq!(gone, Some(value as u8), "a late sample that nobody wrote");
                        }
                    }
                }
                cut.finish();
            }
            Step::Read(back, len) => self.check(TimeRange::new(self.now - back, self.now - back + len)).await,
        }
        self.check(TimeRange::ALL).await;
    }

    /// What goes is what is whole chunks before the time: the model asks what is left, and holds that it is no less.
    async fn truncate(&mut self, min_ms: i64) {
        let before = read_matching(&self.head, TimeRange::ALL, vec![]).await;
        self.head.truncate(min_ms);
        let after = read_matching(&self.head, TimeRange::ALL, vec![]).await;
        for (labels, before) in before {
            let left = after.get(&labels).cloned().unwrap_or_default().floats;
            assert!(left.iter().all(|s| before.floats.contains(s)));
            let newer = |list: &[(i64, u64)]| list.iter().filter(|(t, _)| *t >= min_ms).count();
            assert_eq!(newer(&left), newer(&before.floats), "{labels}: newer samples went");
            let series: u8 = labels.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
            if let Some(samples) = self.model.get_mut(&series) {
                samples.retain(|t, _| left.iter().any(|(time, _)| time == t));
            }
        }
    }
}

fn run(window_ms: i64, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let options = HeadOptions {
            chunk_range_ms: RANGE,
            out_of_order_window_ms: window_ms,
            out_of_order_samples_max: 5,
            ..HeadOptions::default()
        };
        let chunks = Arc::new(MemoryChunks::default());
        let head = Head::new(parts(chunks.clone()), options);
        let mut twins = Twins { head, chunks, model: Model::new(), deleted: Vec::new(), now: T };
        for step in steps {
            twins.run(step).await;
        }
        let head = &twins.head;
        let real = head.core.count_chunks();
        assert_eq!(head.chunks(), real, "the count of chunks");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn a_head_in_order_is_a_map(steps in prop::collection::vec(step(), 1..40)) {
        run(0, steps);
    }

    #[test]
    fn a_head_that_takes_late_samples_is_a_map(steps in prop::collection::vec(step(), 1..40)) {
        run(WINDOW, steps);
    }
}
