//! Alerts on their way to Alertmanagers.
//!
//! [`Notify`] is the seam between those who find that an alert fires (rules) and those who tell of it. [`Notifier`] tells
//! Alertmanagers by their API v2. Each of them has a queue and a task of its own, so that one that is dead, slow or refuses
//! harms no other.

mod address;
mod alert;
mod config;
mod endpoint;
mod message;
mod metrics;
mod notifier;
mod queue;
mod sending;

pub use alert::{Alert, Notify};
pub use config::{AlertmanagerSet, NotifierConfig, NotifierOptions};
pub use notifier::{Known, Notifier};
