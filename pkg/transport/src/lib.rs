//! HTTP and gRPC, both ends: listeners, TLS, basic auth, the routes that every component has, clients.
//!
//! A server is a listener (bound by the caller, so tests bind port 0), a router, a TLS source and a shutdown token; see
//! [`serve`]. The same accept loop carries HTTP and gRPC. Nothing here knows what is served.

mod connections;
mod error;
pub mod flags;
pub mod grpc;
pub mod http;
mod request_log;
mod request_target;
mod serve;
mod stall;
pub mod traces;

pub use error::Error;
pub use request_log::RequestLog;
pub use serve::{ServeOptions, bind, serve};
