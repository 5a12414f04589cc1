//! How commands print: tables, CSV, JSON, YAML, Go templates.

mod go;
mod rows;
pub(crate) mod tar;
mod template;

pub use go::{format_duration, format_thousands, format_time_s};
pub(crate) use rows::render_values;
pub use rows::{Format, Rows};
pub use template::{Template, TemplateError};
