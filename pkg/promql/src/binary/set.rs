//! `and`, `or`, `unless`: of one side only which match groups are present at which steps is kept; series stream.

use promql_syntax::{BinaryOp, Matching};

use super::matching::Signatures;
use crate::Grid;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::series::StepSeries;

pub(crate) struct SetOp {
    op: BinaryOp,
    lhs: Stream,
    rhs: Stream,
    signatures: Signatures,
    /// Per match group, the steps at which the one side has a sample.
    present: Vec<Vec<u64>>,
    words: usize,
    /// `and`, `unless`: the right side is read. `or`: the left side is.
    first_done: bool,
}

impl SetOp {
    pub fn new(op: BinaryOp, lhs: Stream, rhs: Stream, matching: &Matching, grid: Grid) -> Self {
        Self {
            op,
            lhs,
            rhs,
            signatures: Signatures::new(matching),
            present: Vec::new(),
            words: grid.steps().div_ceil(64),
            first_done: false,
        }
    }

    /// QueryAnnotations where `series` has samples; gives what its group has.
    fn note(&mut self, series: &StepSeries, cx: &mut Cx) -> Result<()> {
        let number = self.signatures.number(&series.labels, cx)?;
        while self.present.len() < self.signatures.len() {
            cx.hold(0, self.words * 8 + 64)?;
            self.present.push(vec![0; self.words]);
        }
        let present = &mut self.present[number];
        present.iter_mut().zip(&series.column.present).for_each(|(a, b)| *a |= b);
        for (i, _) in &series.column.native_histograms {
            present[*i as usize >> 6] |= 1 << (i & 63);
        }
        Ok(())
    }

    /// Keeps of `series` the steps at which its group is present (`present`) or is not.
    fn mask(&self, series: &mut StepSeries, when_present: bool) {
        let none = Vec::new();
        let group = self.signatures.find(&series.labels).and_then(|n| self.present.get(n)).unwrap_or(&none);
        for (w, word) in series.column.present.iter_mut().enumerate() {
            let have = group.get(w).copied().unwrap_or(0);
            *word &= if when_present { have } else { !have };
        }
        series.column.native_histograms.retain(|(i, _)| {
            let have = group.get(*i as usize >> 6).is_some_and(|w| w & (1 << (i & 63)) != 0);
            have == when_present
        });
    }
}

impl Operator for SetOp {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if self.op == BinaryOp::Or {
            if !self.first_done {
                if let Some(series) = cx.next(&mut self.lhs)? {
                    self.note(&series, cx)?;
                    return Ok(Some(series));
                }
                self.first_done = true;
            }
            while let Some(mut series) = cx.next(&mut self.rhs)? {
                self.mask(&mut series, false);
                if !series.column.is_empty() {
                    return Ok(Some(series));
                }
                cx.recycle(series.column);
            }
            return Ok(None);
        }
        if !self.first_done {
            while let Some(series) = cx.next(&mut self.rhs)? {
                self.note(&series, cx)?;
                cx.recycle(series.column);
            }
            self.first_done = true;
        }
        while let Some(mut series) = cx.next(&mut self.lhs)? {
            self.mask(&mut series, self.op == BinaryOp::And);
            if !series.column.is_empty() {
                return Ok(Some(series));
            }
            cx.recycle(series.column);
        }
        Ok(None)
    }
}
