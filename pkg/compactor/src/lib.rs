//! `aion compact`: merges, deduplicates, downsamples, retains and deletes the blocks of a bucket, alone or beside others.

mod output;
mod plan;
