//! Arithmetic and comparison between two vectors. The "one" side is held by match group; the "many" side streams.

use std::collections::VecDeque;

use hashbrown::HashMap;
use labels::Labels;
use promql_syntax::{BinaryOp, Cardinality, Matching, Span};

use super::arith::{arithmetic, changes_metric, compare, is_trim};
use super::matching::{Signatures, match_labels, result_labels};
use super::native::{Operand, Outcome, Told, calculate};
use crate::annotations::shown_labels;
use crate::eval::{Cx, Operator, Result, Stream};
use crate::merge::ENTRY_BYTES;
use crate::series::{StepSeries, bits};
use crate::{Grid, QueryError, StepColumn};

/// The series of both sides whose matching labels are equal.
#[derive(Default)]
struct Group {
    /// Its series on the "one" side, over disjoint steps.
    one: Vec<StepSeries>,
    /// Steps at which a sample of the "many" side found its counterpart.
    matched: Vec<u64>,
    /// Many-to-one: the same by labels of the result.
    by_result: HashMap<Labels, Vec<u64>>,
}

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
    groups: Vec<Group>,
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
            groups: Vec::new(),
            clash: None,
            many_any: vec![0; words],
            one_any: vec![0; words],
            ready: VecDeque::new(),
            filled: false,
        }
    }

    fn words(&self) -> usize {
        self.many_any.len()
    }

    /// The fill for the missing sample of the "one" side, and of the "many" side. As in Prometheus, `fill_right` is for
    /// the "one" side even where that is the left one (`group_right`).
    fn fills(&self) -> (Option<f64>, Option<f64>) {
        (self.matching.fill_right, self.matching.fill_left)
    }

    fn group(&mut self, labels: &Labels, cx: &mut Cx) -> Result<usize> {
        let number = self.signatures.number(labels, cx)?;
        while self.groups.len() < self.signatures.len() {
            cx.hold(0, size_of::<Group>())?;
            self.groups.push(Group::default());
        }
        Ok(number)
    }

    fn read_one_side(&mut self, mut stream: Stream, cx: &mut Cx) -> Result<()> {
        while let Some(series) = cx.next(&mut stream)? {
            cx.hold_series(&series)?;
            union(&mut self.one_any, &series.column.occupied());
            let number = self.group(&series.labels, cx)?;
            if self.clash.is_none() {
                self.find_clash(&series, number, cx)?;
            }
            self.groups[number].one.push(series);
        }
        Ok(())
    }

    /// QueryAnnotations the first two series of a group that share a step.
    fn find_clash(&mut self, series: &StepSeries, number: usize, cx: &mut Cx) -> Result<()> {
        for other in &self.groups[number].one {
            cx.work(self.many_any.len())?;
            let (own, others) = (series.column.occupied(), other.column.occupied());
            if intersects(&own, &others) {
                let both = own.iter().zip(others.iter()).map(|(a, b)| a & b).collect();
                self.clash = Some((both, self.clash_text(&series.labels, &other.labels)));
                break;
            }
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
        let matched;
        let steps = if is_trim(self.op) || is_native(many.1) || is_native(one.1) {
            matched = self.native(many, one, steps, &mut column, cx)?;
            &matched[..]
        } else {
            self.floats(many, one, steps, &mut column);
            steps
        };
        let drops_now = changes_metric(self.op) || (self.return_bool && !cx.delayed());
        let size = many.0.size_bytes() + one.0.size_bytes();
        let labels = cx.make_labels(size, || result_labels(many.0, one.0, &self.matching, drops_now))?;
        let words = self.words();
        let group = &mut self.groups[number];
        if group.matched.is_empty() {
            cx.hold(0, words * 8)?;
            group.matched = vec![0; words];
        }
        if self.matching.cardinality == Cardinality::OneToOne {
            if intersects(&group.matched, steps) {
                return Err(QueryError::Execution(
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                        .to_owned(),
                ));
            }
        } else {
            if !group.by_result.contains_key(&labels) {
                cx.hold(0, labels.size_bytes() + words * 8 + ENTRY_BYTES)?;
                group.by_result.insert(labels.clone(), vec![0; words]);
            }
            let seen = group.by_result.entry(labels.clone()).or_default();
            if intersects(seen, steps) {
                return Err(QueryError::Execution(
                    "multiple matches for labels: grouping labels must ensure unique matches".to_owned(),
                ));
            }
            union(seen, steps);
        }
        union(&mut group.matched, steps);
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
        let number = self.group(&series.labels, cx)?;
        let ones = std::mem::take(&mut self.groups[number].one);
        let mut unmatched = occupied.to_vec();
        let mut result = Ok(());
        for one in &ones {
            result = cx.work(unmatched.len());
            if result.is_err() {
                break;
            }
            let others = one.column.occupied();
            if !intersects(&occupied, &others) {
                continue;
            }
            let both: Vec<u64> = occupied.iter().zip(others.iter()).map(|(a, b)| a & b).collect();
            unmatched.iter_mut().zip(&both).for_each(|(u, b)| *u &= !b);
            let many = (&series.labels, Some(&series.column), 0.0);
            result = self.pair(number, many, (&one.labels, Some(&one.column), 0.0), &both, cx);
            if result.is_err() {
                break;
            }
        }
        self.groups[number].one = ones;
        result?;
        if let (Some(fill), true) = (self.fills().0, unmatched.iter().any(|w| *w != 0)) {
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
        for number in 0..self.groups.len() {
            let ones = std::mem::take(&mut self.groups[number].one);
            let matched = self.groups[number].matched.clone();
            for one in &ones {
                cx.work(matched.len() + 1)?;
                let mut steps = one.column.occupied().to_vec();
                steps.iter_mut().zip(&matched).for_each(|(s, m)| *s &= !m);
                if steps.iter().any(|w| *w != 0) {
                    let many = match_labels(&one.labels, &self.matching);
                    self.pair(number, (&many, None, fill), (&one.labels, Some(&one.column), 0.0), &steps, cx)?;
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
