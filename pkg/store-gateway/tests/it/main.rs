//! The store gateway over buckets in memory, on disk and over HTTP; the same blocks read locally say what is right.

mod bodies;
mod common;
mod conformance;
mod crafted;
mod damage;
mod deletions;
mod disorder;
mod hints;
mod labels;
mod matchers;
mod projected;
mod replaced;
mod requests;
mod select;
mod serve;
mod sync;
mod thanos;
mod turns;
mod unread;
