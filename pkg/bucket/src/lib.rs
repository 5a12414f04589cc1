//! Blocks *in the bucket*: which there are, which of them to use, how one gets in, is marked, and goes out again.
//!
//! - [`fetch::MetaFetcher`] gives a [`View`]: every block's `meta.json`, marks and objects, from one listing.
//! - [`filters::Filters`] say which blocks of a view a component works with; [`lineage`] which of them hold the same.
//! - [`page`] is how the HTTP API lists blocks.
//! - [`shipper`] brings the blocks of a local data directory into the bucket, again and again.
//! - [`upload`], [`marks`], [`delete`], [`download`] keep to Thanos' order of steps, in which a reader that sees
//!   `meta.json` finds all the files it names.
//!
//! What a view does not show because the store failed is unknown, never deleted.

pub mod delete;
pub mod deletions;
pub mod download;
pub mod fetch;
pub mod filters;
pub mod flags;
pub mod lineage;
pub mod listing;
pub mod marks;
pub mod page;
pub mod partial;
pub mod shipper;
pub mod unfinished;
pub mod upload;

mod cache;
mod error;
mod hash;
mod metrics;
mod view;

pub use error::{Error, Result};
pub use fetch::{FetchOptions, Listing, MetaFetcher};
pub use filters::{Filtered, Filters, State};
pub use listing::BlockObjects;
pub use metrics::SyncMetrics;
pub use view::{Partial, View};
