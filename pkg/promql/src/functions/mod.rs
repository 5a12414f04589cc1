//! PromQL's functions, by what they work on.

pub(crate) mod absent;
pub(crate) mod buckets;
pub(crate) mod dates;
pub(crate) mod extended;
pub(crate) mod info;
pub(crate) mod kahan;
pub(crate) mod labels;
pub(crate) mod math;
pub(crate) mod over_time;
pub(crate) mod quantile;
pub(crate) mod rate;
pub(crate) mod regression;
pub(crate) mod sort;
