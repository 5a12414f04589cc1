//! Replica deduplication: several HA replicas' samples of one series into one series without gaps, without doubles and
//! without false counter resets.
//!
//! The samples of one replica are a *lane*. The result follows one lane and leaves it only when it has a gap, ends or
//! goes stale while another lane has samples; then it follows that one. Hence
//! * where any replica has a sample within the look-back, so has the result (Thanos' penalty method leaves gaps after a
//!   switch, upstream 981, 7364, 7656);
//! * a stale marker shows only when no replica is alive (upstream 3485);
//! * with a counter function in mind, a switch never makes the value fall unless a replica saw a real reset
//!   (upstream 2890, 7341).
//!
//! One lane passes through untouched, still encoded; with more lanes the followed one is decoded once, the others only
//! around its gaps. Native histograms are chosen sample by sample too, as when blocks are rewritten. Downsampled chunks
//! pass, all replicas', with the replica on each. Knows nothing of gRPC or of who asks.

mod by_chunks;
mod catch_up;
mod density;
mod lanes;
mod pick;
mod quiet;
mod read;
pub mod rewrite;
mod stream;

pub use stream::{DedupOptions, Method, dedup_series, dedup_stream};
