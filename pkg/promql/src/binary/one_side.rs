//! The "one" side of a join, which is held as a whole: a few words and its labels for each series.

use hashbrown::HashMap;
use labels::Labels;

use crate::eval::{Cx, Result};
use crate::native::size_bytes;
use crate::series::StepSeries;
use crate::{Grid, StepColumn};

/// The histograms of a series with the steps that they stand at.
type Natives = Vec<(u32, std::sync::Arc<histogram::FloatHistogram>)>;

/// Rows of equal length, numbered as they come. They lie in blocks, so that nothing is moved as they grow.
struct Rows<T> {
    len: usize,
    per_block: usize,
    blocks: Vec<Vec<T>>,
}

impl<T: Copy> Rows<T> {
    /// Items of a block, about.
    const BLOCK: usize = 4096;

    fn new(len: usize) -> Self {
        Self { len, per_block: (Self::BLOCK / len.max(1)).max(1), blocks: Vec::new() }
    }

    fn push(&mut self, row: &[T]) {
        let full = self.len * self.per_block;
        match self.blocks.last_mut() {
            Some(last) if last.len() < full => last.extend_from_slice(row),
            _ => {
                let mut block = Vec::with_capacity(full);
                block.extend_from_slice(row);
                self.blocks.push(block);
            }
        }
    }

    fn get(&self, number: usize) -> &[T] {
        let from = number % self.per_block * self.len;
        &self.blocks[number / self.per_block][from..from + self.len]
    }

    fn get_mut(&mut self, number: usize) -> &mut [T] {
        let from = number % self.per_block * self.len;
        &mut self.blocks[number / self.per_block][from..from + self.len]
    }
}

const NONE: u32 = u32::MAX;

/// The series of a match group: the first and the last of them.
#[derive(Clone, Copy)]
struct Group {
    first: u32,
    last: u32,
}

/// The series, by match group. Those of a group are over disjoint steps, unless that is an error.
pub(crate) struct OneSide {
    labels: Vec<Labels>,
    /// The next series of the same group.
    next: Vec<u32>,
    values: Rows<f64>,
    /// Steps that have a float or a histogram.
    occupied: Rows<u64>,
    natives: HashMap<u32, Natives>,
    groups: Vec<Group>,
    /// Of each group the steps at which a sample of the "many" side found its counterpart.
    matched: Rows<u64>,
    none: Vec<u64>,
}

impl OneSide {
    pub fn new(grid: Grid) -> Self {
        let (steps, words) = (grid.steps(), grid.steps().div_ceil(64));
        Self {
            labels: Vec::new(),
            next: Vec::new(),
            values: Rows::new(steps),
            occupied: Rows::new(words),
            natives: HashMap::new(),
            groups: Vec::new(),
            matched: Rows::new(words),
            none: vec![0; words],
        }
    }

    /// How many groups there are.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Makes groups up to `number`.
    pub fn reach(&mut self, number: usize, cx: &mut Cx) -> Result<()> {
        while self.groups.len() <= number {
            cx.hold(0, size_of::<Group>() + self.none.len() * 8)?;
            self.groups.push(Group { first: NONE, last: NONE });
            self.matched.push(&self.none);
        }
        Ok(())
    }

    /// Adds a series to a group that there is, counting what it holds.
    pub fn push(&mut self, group: usize, series: StepSeries, cx: &mut Cx) -> Result<()> {
        let number = self.labels.len() as u32;
        let StepSeries { labels, mut column, .. } = series;
        let native: usize = column.native_histograms.iter().map(|(_, h)| size_bytes(h) + 16).sum();
        let rows = (column.values.len() + column.present.len()) * 8;
        cx.hold(column.count(), labels.size_bytes() + size_of::<Labels>() + 4 + rows + native)?;
        self.values.push(&column.values);
        self.occupied.push(&column.occupied());
        if !column.native_histograms.is_empty() {
            self.natives.insert(number, std::mem::take(&mut column.native_histograms));
        }
        self.labels.push(labels);
        self.next.push(NONE);
        let group = &mut self.groups[group];
        match group.last {
            NONE => group.first = number,
            last => self.next[last as usize] = number,
        }
        group.last = number;
        cx.recycle(column);
        Ok(())
    }

    /// The first series of a group.
    pub fn first(&self, group: usize) -> Option<usize> {
        Some(self.groups[group].first).filter(|number| *number != NONE).map(|number| number as usize)
    }

    /// The series behind `number` in its group.
    pub fn next(&self, number: usize) -> Option<usize> {
        Some(self.next[number]).filter(|number| *number != NONE).map(|number| number as usize)
    }

    pub fn labels(&self, number: usize) -> &Labels {
        &self.labels[number]
    }

    /// The steps at which the series has a sample.
    pub fn occupied(&self, number: usize) -> &[u64] {
        self.occupied.get(number)
    }

    /// The samples of the series.
    pub fn column(&self, number: usize, cx: &mut Cx) -> StepColumn {
        let mut column = cx.column(self.values.len);
        column.values.copy_from_slice(self.values.get(number));
        column.present.copy_from_slice(self.occupied(number));
        if let Some(natives) = self.natives.get(&(number as u32)) {
            natives.iter().for_each(|(i, _)| column.unset(*i as usize));
            column.native_histograms.extend_from_slice(natives);
        }
        column
    }

    /// The steps at which the group's samples were matched.
    pub fn matched(&mut self, group: usize) -> &mut [u64] {
        self.matched.get_mut(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stay_where_their_numbers_say() {
        for len in [1, 3, 4095, 5000] {
            let mut rows = Rows::new(len);
            let row = |i: usize| (0..len).map(|at| i * len + at).collect::<Vec<_>>();
            (0..7).for_each(|i| rows.push(&row(i)));
            rows.get_mut(3)[0] = 0;
            assert!((0..7).filter(|i| *i != 3).all(|i| rows.get(i) == row(i)), "{len}");
            assert_eq!(rows.get(3)[1..], row(3)[1..]);
        }
    }
}
