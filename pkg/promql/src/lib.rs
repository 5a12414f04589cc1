//! The PromQL engine: columnar, series by series.
//!
//! A query becomes a tree of operators. Each hands out its series one at a time, a series being labels and one column of
//! values over all steps; selectors stream encoded chunks from a [`storage::SeriesSource`] and drop them once folded.
//! Memory is groups × steps for an aggregation, not series × steps.

mod engine;
mod error;
mod limits;
mod result;
mod series;

pub use engine::Engine;
pub use error::QueryError;
pub use limits::{EngineOptions, QueryOptions};
pub use result::{Grid, InstantSample, Matrix, MatrixSeries, Points, QueryResult, QueryStats, Value};
pub use series::StepColumn;
