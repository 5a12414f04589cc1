//! Blocks in the bucket.
