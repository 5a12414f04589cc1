//! The PromQL engine: columnar, series by series.
//!
//! A query becomes a tree of operators. Each hands out its series one at a time, a series being labels and one column of
//! values over all steps; selectors stream encoded chunks from a [`storage::SeriesSource`] and drop them once folded.
//! Memory is groups × steps for an aggregation, not series × steps.

mod aggregate;
mod annotations;
mod binary;
mod calls;
pub mod conformance;
mod curve;
mod decode;
mod downsampled;
mod engine;
mod error;
mod eval;
mod evaluate;
mod fetch;
mod functions;
mod go_float;
mod limits;
mod marks;
mod merge;

mod open;
mod overlay;
mod plan;
mod planner;
mod query;
mod result;
mod run;
mod samples;
mod scalar;
mod selector;
mod series;
mod sorting;
mod totals;
mod wanted;
mod window;

pub use engine::Engine;
pub use error::QueryError;
pub use evaluate::{Evaluate, LocalEvaluator};
pub use limits::EngineOptions;
pub use model::Grid;
pub use query::{EngineChoice, Query, QuerySource, ReadOptions, Times};
pub use result::{InstantSample, Matrix, MatrixSeries, Points, QueryResult, QueryStats, Value};
pub use series::StepColumn;
