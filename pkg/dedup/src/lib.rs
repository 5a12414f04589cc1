//! Replica deduplication: several HA replicas' samples of one series into one series without gaps, without doubles and
//! without false counter resets.
//!
//! The samples of one replica are a *lane*. The result follows one lane and leaves it only when it has a gap, ends, goes
//! stale while another lane has samples, or when another lane is clearly denser; then it follows that one. Hence
//! * the result is at every place about as dense as the densest replica there: within an eighth;
//! * where any replica has a sample within the look-back, so has the result (Thanos' penalty method leaves gaps after a
//!   switch, upstream 981, 7364, 7656);
//! * a stale marker shows only when no replica is alive (upstream 3485);
//! * with a counter function in mind, a switch never makes the value fall unless a replica saw a real reset
//!   (upstream 2890, 7341);
//! * one scrape is not shown twice, neither where lanes change nor where they end.
//!
//! What counts as a gap depends on the spacing of samples around the place in all lanes that have some there (`density`),
//! so it does not matter which one begins, nor whether intervals differ or change. Two lanes of one interval never
//! alternate.
//!
//! One lane passes through untouched, still encoded. With more lanes the one that begins first is decoded; the others are
//! too, unless the headers of their chunks tell that they are regular, no denser, and end with it (`quiet`). The rules hold
//! sample by sample; where nothing happens many samples are shown at a time, with the same result (`stride`). Native
//! histograms are chosen sample by sample too, as when blocks are rewritten. Downsampled chunks pass, all replicas', with
//! the replica on each. Knows nothing of gRPC or of who asks.

mod by_chunks;
mod catch_up;
mod density;
mod lanes;
mod pick;
mod quiet;
mod read;
pub mod rewrite;
mod stream;
mod stride;

pub use stream::{DedupOptions, Method, dedup_series, dedup_stream};
