//! `sum`, `avg`, `count`, `min`, `max`, `group`, `stddev`, `stdvar`: one pass, a few columns per group.

use promql_syntax::{AggregateOp, Span};

use super::Grouping;
use super::native::NativeGroup;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::functions::kahan::{self, Mean};
use crate::merge::Ready;
use crate::notes::Notes;
use crate::series::{StepSeries, bits};
use crate::{Grid, StepColumn};

/// A group's running state, one entry per step.
enum State {
    Sum(Vec<f64>),
    Avg(Vec<Mean>),
    /// Value alone: count, min, max, group.
    Plain,
    /// count, mean; the column holds the sum of squared distances
    Variance(Vec<(f64, f64)>),
}

/// The most that a group holds each step.
const STEP_BYTES: usize = 40;

struct Group {
    column: StepColumn,
    state: State,
    drop_name: bool,
    /// Sums or means of native histograms, as soon as there are some.
    native: Option<NativeGroup>,
}

pub(crate) struct Fold {
    op: AggregateOp,
    inner: Stream,
    grouping: Grouping,
    /// Place of what is aggregated.
    span: Span,
    grid: Grid,
    done: Ready,
}

impl Fold {
    pub fn new(op: AggregateOp, inner: Stream, grouping: Grouping, span: Span, grid: Grid) -> Self {
        Self { op, inner, grouping, span, grid, done: Ready::default() }
    }

    fn drain(&mut self, cx: &mut Cx) -> Result<Vec<StepSeries>> {
        let steps = self.grid.steps();
        let mut groups: Vec<Group> = Vec::new();
        while let Some(series) = cx.next(&mut self.inner)? {
            let (at, new) = self.grouping.of(&series.labels, cx)?;
            if new {
                let state = match self.op {
                    AggregateOp::Sum => State::Sum(vec![0.0; steps]),
                    AggregateOp::Avg => State::Avg(vec![Mean::default(); steps]),
                    AggregateOp::Stddev | AggregateOp::Stdvar => State::Variance(vec![(0.0, 0.0); steps]),
                    _ => State::Plain,
                };
                cx.hold(steps, steps * STEP_BYTES + size_of::<Group>())?;
                groups.push(Group { column: StepColumn::absent(steps), state, drop_name: false, native: None });
            }
            let group = &mut groups[at];
            group.drop_name |= series.drop_name;
            fold(self.op, group, &series.column);
            if !series.column.native_histograms.is_empty() {
                native(self.op, group, &series, self.span, cx)?;
            }
            cx.recycle(series.column);
        }
        let mut out = Vec::with_capacity(groups.len());
        for (group, labels) in groups.into_iter().zip(self.grouping.finish(cx)) {
            let Group { mut column, state, drop_name, native } = group;
            cx.release(steps, steps * STEP_BYTES + size_of::<Group>());
            cx.work(steps)?;
            finish(self.op, &mut column, state);
            if let Some(native) = native {
                let mut notes = Notes::default();
                native.finish(&mut column, &mut notes, cx)?;
                cx.annotations.notes(notes, "", self.span);
            }
            if !column.is_empty() {
                let series = StepSeries { labels, drop_name, column };
                cx.hold_series(&series)?;
                out.push(series);
            }
        }
        Ok(out)
    }
}

impl Operator for Fold {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if !self.done.is_filled() {
            let all = self.drain(cx)?;
            self.done.fill(all);
        }
        Ok(self.done.next(cx))
    }
}

/// Calls `f(step, value, is the group's first at this step)` for each sample of `input`, marking the steps.
#[inline(always)]
fn each(out: &mut StepColumn, input: &StepColumn, mut f: impl FnMut(&mut f64, usize, f64, bool)) {
    for (w, (mine, theirs)) in out.present.iter_mut().zip(&input.present).enumerate() {
        let before = *mine;
        *mine |= *theirs;
        let base = w * 64;
        if *theirs == u64::MAX {
            let values = &input.values[base..base + 64];
            let outs = &mut out.values[base..base + 64];
            if before == u64::MAX {
                for (i, (o, v)) in outs.iter_mut().zip(values).enumerate() {
                    f(o, base + i, *v, false);
                }
                continue;
            }
            for (i, (o, v)) in outs.iter_mut().zip(values).enumerate() {
                f(o, base + i, *v, before & (1 << i) == 0);
            }
            continue;
        }
        let mut rest = *theirs;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let i = base + bit;
            f(&mut out.values[i], i, input.values[i], before & (1 << bit) == 0);
        }
    }
}

/// Adds the samples of `input` to the sums, of which `lost` has what they have lost so far.
fn add_up(out: &mut StepColumn, lost: &mut [f64], input: &StepColumn) {
    let steps = out.values.len().min(input.values.len());
    for (w, (mine, theirs)) in out.present.iter_mut().zip(&input.present).enumerate() {
        let before = std::mem::replace(mine, *mine | *theirs);
        let base = w * 64;
        let all = base..steps.min(base + 64);
        // As most often: a word of steps that have samples in both.
        if !all.is_empty() && before & theirs == u64::MAX >> (64 - all.len()) {
            kahan::add_each(&input.values[all.clone()], &mut out.values[all.clone()], &mut lost[all]);
            continue;
        }
        let mut rest = *theirs;
        while rest != 0 {
            let bit = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            let (i, v) = (base + bit, input.values[base + bit]);
            if before & (1 << bit) == 0 {
                out.values[i] = v;
            } else {
                (out.values[i], lost[i]) = kahan::add(v, out.values[i], lost[i]);
            }
        }
    }
}

fn fold(op: AggregateOp, group: &mut Group, input: &StepColumn) {
    let out = &mut group.column;
    match (&mut group.state, op) {
        (State::Sum(compensation), _) => add_up(out, compensation, input),
        (State::Avg(means), _) => each(out, input, |_, i, v, _| means[i].push(v)),
        (State::Variance(state), _) => each(out, input, |squares, i, v, first| {
            let (count, mean) = &mut state[i];
            if first {
                (*count, *mean) = (1.0, v);
                *squares = if v.is_finite() { 0.0 } else { f64::NAN };
                return;
            }
            *count += 1.0;
            let delta = v - *mean;
            *mean += delta / *count;
            *squares += delta * (v - *mean);
        }),
        (State::Plain, AggregateOp::Count) => {
            each(out, input, |n, _, _, first| *n = if first { 1.0 } else { *n + 1.0 });
        }
        (State::Plain, AggregateOp::Min) => each(out, input, |best, _, v, first| {
            if first || *best > v || best.is_nan() {
                *best = v;
            }
        }),
        (State::Plain, AggregateOp::Max) => each(out, input, |best, _, v, first| {
            if first || *best < v || best.is_nan() {
                *best = v;
            }
        }),
        (State::Plain, _) => {
            each(out, input, |one, _, _, _| *one = 1.0);
        }
    }
}

/// Takes the native histograms of a series into its group.
fn native(op: AggregateOp, group: &mut Group, series: &StepSeries, span: Span, cx: &mut Cx) -> Result<()> {
    let out = &mut group.column;
    match op {
        AggregateOp::Sum | AggregateOp::Avg => {
            let native = match &mut group.native {
                Some(native) => native,
                none => none.insert(NativeGroup::new(out.steps(), cx)?),
            };
            let mut notes = Notes::default();
            native.add(op, &series.column, &mut notes, cx)?;
            // A name that is to be dropped may still be there.
            let name = if series.drop_name && !cx.delayed() { "" } else { series.labels.metric_name() };
            cx.annotations.notes(notes, name, span);
        }
        AggregateOp::Count => {
            for (i, _) in &series.column.native_histograms {
                let n = out.get(*i as usize).unwrap_or(0.0);
                out.set(*i as usize, n + 1.0);
            }
        }
        AggregateOp::Group => series.column.native_histograms.iter().for_each(|(i, _)| out.set(*i as usize, 1.0)),
        _ => cx.annotations.histogram_ignored(op.as_str(), span),
    }
    Ok(())
}

fn finish(op: AggregateOp, column: &mut StepColumn, state: State) {
    let StepColumn { values, present, .. } = column;
    match state {
        State::Sum(compensation) => values.iter_mut().zip(compensation).for_each(|(v, c)| *v += c),
        State::Avg(means) => bits(present).for_each(|i| values[i] = means[i].value()),
        State::Variance(state) => bits(present).for_each(|i| {
            values[i] /= state[i].0;
            if op == AggregateOp::Stddev {
                values[i] = values[i].sqrt();
            }
        }),
        State::Plain => {}
    }
}
