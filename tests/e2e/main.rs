//! The programs together, as users run them: real Prometheus servers, a bucket, sidecars, a store and a querier.

mod bad_input;
mod bad_store;
mod compaction;
mod crash;
mod deletion;
mod demo;
mod differential;
mod interop;
mod queries;
mod restarts;
mod server;
mod up;
mod waiting;
