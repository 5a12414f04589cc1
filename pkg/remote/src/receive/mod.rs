//! The receiver of remote write 1.0 and 2.0: `POST /api/v1/write`.
//!
//! A request is walked once where it lies after decompression; no message is built of it. Samples go into columns, labels
//! stay bytes: a digest of them finds the series ([`ingest::SeriesCache`]), so that a request without new series parses no
//! label. Everything that is valid is committed, and the sender is told what was refused.

mod answer;
mod batch;
mod content;
mod histogram;
mod limits;
mod metrics;
mod requests;
mod rows;
mod take;
mod v1;
mod v2;

use ingest::wire;

pub use content::MessageType;
pub use requests::{Receiver, ReceiverOptions};

#[doc(hidden)]
pub use requests::untrusted;
