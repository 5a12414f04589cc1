//! Arithmetic and comparison between two vectors. The "one" side is held by match group; the "many" side streams.

use std::collections::VecDeque;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use labels::Labels;
use promql_syntax::{BinaryOp, Cardinality, Matching, Span};

use super::arith::{arithmetic, changes_metric, compare, is_trim};
use super::matching::{Signatures, dropped_labels, match_labels, result_labels};
use super::native::{Operand, Outcome, Told, calculate};
use super::one_side::OneSide;
use crate::annotations::shown_labels;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::merge::ENTRY_BYTES;
use crate::series::{StepSeries, bits};
use crate::{Grid, QueryError, StepColumn};

/// A series of a pair: labels, and its column or, where it is missing, its fill.
type Side<'a> = (&'a Labels, Option<&'a StepColumn>, f64);

fn operand<'a>((_, column, fill): Side<'a>, i: usize) -> Operand<'a> {
    match column {
        None => Operand::Float(fill),
        Some(column) => match column.histogram(i) {
            Some(h) => Operand::Histogram(h),
            None => Operand::Float(column.values[i]),
        },
    }
}

pub(crate) struct Join {
    op: BinaryOp,
    many: Stream,
    one: Option<Stream>,
    matching: Matching,
    return_bool: bool,
    span: Span,
    grid: Grid,
    signatures: Signatures,
    /// No result has these labels, once it is known.
    dropped: Option<Vec<String>>,
    ones: OneSide,
    /// Many-to-one: the steps at which a sample was matched, by group and labels of the result.
    by_result: HashMap<(usize, Labels), Vec<u64>>,
    /// Steps with two "one" series in a group, and what to say of it. An error once the other side has any sample there.
    clash: Option<(Vec<u64>, String)>,
    many_any: Vec<u64>,
    one_any: Vec<u64>,
    ready: VecDeque<StepSeries>,
    /// The unmatched of the "one" side were given their fills.
    filled: bool,
}

impl Join {
    pub fn new(
        op: BinaryOp,
        lhs: Stream,
        rhs: Stream,
        matching: &Matching,
        return_bool: bool,
        span: Span,
        grid: Grid,
    ) -> Self {
        let (many, one) = if matching.cardinality == Cardinality::OneToMany { (rhs, lhs) } else { (lhs, rhs) };
        let words = grid.steps().div_ceil(64);
        Self {
            op,
            many,
            one: Some(one),
            signatures: Signatures::new(matching),
            matching: matching.clone(),
            return_bool,
            span,
            grid,
            dropped: None,
            ones: OneSide::new(grid),
            by_result: HashMap::new(),
            clash: None,
            many_any: vec![0; words],
            one_any: vec![0; words],
            ready: VecDeque::new(),
            filled: false,
        }
    }

    /// The fill for the missing sample of the "one" side, and of the "many" side. As in Prometheus, `fill_right` is for
    /// the "one" side even where that is the left one (`group_right`).
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        (self.matching.fill_right, self.matching.fill_left)
    }

    fn group(&mut self, labels: &Labels, cx: &mut Cx) -> Result<usize> {
        let number = self.signatures.number(labels, cx)?;
        self.ones.reach(number, cx)?;
        Ok(number)
    }

    fn read_one_side(&mut self, mut stream: Stream, cx: &mut Cx) -> Result<()> {
        while let Some(series) = cx.next(&mut stream)? {
            union(&mut self.one_any, &series.column.occupied());
            let number = self.group(&series.labels, cx)?;
            if self.clash.is_none() {
                self.find_clash(&series, number, cx)?;
            }
            self.ones.push(number, series, cx)?;
        }
        Ok(())
    }

    /// Notes the first two series of a group that share a step.
    fn find_clash(&mut self, series: &StepSeries, number: usize, cx: &mut Cx) -> Result<()> {
        let mut next = self.ones.first(number);
        while let Some(other) = next {
            cx.work(self.many_any.len())?;
            let (own, others) = (series.column.occupied(), self.ones.occupied(other));
            if intersects(&own, others) {
                let both = own.iter().zip(others).map(|(a, b)| a & b).collect();
                self.clash = Some((both, self.clash_text(&series.labels, self.ones.labels(other))));
                break;
            }
            next = self.ones.next(other);
        }
        Ok(())
    }

    fn clash_text(&self, a: &Labels, b: &Labels) -> String {
        let side = if self.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let group = shown_labels(&match_labels(a, &self.matching));
        let (a, b) = (shown_labels(a), shown_labels(b));
        let (first, second) = if a > b { (b, a) } else { (a, b) };
        format!(
            "found duplicate series for the match group {group} on the {side} hand-side of the operation: [{first}, \
             {second}];many-to-many matching not allowed: matching labels must be unique on one side"
        )
    }

    fn check_clash(&self, present: &[u64]) -> Result<()> {
        match &self.clash {
            Some((steps, text)) if intersects(steps, present) => Err(QueryError::Execution(text.clone())),
            _ => Ok(()),
        }
    }

    /// Computes one pair over `steps` and queues the result.
    fn pair(&mut self, number: usize, many: Side<'_>, one: Side<'_>, steps: &[u64], cx: &mut Cx) -> Result<()> {
        let mut column = cx.column(self.grid.steps());
        let is_native = |side: Option<&StepColumn>| side.is_some_and(|c| !c.native_histograms.is_empty());
        let calculated;
        let steps = if is_trim(self.op) || is_native(many.1) || is_native(one.1) {
            calculated = self.native(many, one, steps, &mut column, cx)?;
            &calculated[..]
        } else {
            self.floats(many, one, steps, &mut column);
            steps
        };
        let drops_now = changes_metric(self.op) || (self.return_bool && !cx.delayed());
        let dropped = self.dropped.get_or_insert_with(|| dropped_labels(&self.matching, drops_now));
        let size = many.0.size_bytes() + one.0.size_bytes();
        let labels = cx.make_labels(size, || result_labels(many.0, one.0, &self.matching, dropped))?;
        let matched = self.ones.matched(number);
        if self.matching.cardinality == Cardinality::OneToOne {
            if intersects(matched, steps) {
                return Err(QueryError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        .to_owned(),
                ));
            }
        } else {
            let words = matched.len();
            let seen = match self.by_result.entry((number, labels.clone())) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    cx.hold(0, labels.size_bytes() + words * 8 + ENTRY_BYTES)?;
                    entry.insert(vec![0; words])
                }
            };
            if intersects(seen, steps) {
                return Err(QueryError::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
                ));
            }
            union(seen, steps);
        }
        union(matched, steps);
        if column.is_empty() {
            cx.recycle(column);
        } else {
            let series = StepSeries { labels, drop_name: self.return_bool, column };
            cx.hold_series(&series)?;
            self.ready.push_back(series);
        }
        Ok(())
    }

    /// Computes `steps`, at which both sides have floats.
    fn floats(&self, many: Side<'_>, one: Side<'_>, steps: &[u64], column: &mut StepColumn) {
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        for i in bits(steps) {
            let m = many.1.map_or(many.2, |c| c.values[i]);
            let o = one.1.map_or(one.2, |c| c.values[i]);
            let (l, r) = if swapped { (o, m) } else { (m, o) };
            self.set(i, l, r, column);
        }
    }

    fn set(&self, i: usize, l: f64, r: f64, column: &mut StepColumn) {
        match compare(self.op, l, r) {
            None => column.set(i, arithmetic(self.op, l, r)),
            Some(kept) if self.return_bool => column.set(i, f64::from(u8::from(kept))),
            Some(true) => column.set(i, l),
            Some(false) => {}
        }
    }

    /// Computes `steps` where one of them may have a native histogram on a side. Gives the steps at which the operator is
    /// for what the sides have.
    fn native(
        &self,
        many: Side<'_>,
        one: Side<'_>,
        steps: &[u64],
        column: &mut StepColumn,
        cx: &mut Cx,
    ) -> Result<Vec<u64>> {
        let swapped = self.matching.cardinality == Cardinality::OneToMany;
        let mut matched = steps.to_vec();
        let mut told = Told::default();
        for i in bits(steps) {
            let (m, o) = (operand(many, i), operand(one, i));
            let (l, r) = if swapped { (o, m) } else { (m, o) };
            if let (Operand::Float(l), Operand::Float(r)) = (l, r)
                && !is_trim(self.op)
            {
                self.set(i, l, r, column);
                continue;
            }
            cx.work(64)?;
            match (calculate(self.op, l, r, &mut told), l) {
                (Outcome::None, _) => matched[i >> 6] &= !(1 << (i & 63)),
                (Outcome::Value(h), _) => column.native_histograms.push((i as u32, h)),
                (Outcome::Compared(kept), _) if self.return_bool => column.set(i, f64::from(u8::from(kept))),
                (Outcome::Compared(true), Operand::Histogram(h)) => {
                    column.native_histograms.push((i as u32, h.clone()));
                }
                (Outcome::Compared(_), _) => {}
            }
        }
        told.annotate(self.op, self.span, cx);
        Ok(matched)
    }

    fn match_many(&mut self, series: StepSeries, cx: &mut Cx) -> Result<()> {
        let occupied = series.column.occupied();
        union(&mut self.many_any, &occupied);
        self.check_clash(&occupied)?;
        let fill = self.fills().0;
        let number = match fill {
            Some(_) => Some(self.group(&series.labels, cx)?),
            None => self.signatures.find(&series.labels),
        };
        let Some(number) = number else {
            drop(occupied);
            cx.recycle(series.column);
            return Ok(());
        };
        let mut unmatched = occupied.to_vec();
        let mut next = self.ones.first(number);
        while let Some(one) = next {
            next = self.ones.next(one);
            cx.work(unmatched.len())?;
            let others = self.ones.occupied(one);
            if !intersects(&occupied, others) {
                continue;
            }
            let both: Vec<u64> = occupied.iter().zip(others).map(|(a, b)| a & b).collect();
            unmatched.iter_mut().zip(&both).for_each(|(u, b)| *u &= !b);
            let many = (&series.labels, Some(&series.column), 0.0);
            let (labels, column) = (self.ones.labels(one).clone(), self.ones.column(one, cx));
            self.pair(number, many, (&labels, Some(&column), 0.0), &both, cx)?;
            cx.recycle(column);
        }
        if let (Some(fill), true) = (fill, unmatched.iter().any(|w| *w != 0)) {
            let one = match_labels(&series.labels, &self.matching);
            self.pair(number, (&series.labels, Some(&series.column), 0.0), (&one, None, fill), &unmatched, cx)?;
        }
        drop(occupied);
        cx.recycle(series.column);
        Ok(())
    }

    /// Gives the unmatched of the "one" side their fills.
    fn fill_many(&mut self, fill: f64, cx: &mut Cx) -> Result<()> {
        // Fills bring results at steps without a sample of the "many" side, so clashes count there, too.
        let any = self.one_any.clone();
        self.check_clash(&any)?;
        for number in 0..self.ones.groups() {
            let matched = self.ones.matched(number).to_vec();
            let mut next = self.ones.first(number);
            while let Some(one) = next {
                next = self.ones.next(one);
                cx.work(matched.len() + 1)?;
                let mut steps = self.ones.occupied(one).to_vec();
                steps.iter_mut().zip(&matched).for_each(|(s, m)| *s &= !m);
                if steps.iter().any(|w| *w != 0) {
                    let (labels, column) = (self.ones.labels(one).clone(), self.ones.column(one, cx));
                    let many = match_labels(&labels, &self.matching);
                    self.pair(number, (&many, None, fill), (&labels, Some(&column), 0.0), &steps, cx)?;
                    cx.recycle(column);
                }
            }
        }
        Ok(())
    }
}

impl Operator for Join {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        if let Some(one) = self.one.take() {
            self.read_one_side(one, cx)?;
        }
        loop {
            if let Some(series) = self.ready.pop_front() {
                cx.release_series(&series);
                return Ok(Some(series));
            }
            if self.filled {
                return Ok(None);
            }
            match cx.next(&mut self.many)? {
                Some(series) => self.match_many(series, cx)?,
                None => {
                    self.filled = true;
                    if let Some(fill) = self.fills().1 {
                        self.fill_many(fill, cx)?;
                    }
                    if self.fills().0.is_some() {
                        let any = self.one_any.clone();
                        self.check_clash(&any)?;
                    }
                }
            }
        }
    }
}

fn union(into: &mut [u64], other: &[u64]) {
    into.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
}

fn intersects(a: &[u64], b: &[u64]) -> bool {
    a.iter().zip(b).any(|(a, b)| a & b != 0)
}
