//! `aion server`: scrapes, stores, answers PromQL and hands on its blocks, in place of a Prometheus server.
//!
//! [`flags`](command) → [`Config`] → the component.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod config;
mod features;
mod flags;
mod memory;

pub use config::Config;
pub use flags::command;
