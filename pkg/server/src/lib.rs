//! `aion server`: scrapes, stores, answers PromQL and hands on its blocks, in place of a Prometheus server.
//!
//! [`flags`](command) → [`Config`] → the component.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod agent;
mod budgets;
mod build_info;
mod capabilities;
mod component;
mod config;
mod database;
mod evaluating;
mod features;
mod flags;
mod guard;
mod in_force;
mod memory;
mod notifying;
mod otlp;
mod outside;
mod receivers;
mod routes;
mod scraping;
mod sending;
mod source;
mod unfinished;

pub use component::{Server, run};
pub use config::Config;
pub use flags::command;
