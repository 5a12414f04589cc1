//! `aion ui`: the web interface before any server that speaks Prometheus' HTTP API.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod component;
mod config;
mod flags;
mod proxy;

pub use component::{Ui, run};
pub use config::Config;
pub use flags::command;
