//! SeriesSource to gRPC StoreAPI and back.
