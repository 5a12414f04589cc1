//! Prometheus remote read.
