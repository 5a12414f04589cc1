//! PromQL's functions, by what they work on. [`table`] has a row for each.

pub(crate) mod absent;
pub(crate) mod buckets;
pub(crate) mod classic;
pub(crate) mod dates;
pub(crate) mod downsampled;
pub(crate) mod extended;
pub(crate) mod extended_histograms;
pub(crate) mod info;
pub(crate) mod kahan;
pub(crate) mod labels;
pub(crate) mod math;
pub(crate) mod mixed_rate;
pub(crate) mod native;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod sort;
pub(crate) mod table;
