//! `limitk` and `limit_ratio`: some of the series, always the same ones.

use promql_syntax::Span;
use xxhash_rust::xxh64::Xxh64;

use super::Grouping;
use crate::QueryError;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::scalar::ScalarOp;
use crate::series::{StepSeries, bits};

/// The first k of each group that have a sample at a step.
pub(crate) struct LimitK {
    inner: Stream,
    grouping: Grouping,
    param: Option<ScalarOp>,
    k: Option<Vec<i64>>,
    /// Per group and step, how many are out already.
    taken: Vec<Vec<i64>>,
}

impl LimitK {
    pub fn new(inner: Stream, grouping: Grouping, param: ScalarOp) -> Self {
        Self { inner, grouping, param: Some(param), k: None, taken: Vec::new() }
    }
}

impl Operator for LimitK {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if let Some(param) = self.param.take() {
            self.k = super::checked_k(param, cx)?;
        }
        while let Some(mut series) = cx.next(&mut self.inner)? {
            let Some(k) = &self.k else { continue };
            let (at, new) = self.grouping.of(&series.labels, cx)?;
            if new {
                cx.hold(0, k.len() * 8)?;
                self.taken.push(vec![0; k.len()]);
            }
            let taken = &mut self.taken[at];
            let steps: Vec<usize> = bits(&series.column.present).collect();
            for i in steps {
                if taken[i] < k[i] {
                    taken[i] += 1;
                } else {
                    series.column.unset(i);
                }
            }
            series.column.native_histograms.retain(|(i, _)| {
                let i = *i as usize;
                let room = taken[i] < k[i];
                taken[i] += i64::from(room);
                room
            });
            if !series.column.is_empty() {
                return Ok(Some(series));
            }
            cx.recycle(series.column);
        }
        Ok(None)
    }
}

/// The series whose hash falls into the asked share.
pub(crate) struct LimitRatio {
    inner: Stream,
    param: Option<ScalarOp>,
    span: Span,
    ratio: Vec<f64>,
}

impl LimitRatio {
    pub fn new(inner: Stream, param: ScalarOp, span: Span) -> Self {
        Self { inner, param: Some(param), span, ratio: Vec::new() }
    }
}

impl Operator for LimitRatio {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if let Some(mut param) = self.param.take() {
            self.ratio = param.eval(cx)?;
            if self.ratio.iter().any(|r| r.is_nan()) {
                return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
            }
            let max = self.ratio.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let min = self.ratio.iter().copied().fold(f64::INFINITY, f64::min);
            if max > 1.0 {
                cx.annotations.bad_ratio(max, 1.0, self.span);
            }
            if min < -1.0 {
                cx.annotations.bad_ratio(min, -1.0, self.span);
            }
        }
        while let Some(mut series) = cx.next(&mut self.inner)? {
            let offset = label_hash(&series.labels) as f64 / u64::MAX as f64;
            let ratio = &self.ratio;
            let chosen = |i: usize| {
                let r = ratio[i].clamp(-1.0, 1.0);
                r != 0.0 && ((r >= 0.0 && offset < r) || (r < 0.0 && offset >= 1.0 + r))
            };
            let steps: Vec<usize> = bits(&series.column.present).collect();
            for i in steps {
                if !chosen(i) {
                    series.column.unset(i);
                }
            }
            series.column.native_histograms.retain(|(i, _)| chosen(*i as usize));
            if !series.column.is_empty() {
                return Ok(Some(series));
            }
            cx.recycle(series.column);
        }
        Ok(None)
    }
}

/// `labels.Labels.Hash` of a default build of Prometheus: XXH64 over length-prefixed names and values, the length one
/// byte below 255, else 0xFF and three bytes, little endian.
fn label_hash(labels: &labels::Labels) -> u64 {
    let mut hasher = Xxh64::new(0);
    for (name, value) in labels {
        for text in [name, value] {
            if text.len() < 255 {
                hasher.update(&[text.len() as u8]);
            } else {
                let n = (text.len() as u32).to_le_bytes();
                hasher.update(&[255, n[0], n[1], n[2]]);
            }
            hasher.update(text.as_bytes());
        }
    }
    hasher.digest()
}
