//! Scrapes targets: pools by job, one loop per target, limits, staleness, and the configuration of all of it.
//!
//! A [`Manager`] is given configurations ([`Manager::apply`]) and what was discovered ([`Manager::run`]). Each job has a
//! pool, each target of it a loop. A loop asks its target when it is due, reads the body into one transaction of the store,
//! and adds the series that tell of the scrape (`up`). It is all or nothing: where a scrape fails, for whatever reason, the
//! series end with stale markers, and the reason stands in the target's last error.
//!
//! What costs is done once: the labels of a series are read and relabelled when it comes for the first time; from then on
//! it is known by a digest of its bytes.

mod accept;
mod batch;
mod cache;
pub mod config;
mod failure;
mod failure_log;
mod families;
mod fetch;
mod histograms;
mod inflate;
mod ingest;
mod ingestion;
mod job;
mod manager;
mod metrics;
mod naming;
mod options;
mod pool;
mod preview;
mod schedule;
mod series_labels;
mod status;
mod synthetic;
mod target;
mod task;
#[cfg(test)]
mod testing;
mod twins;
mod view;
mod worker;

pub use manager::{ApplyError, Manager};
pub use options::{Deps, Options, StartTimes};
pub use preview::{Preview, preview};
