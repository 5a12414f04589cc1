//! The description of the API in OpenAPI's form, written from a table of what the routes take.

mod document;
mod parameters;
mod table;

pub(crate) use document::{VERSIONS, document};
