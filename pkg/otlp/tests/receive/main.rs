//! The receiver, from HTTP to the store.

mod faults;
mod histograms;
mod messages;
mod names;
mod recorder;
mod resources;
mod statuses;
