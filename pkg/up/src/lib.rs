//! `aion up`: everything in one process, on one command: a server that scrapes itself and the host, a bucket that its
//! blocks go to, a store, a compactor and a querier over it.
//!
//! The parts are started with the very command lines an operator would write, and those are printed: what begins in one
//! process goes on in several with the same flags, files and data. [`System`] starts them; `aion demo` uses it too.

#![allow(missing_docs, reason = "a component, not a library for others")]

mod component;
mod files;
mod flags;
mod parts;
mod show;
mod system;

pub use component::run;
pub use flags::{ADDRESSES, QUIET, command};
pub use parts::Error;
pub use show::{Addresses, say};
pub use system::{Settings, System};
