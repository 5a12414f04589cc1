//! HTTP and gRPC, both ends.
