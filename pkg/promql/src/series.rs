//! Columns over steps: the form in which values travel between operators.

use std::borrow::Cow;
use std::sync::Arc;

use histogram::FloatHistogram;
use labels::Labels;

use crate::native::size_bytes;

/// One value per step, or none. `values` of absent steps are arbitrary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepColumn {
    /// One per step; meaningful where `present`.
    pub values: Vec<f64>,
    /// Bit `i % 64` of word `i / 64`: step `i` has a float.
    pub present: Vec<u64>,
    /// Steps that hold a native histogram in place of a float, ascending. Mostly empty.
    pub native_histograms: Vec<(u32, Arc<FloatHistogram>)>,
}

impl StepColumn {
    /// A column of `steps` steps, all without a value.
    pub fn absent(steps: usize) -> Self {
        Self { values: vec![0.0; steps], present: vec![0; steps.div_ceil(64)], native_histograms: Vec::new() }
    }

    /// The same value at every step.
    pub fn constant(steps: usize, value: f64) -> Self {
        Self::full(vec![value; steps])
    }

    /// A value at every step.
    pub fn full(values: Vec<f64>) -> Self {
        let steps = values.len();
        let mut present = vec![u64::MAX; steps.div_ceil(64)];
        if let Some(last) = present.last_mut()
            && !steps.is_multiple_of(64)
        {
            *last = (1 << (steps % 64)) - 1;
        }
        Self { values, present, native_histograms: Vec::new() }
    }

    /// Makes the column one of `steps` absent values again, in the same memory.
    pub(crate) fn reset(&mut self, steps: usize) {
        // Values of absent steps are arbitrary: no need to clear them.
        self.values.resize(steps, 0.0);
        self.present.clear();
        self.present.resize(steps.div_ceil(64), 0);
        self.native_histograms.clear();
    }

    /// How many steps the column is over.
    pub fn steps(&self) -> usize {
        self.values.len()
    }

    /// The float at step `i`.
    #[inline]
    pub fn get(&self, i: usize) -> Option<f64> {
        self.has(i).then(|| self.values[i])
    }

    /// Whether step `i` has a float.
    #[inline]
    pub fn has(&self, i: usize) -> bool {
        self.present[i >> 6] & (1 << (i & 63)) != 0
    }

    /// Gives step `i` this float.
    #[inline]
    pub fn set(&mut self, i: usize, value: f64) {
        self.values[i] = value;
        self.present[i >> 6] |= 1 << (i & 63);
    }

    /// Takes the float of step `i` away.
    #[inline]
    pub fn unset(&mut self, i: usize) {
        self.present[i >> 6] &= !(1 << (i & 63));
    }

    /// The floats with the steps they stand at, ascending.
    pub fn floats(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        bits(&self.present).map(|i| (i, self.values[i]))
    }

    /// The histograms with the steps they stand at, ascending.
    pub fn histograms(&self) -> impl Iterator<Item = (usize, &FloatHistogram)> + '_ {
        self.native_histograms.iter().map(|(i, h)| (*i as usize, &**h))
    }

    /// The histogram at step `i`.
    pub fn histogram(&self, i: usize) -> Option<&Arc<FloatHistogram>> {
        let at = self.native_histograms.binary_search_by_key(&i, |(step, _)| *step as usize).ok()?;
        Some(&self.native_histograms[at].1)
    }

    /// A bitmap as `present`, of the steps that have a float or a histogram.
    pub fn occupied(&self) -> Cow<'_, [u64]> {
        if self.native_histograms.is_empty() {
            return Cow::Borrowed(&self.present);
        }
        let mut all = self.present.clone();
        self.native_histograms.iter().for_each(|(i, _)| all[*i as usize >> 6] |= 1 << (i & 63));
        Cow::Owned(all)
    }

    /// The number of steps that have a float or a histogram.
    pub fn count(&self) -> usize {
        self.present.iter().map(|w| w.count_ones() as usize).sum::<usize>() + self.native_histograms.len()
    }

    /// True when no step has a sample.
    pub fn is_empty(&self) -> bool {
        self.native_histograms.is_empty() && self.present.iter().all(|w| *w == 0)
    }

    /// The memory that the column holds, bytes.
    pub fn size_bytes(&self) -> usize {
        self.values.capacity() * 8
            + self.present.capacity() * 8
            + self.native_histograms.iter().map(|(_, h)| size_bytes(h) + 16).sum::<usize>()
    }
}

/// The set bits of a bitmap, ascending.
pub(crate) fn bits(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(w, word)| {
        let mut rest = *word;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let bit = rest.trailing_zeros() as usize;
            rest &= rest - 1;
            Some(w * 64 + bit)
        })
    })
}

/// A series as it leaves an operator.
#[derive(Debug, Clone)]
pub(crate) struct StepSeries {
    pub labels: Labels,
    /// The metric name is to be dropped at the end (delayed name removal).
    pub drop_name: bool,
    pub column: StepColumn,
}

impl StepSeries {
    pub fn size_bytes(&self) -> usize {
        self.column.size_bytes() + self.labels.size_bytes() + size_of::<Self>()
    }
}
