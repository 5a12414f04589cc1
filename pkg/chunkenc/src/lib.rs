//! Chunk encodings: bytes to columns and back.
