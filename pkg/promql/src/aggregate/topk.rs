//! `topk` and `bottomk`: a heap of k per group and step. Only winners' values are kept.
//!
//! The heap is Go's `container/heap`, move for move, so that among equal values the same series win as in Prometheus.

use hashbrown::HashMap;
use promql_syntax::Span;

use super::Grouping;
use crate::Grid;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::merge::{ENTRY_BYTES, Ready};
use crate::scalar::ScalarOp;
use crate::series::StepSeries;

/// A value and the number of its series.
type Entry = (f64, u32);

pub(crate) struct TopK {
    top: bool,
    inner: Stream,
    grouping: Grouping,
    param: Option<ScalarOp>,
    /// Place of the aggregation.
    span: Span,
    grid: Grid,
    done: Ready,
}

impl TopK {
    pub fn new(top: bool, inner: Stream, grouping: Grouping, param: ScalarOp, span: Span, grid: Grid) -> Self {
        Self { top, inner, grouping, param: Some(param), span, grid, done: Ready::default() }
    }

    /// Whether `a` belongs above `b` in the heap, whose top is the first to go.
    fn less(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.top { a < b } else { a > b }
    }

    fn sift_up(&self, heap: &mut [Entry], mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.less(heap[at].0, heap[parent].0) {
                break;
            }
            heap.swap(at, parent);
            at = parent;
        }
    }

    fn sift_down(&self, heap: &mut [Entry], mut at: usize) {
        loop {
            let left = 2 * at + 1;
            if left >= heap.len() {
                break;
            }
            let mut child = left;
            let right = left + 1;
            if right < heap.len() && self.less(heap[right].0, heap[left].0) {
                child = right;
            }
            if !self.less(heap[child].0, heap[at].0) {
                break;
            }
            heap.swap(at, child);
            at = child;
        }
    }

    fn offer(&self, heap: &mut Vec<Entry>, k: usize, entry: Entry) {
        if heap.len() < k {
            heap.push(entry);
            let last = heap.len() - 1;
            self.sift_up(heap, last);
            return;
        }
        let worst = heap[0].0;
        let better = if self.top { worst < entry.0 } else { worst > entry.0 };
        if better || (worst.is_nan() && !entry.0.is_nan()) {
            heap[0] = entry;
            if k > 1 {
                self.sift_down(heap, 0);
            }
        }
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let Some(param) = self.param.take() else { return Ok(Vec::new()) };
        let k = super::checked_k(param, cx)?;
        let steps = self.grid.steps();
        let mut labels: Vec<(labels::Labels, bool)> = Vec::new();
        let mut heaps: Vec<Vec<Vec<Entry>>> = Vec::new();
        let (mut samples, mut bytes) = (0, 0);
        let mut hold = |count: usize, size: usize, cx: &mut Cx| {
            samples += count;
            bytes += size;
            cx.hold(count, size)
        };
        while let Some(series) = cx.next(&mut self.inner)? {
            let Some(k) = &k else { continue };
            if series.column.native_histograms.iter().any(|(i, _)| k[*i as usize] >= 1) {
                cx.annotations.histogram_ignored(if self.top { "topk" } else { "bottomk" }, self.span);
            }
            let number = labels.len() as u32;
            let (at, new) = self.grouping.of(&series.labels, cx)?;
            if new {
                hold(0, steps * size_of::<Vec<Entry>>(), cx)?;
                heaps.push(vec![Vec::new(); steps]);
            }
            for (i, v) in series.column.floats() {
                if k[i] >= 1 {
                    let wanted = usize::try_from(k[i]).unwrap_or(usize::MAX);
                    let heap = &mut heaps[at][i];
                    if heap.len() == heap.capacity() && heap.len() < wanted {
                        // The capacity doubles, to 4 at least.
                        hold(1, heap.len().max(4) * size_of::<Entry>(), cx)?;
                    }
                    self.offer(heap, wanted, (v, number));
                }
            }
            hold(0, series.labels.size_bytes() + ENTRY_BYTES, cx)?;
            labels.push((series.labels, series.drop_name));
            cx.recycle(series.column);
        }
        let mut numbers: HashMap<u32, usize> = HashMap::new();
        let mut out: Vec<StepSeries> = Vec::new();
        for group in heaps {
            for (step, mut heap) in group.into_iter().enumerate() {
                cx.work(heap.len() + 1)?;
                // The heap keeps the worst on top; the answer begins with the best, NaN last.
                heap.sort_by(|a, b| match (self.less(a.0, b.0), self.less(b.0, a.0)) {
                    (true, true) | (false, false) => std::cmp::Ordering::Equal,
                    (true, false) => std::cmp::Ordering::Greater,
                    (false, true) => std::cmp::Ordering::Less,
                });
                for (v, number) in heap {
                    let at = match numbers.get(&number) {
                        Some(at) => *at,
                        None => {
                            let (labels, drop_name) = labels[number as usize].clone();
                            let series = StepSeries { labels, drop_name, column: crate::StepColumn::absent(steps) };
                            cx.hold(0, series.size_bytes())?;
                            out.push(series);
                            numbers.insert(number, out.len() - 1);
                            out.len() - 1
                        }
                    };
                    out[at].column.set(step, v);
                }
            }
        }
        self.grouping.finish(cx);
        cx.release(samples, bytes);
        for series in &out {
            cx.hold(series.column.count(), 0)?;
        }
        Ok(out)
    }
}

impl Operator for TopK {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}
