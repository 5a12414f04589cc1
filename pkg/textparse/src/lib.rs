//! What targets answer a scrape with: Prometheus' text format, OpenMetrics, delimited protobuf. Bytes to entries, no
//! allocation per sample.
//!
//! A [`Parser`] moves through a body entry by entry. A sample's series comes as the bytes that stand in the body
//! ([`Series::key`]), so that a scrape can recognise a series without reading its labels; the labels are read on demand
//! ([`Series::labels`]).
//!
//! ```
//! use textparse::{Entry, Format, Options, Parser};
//!
//! let mut parser = Parser::new(b"up{job=\"a\"} 1\n", Format::Text, Options::default()).unwrap();
//! while let Some(entry) = parser.next().unwrap() {
//!     let Entry::Sample(sample) = entry else { continue };
//!     assert_eq!((sample.series.key(), sample.value), (&b"up{job=\"a\"}"[..], 1.0));
//! }
//! ```
//!
//! Sources: the pages "Exposition formats" and "OpenMetrics" of Prometheus' documentation, `metrics.proto` of
//! prometheus/client_model. What is taken and what is refused are the decisions of Prometheus 3.14.

mod created;
mod decimal;
mod entry;
mod error;
mod escape;
mod format;
mod known;
mod lexer;
mod nhcb;
mod number;
mod openmetrics;
mod parser;
mod protobuf;
mod scan;
mod text;

pub use entry::{Entry, Exemplar, HistogramEntry, NativeHistogram, Sample, Series};
pub use error::ParseError;
pub use format::{Chosen, Format, UnknownFormat, choose_format};
pub use known::Known;
pub use nhcb::Unconverted;
pub use number::{format_openmetrics_float, parse_value};
pub use parser::{Options, Parser};
