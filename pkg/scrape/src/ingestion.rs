//! How a body is taken, and what comes of it in figures.

use crate::histograms::HistogramLimits;
use crate::options::StartTimes;
use crate::series_labels::LabelRules;

/// How a body is to be taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ingestion<'a> {
    pub(crate) labels: LabelRules<'a>,
    pub(crate) histograms: HistogramLimits,
    pub(crate) parser: textparse::Options,
    /// Native histograms are stored.
    pub(crate) takes_native: bool,
    pub(crate) sample_limit: u64,
    pub(crate) honors_timestamps: bool,
    pub(crate) tracks_timestamps: bool,
    pub(crate) start_times: StartTimes,
    pub(crate) metadata: bool,
    pub(crate) type_and_unit_labels: bool,
    /// The time of samples without a timestamp.
    pub(crate) time_ms: i64,
    /// Later samples are refused.
    pub(crate) time_max_ms: i64,
    /// Of the scrape before; starts behind it are new.
    pub(crate) previous_ms: i64,
}

/// What was counted.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) scraped: usize,
    pub(crate) after_relabelling: usize,
    pub(crate) series_added: usize,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
    pub(crate) out_of_bounds: u64,
    pub(crate) exemplars_out_of_order: u64,
    /// The first sample that was refused: its series' digest and the reason.
    pub(crate) first_refused: Option<(u128, String)>,
    /// Classic histograms that could not be converted.
    pub(crate) unconverted: Option<textparse::Unconverted>,
}
