//! The programs together, as users run them: real Prometheus servers, a bucket, sidecars, a store and a querier.

mod agent;
mod bad_input;
mod bad_store;
mod compaction;
mod crash;
mod deletion;
mod demo;
mod differential;
mod interop;
mod memory_limit;
mod mixins;
mod otlp;
mod queries;
mod restarts;
mod rule;
mod rules;
mod sending;
mod server;
mod up;
mod waiting;
