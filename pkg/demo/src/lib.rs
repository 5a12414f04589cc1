//! `aion demo`: `aion up` with a past. The bucket holds 90 days of two clusters with two HA replicas each, compacted and
//! downsampled as a compactor would have left them, in which something happened: an incident, a cardinality explosion, a
//! gap. The replicas go on from there.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod alerting;
mod blocks;
mod component;
mod flags;
mod fleet;
mod history;
mod lanes;
mod live;
mod record;
mod story;
mod tour;

pub use component::run;
pub use flags::command;
pub use history::{Backfilled, History, backfill};
