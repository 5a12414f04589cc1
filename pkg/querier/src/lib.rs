//! The querier.
