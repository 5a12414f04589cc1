//! One series' chunks at a coarser resolution: raw samples into windows of 5 minutes, those into windows of an hour.
//!
//! Pure functions over chunks; what is written is byte for byte what Thanos writes
//! (`docs/formats/chunks.md`, the aggregates). Which blocks are downsampled, and when, is decided elsewhere.
