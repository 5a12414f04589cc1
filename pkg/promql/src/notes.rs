//! What an evaluation has to tell of native histograms, gathered without text: one bit each.

/// Something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// Floats and histograms in one range, which has no value then.
    MixedRange,
    /// Floats and histograms in one group, which has no value then.
    MixedGroup,
    /// A gauge is read as a counter.
    NotCounter,
    /// A counter is read as a gauge.
    NotGauge,
    /// Custom and exponential buckets, which cannot be put together.
    MixedSchemas,
    /// Custom bounds differed in a sum.
    ReconciledAddition,
    /// Custom bounds differed in a difference.
    ReconciledSubtraction,
    /// Custom bounds differed in an aggregation.
    ReconciledAggregation,
    /// In a sum one side says that a reset lies before it, the other that none does.
    CollidingAddition,
    /// The same in a difference.
    CollidingSubtraction,
    /// The same in an aggregation.
    CollidingAggregation,
    /// Histograms beside floats were left out.
    IgnoredInRange,
}

impl Note {
    pub const ALL: [Self; 12] = [
        Self::MixedRange,
        Self::MixedGroup,
        Self::NotCounter,
        Self::NotGauge,
        Self::MixedSchemas,
        Self::ReconciledAddition,
        Self::ReconciledSubtraction,
        Self::ReconciledAggregation,
        Self::CollidingAddition,
        Self::CollidingSubtraction,
        Self::CollidingAggregation,
        Self::IgnoredInRange,
    ];
}

/// Notes of one series or group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    bits: u16,
    /// Windows in which a sample's start time lies before the sample before it.
    pub overlaps: u64,
}

impl Notes {
    pub fn add(&mut self, note: Note) {
        self.bits |= 1 << note as u16;
    }

    pub fn add_if(&mut self, condition: bool, note: Note) {
        if condition {
            self.add(note);
        }
    }

    pub fn has(self, note: Note) -> bool {
        self.bits & (1 << note as u16) != 0
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Self) {
        self.bits |= other.bits;
        self.overlaps += other.overlaps;
    }
}
