//! `sort`, `sort_desc`, `sort_by_label`, `sort_by_label_desc`; without effect on range queries, which sort by labels.

use std::cmp::Ordering;

use crate::Grid;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::merge::Ready;
use crate::series::StepSeries;
use crate::sorting::sort_by;

#[derive(Debug, Clone)]
pub(crate) enum SortOrder {
    Value { descending: bool },
    Labels { labels: Vec<String>, descending: bool },
}

pub(crate) struct SortOp {
    inner: Stream,
    order: SortOrder,
    grid: Grid,
    ready: Ready,
}

impl SortOp {
    pub fn new(inner: Stream, order: SortOrder, grid: Grid) -> Self {
        Self { inner, order, grid, ready: Ready::default() }
    }
}

impl Operator for SortOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.grid.steps() != 1 {
            return self.floats(cx);
        }
        if !self.ready.is_filled() {
            let mut all = Vec::new();
            while let Some(series) = self.floats(cx)? {
                cx.hold_series(&series)?;
                all.push(series);
            }
            match &self.order {
                SortOrder::Value { descending } => {
                    all.sort_by(|a, b| by_value(a.column.values[0], b.column.values[0], *descending));
                }
                SortOrder::Labels { labels, descending } => {
                    let by_labels = |a: &StepSeries, b: &StepSeries| {
                        let order = labels
                            .iter()
                            .map(|l| natural(a.labels.value(l), b.labels.value(l)))
                            .find(|o| o.is_ne())
                            .unwrap_or_else(|| a.labels.cmp(&b.labels));
                        if *descending { order.reverse() } else { order }
                    };
                    // Each label is looked for from the first one on.
                    sort_by(&mut all, cx, |s| s.labels.size_bytes() + 64 * labels.len(), by_labels)?;
                }
            }
            self.ready.fill(all);
        }
        Ok(self.ready.next(cx))
    }
}

impl SortOp {
    /// The next series. Native histograms have no order by value: such a sort leaves them out, in range queries too.
    fn floats(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        loop {
            let Some(mut series) = cx.next(&mut self.inner)? else { return Ok(None) };
            if let SortOrder::Value { .. } = self.order {
                series.column.native_histograms.clear();
                if series.column.is_empty() {
                    continue;
                }
            }
            return Ok(Some(series));
        }
    }
}

/// NaN comes last either way.
fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let order = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { order.reverse() } else { order }
        }
    }
}

/// Digits as numbers: `a2` before `a10`.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.is_empty(), b.is_empty()) {
            (true, true) => return Ordering::Equal,
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {}
        }
        let (x, rest_a) = chunk(a);
        let (y, rest_b) = chunk(b);
        let order = match (x.parse::<i64>(), y.parse::<i64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// The leading run of digits or of other characters, and the rest.
fn chunk(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order() {
        for (a, b, want) in [
            ("a2", "a10", Ordering::Less),
            ("10", "9", Ordering::Greater),
            ("", "a", Ordering::Less),
            ("a01", "a1", Ordering::Equal),
            ("x-1-b", "x-1-a", Ordering::Greater),
        ] {
            assert_eq!(natural(a, b), want, "{a} {b}");
        }
    }
}
