//! Go's `text/template`, with the functions of Prometheus' alert templates.
//!
//! A [`Template`] is parsed once and rendered as often as wanted. What a template may call beyond Go's own functions is a
//! [`Functions`]; [`prometheus`] has those of alerts. Templates are written by users: how long they run, how much they
//! print and how deep they nest have [`Limits`].
//!
//! Source: the documentation of Go's `text/template` and `fmt`, and of Prometheus' templates. Left out are what needs Go's
//! reflection: `call`, complex numbers, methods other than those of times and durations.

mod ast;
mod builtins;
mod compare;
mod error;
mod escape;
mod exec;
mod fields;
mod float;
mod go_time;
mod lex;
mod limits;
mod parse;
mod parse_pipe;
mod print;
mod printf;
pub mod prometheus;
mod quoted;
mod template;
mod value;

pub use error::{CallError, Error, RenderError};
pub use escape::query as query_escape;
pub use float::{format_float, format_g};
pub use go_time::format_duration_ns;
pub use limits::{Limits, Work};
pub use template::{Functions, NoFunctions, Template};
pub use value::{Sample, Struct, Value};
