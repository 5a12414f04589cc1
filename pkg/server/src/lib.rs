//! `aion server`: scrapes, stores, answers PromQL and hands on its blocks, in place of a Prometheus server.
//!
//! [`flags`](command) → [`Config`] → the component.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod component;
mod config;
mod database;
mod features;
mod flags;
mod guard;
mod in_force;
mod memory;
mod outside;
mod routes;
mod scraping;
mod source;

pub use component::{Server, run};
pub use config::Config;
pub use flags::command;
