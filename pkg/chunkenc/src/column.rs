//! Decoded samples, column by column.

use histogram::FloatHistogram;

/// Float samples: `times[i]` ms goes with `values[i]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// Times in ms since the epoch, ascending.
    pub times: Vec<i64>,
    /// Values; the stale marker is one of them.
    pub values: Vec<f64>,
}

impl Column {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    /// Adds one sample.
    pub fn push(&mut self, time: i64, value: f64) {
        self.times.push(time);
        self.values.push(value);
    }

    /// The samples one by one.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.times.iter().copied().zip(self.values.iter().copied())
    }
}

/// Histogram samples. Integer histograms arrive here with float counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramColumn {
    /// Times in ms since the epoch, ascending.
    pub times: Vec<i64>,
    /// One histogram per time.
    pub values: Vec<FloatHistogram>,
}
