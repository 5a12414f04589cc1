//! One TSDB block.
