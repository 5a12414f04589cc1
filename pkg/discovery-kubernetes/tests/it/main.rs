//! Discovery in a cluster, against an API server that is made for these tests.

mod access;
mod changes;
mod config;
mod conformance;
mod fake;
mod golden;
mod run;
mod watches;
