//! Scrapes targets: pools by job, one loop per target, limits, staleness, and the configuration of all of it.

pub mod config;
