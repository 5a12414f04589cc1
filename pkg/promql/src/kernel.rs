//! What a function of ranges is made of. The table of functions has one for each.

use crate::StepColumn;
use crate::downsampled::DownsampledKernel;
use crate::edges::EdgeKernel;
use crate::eval::{Cx, Result};
use crate::mixed::{CheckFactors, HistogramKernel};
use crate::window::{Scratch, Windows};

/// A function of ranges.
#[derive(Debug)]
pub(crate) struct RangeKernel {
    /// All steps of a series of raw floats.
    pub floats: fn(&Windows, &mut Scratch, &mut StepColumn, &mut Cx) -> Result<()>,
    /// One step of a series that has native histograms or start timestamps.
    pub histograms: OfHistograms,
    /// One step of a series that has downsampled samples.
    pub downsampled: DownsampledKernel,
    /// Whether its two arguments make sense: asked where histograms are left out.
    pub check_factors: Option<CheckFactors>,
    /// [`Self::histograms`] asks where counters were reset.
    pub resets: bool,
    /// Start timestamps count, where the engine is to read them.
    pub reads_starts: bool,
    /// The same of windows of which only the first and the last native histogram matter, as between samples of one chunk; where
    /// it can make do with that.
    pub edges: Option<EdgeKernel>,
    /// The result is still the metric: its name stays.
    pub keeps_name: bool,
    /// An info tells of metrics that are not named as counters are.
    pub names_counter: bool,
    /// The result depends on the time of the step even where the range is pinned by `@`.
    pub depends_on_time: bool,
    /// The modifiers `anchored` and `smoothed` that the range may have.
    pub anchored: bool,
    pub smoothed: bool,
}

/// What a function of ranges makes of native histograms.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OfHistograms {
    /// They are left out; an info tells where there are floats beside them.
    Ignored,
    /// A value of each step's window.
    Each(HistogramKernel),
}
