//! A write-ahead log without a head: what an agent scrapes or receives is logged, sent on from the log, and forgotten.
//!
//! The directory is that of Prometheus' agent (`data-agent/`), which can be exchanged for this one at any restart. In
//! memory a series is its number in the log, a digest of its labels, and the time of its newest sample. Its labels are in
//! the log alone.
//!
//! Old segments go when all who send from the log have sent them, or when they are older or more than the limits say.
//! A checkpoint keeps the labels of the series that are still alive.

mod appender;
mod metrics;
mod options;
mod replay;
mod series;
mod store;
mod transaction;
mod truncate;

pub use options::AgentOptions;
pub use store::AgentStore;

#[cfg(test)]
mod tests;
