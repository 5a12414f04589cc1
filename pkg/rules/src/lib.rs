//! Recording and alerting rules: their files, their evaluation, the state of their alerts.
//!
//! [`parse`] reads a rule file. A [`Manager`] evaluates the groups of many files: each group has a task that waits for its
//! next slot, evaluates the rules in order, writes what they give and hands alerts on. It knows three seams only:
//! [`promql::Evaluate`] answers queries, [`storage::append::Appendable`] takes series, [`notifier::Notify`] takes alerts.
//! [`Group`] is what is below: it evaluates at the times that it is given, so that tests, unit tests of rules and backtests
//! run in simulated time.
//!
//! Behaviour follows Prometheus 3.14, down to the slots in which a group is evaluated. One thing differs by intent: where
//! rules of a group are evaluated at the same time, those that one another's results may matter to keep their order, so that
//! the result is the one of evaluating them one by one.

#![allow(missing_docs, reason = "floor 5")]

mod alerts;
mod expand;
mod file;
mod group;
mod levels;
mod manager;
mod metrics;
mod options;
mod query;
mod restore;
mod rule;
mod schedule;
mod series;
mod status;
mod task;
mod view;

pub use alerts::{ActiveAlert, AlertValue};
pub use file::{AlertSpec, GroupSpec, NameScheme, ParseOptions, RuleSpec, Wrong, parse};
pub use group::{Group, GroupSettings};
pub use manager::Manager;
pub use metrics::Metrics;
pub use options::{Deps, Options};
pub use query::RuleError;
