//! The sender of remote write 1.0 and 2.0: what is written to a log is sent to remote storages.
//!
//! [`RemoteWrite`] has one queue for each remote storage. A queue follows the write-ahead log itself, so that a storage
//! that is away costs no memory: what it lacks stays in the log. Its place in the log is kept in a file after each request,
//! so that a restart goes on there. The labels of series are known once for all queues.
//!
//! Protocol: <https://prometheus.io/docs/specs/prw/remote_write_spec/> and
//! <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>.

mod behind;
mod client;
mod config;
mod cursor;
mod decode;
mod encode;
mod metadata;
mod metrics;
mod pace;
mod past;
mod queue;
mod retry_after;
mod rewrite;
mod rows;
mod sender;
mod series;
mod shard;
mod symbols;
mod tail;
mod writer;

pub use config::{MetadataSending, QueueConfig};
pub use metadata::MetadataNow;
pub use writer::{Prepared, RemoteWrite, SendDeps, cursor_dir};
