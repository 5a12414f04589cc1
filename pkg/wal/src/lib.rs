//! Prometheus' write-ahead log: segments, pages and fragments, the records inside, checkpoints. Bytes only: what the
//! records mean is the head's business.
