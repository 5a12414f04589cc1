//! An S3 server in memory, over real HTTP on a port of its own, with faults to order.

mod backend;
mod faults;
mod server;

pub use backend::Backend;
pub use faults::{Fault, FaultKind, Operation};
pub use server::Server;
