//! Templates of labels and annotations of Prometheus' alerts.

mod alert;
mod functions;
mod humanize;
mod names;
mod replace;

pub use alert::{AlertData, AlertTemplate, Expansion};
pub use functions::{Answers, Context, NAMES};
