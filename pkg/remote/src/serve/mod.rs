//! The server of remote read: `POST /api/v1/read`, as samples in one message or as chunks in frames.
//!
//! Frames go out as series come: nothing is held but the chunks of one series. Chunks pass as they are encoded; those of
//! one series that overlap are made into one run of samples, since readers take chunks one after the other. The protocol
//! has no place for warnings, so a request fails where a part of the data cannot be read.

mod frames;
mod join;
mod messages;
mod requests;
mod sampled;
mod whole;

pub use requests::{ReadServer, ReadServerOptions};

#[doc(hidden)]
pub use messages::untrusted;
