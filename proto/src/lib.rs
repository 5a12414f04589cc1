//! Messages and services on the wire: Thanos' StoreAPI family and Prometheus' remote write and read.
//!
//! Field numbers and service paths are those of Thanos 0.43 and Prometheus 3; the `.proto` files beside this crate are
//! our own text. `cargo test -p tests --test tidy` holds `generated/` against them. Only the edge crates (`storeapi`,
//! `queryapi`, `remote`) are built from these types.

#![allow(missing_docs, clippy::all, reason = "generated code")]

include!("generated/all.rs");

/// All of it as an encoded `google.protobuf.FileDescriptorSet`, for server reflection.
pub const DESCRIPTORS: &[u8] = include!("generated/descriptors.rs");
