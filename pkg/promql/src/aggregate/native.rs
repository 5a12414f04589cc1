//! Sums and means of the native histograms of a group.

use histogram::{FloatHistogram, Incompatible, ResetHint};
use promql_syntax::AggregateOp;

use crate::StepColumn;
use crate::eval::{Cx, Result};
use crate::native::{Mean, Sum};
use crate::notes::{Note, Notes};

/// The histograms of a group, by step.
#[derive(Debug)]
pub(super) struct NativeGroup {
    steps: Vec<Option<Box<State>>>,
    held_bytes: usize,
}

#[derive(Debug)]
struct State {
    total: Total,
    /// Custom and exponential buckets met: there is no value.
    incompatible: bool,
    /// Hints that were seen.
    reset: bool,
    not_reset: bool,
}

#[derive(Debug)]
enum Total {
    Sum(Sum),
    Mean(Mean),
}

impl Total {
    fn new(op: AggregateOp, first: &FloatHistogram) -> Self {
        match op {
            AggregateOp::Avg => Self::Mean(Mean::new(first)),
            _ => Self::Sum(Sum::new(first)),
        }
    }

    fn add(&mut self, h: &FloatHistogram) -> std::result::Result<bool, Incompatible> {
        match self {
            Self::Sum(sum) => sum.add(h),
            Self::Mean(mean) => mean.add(h),
        }
    }

    fn value(&self) -> FloatHistogram {
        match self {
            Self::Sum(sum) => sum.value(),
            Self::Mean(mean) => mean.value(),
        }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Sum(sum) => sum.size_bytes(),
            Self::Mean(mean) => mean.size_bytes(),
        }
    }
}

impl NativeGroup {
    pub fn new(steps: usize, cx: &mut Cx) -> Result<Self> {
        let held_bytes = steps * size_of::<Option<Box<State>>>();
        cx.hold(0, held_bytes)?;
        Ok(Self { steps: std::iter::repeat_with(|| None).take(steps).collect(), held_bytes })
    }

    /// Adds the histograms of a series.
    pub fn add(&mut self, op: AggregateOp, column: &StepColumn, notes: &mut Notes, cx: &mut Cx) -> Result<()> {
        for (step, h) in column.histograms() {
            cx.work(h.positive_buckets.len() + h.negative_buckets.len() + 8)?;
            let mut bytes = 0;
            let state = match &mut self.steps[step] {
                Some(state) => {
                    if !state.incompatible {
                        let before = state.total.size_bytes();
                        match state.total.add(h) {
                            Ok(reconciled) => notes.add_if(reconciled, Note::ReconciledAggregation),
                            Err(_) => {
                                notes.add(Note::MixedSchemas);
                                state.incompatible = true;
                            }
                        }
                        bytes = state.total.size_bytes().saturating_sub(before);
                    }
                    state
                }
                none => {
                    let total = Total::new(op, h);
                    bytes = total.size_bytes() + size_of::<State>();
                    let state = State { total, incompatible: false, reset: false, not_reset: false };
                    none.insert(Box::new(state))
                }
            };
            state.reset |= h.reset_hint == ResetHint::Reset;
            state.not_reset |= h.reset_hint == ResetHint::NotReset;
            if bytes > 0 {
                cx.hold(0, bytes)?;
                self.held_bytes += bytes;
            }
        }
        Ok(())
    }

    /// Puts the histograms into `column`, which has the floats of the group; where there are both, there is no value.
    pub fn finish(self, column: &mut StepColumn, notes: &mut Notes, cx: &mut Cx) -> Result<()> {
        for (step, state) in self.steps.into_iter().enumerate() {
            let Some(state) = state else { continue };
            if column.has(step) {
                notes.add(Note::MixedGroup);
                column.unset(step);
                continue;
            }
            if state.incompatible {
                continue;
            }
            notes.add_if(state.reset && state.not_reset, Note::CollidingAggregation);
            let value = state.total.value();
            cx.work(value.positive_buckets.len() + 8)?;
            column.native_histograms.push((step as u32, std::sync::Arc::new(value)));
        }
        cx.release(0, self.held_bytes);
        Ok(())
    }
}
