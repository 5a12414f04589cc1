//! Scraping over HTTP: a manager, servers that behave and misbehave, a store in memory.

#![allow(missing_docs, reason = "tests")]

mod behaviour;
mod exporter;
mod harness;
mod lifecycle;
mod prometheus;
