//! The read seam over gRPC: any [`storage::SeriesSource`] as a Thanos StoreAPI server, any StoreAPI endpoint as a
//! `SeriesSource`; the same for [`storage::Inspect`] and the Rules, Targets, Metadata, Exemplars and Status services.
//!
//! Wire messages leave this crate for `queryapi` alone, whose protocol shares some of them. Semantics follow Thanos 0.43.

mod client;
mod convert;
mod hints;
mod info;
mod inspect_client;
mod inspect_convert;
mod inspect_server;
mod label_deltas;
mod limited;
mod names_codec;
mod patience;
mod series_codec;
mod series_decode;
mod series_encode;
mod server;
mod status;
#[doc(hidden)]
pub mod untrusted;

pub use client::{StoreClient, request};
pub use convert::{
    labels_from_wire, labels_to_wire, matchers_from_wire, matchers_to_wire, shard_from_wire, shard_to_wire,
};
/// Descriptors of all services, for server reflection.
pub use proto::DESCRIPTORS;

pub use info::{ComponentType, EndpointInfo, InfoServer, Served, StoreSet, fetch_info};
pub use inspect_client::InspectClient;
pub use inspect_server::{InspectApis, inspect_routes};
pub use limited::{StoreLimits, limited};
pub use patience::Patience;
pub use server::{ServerOptions, context, store_routes};
pub use status::{error_from_status, status_from_error};
