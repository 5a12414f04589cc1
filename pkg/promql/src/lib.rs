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
mod crew;
mod curve;
mod decode;
mod describe;
mod downsampled;
mod each;
mod edges;
mod engine;
mod error;
mod eval;
mod evaluate;
mod explain;
mod fetch;
mod functions;
mod go_float;
mod hands;
mod histogram_chunks;
mod kernel;
mod limits;
mod looks;
mod marks;
mod measured;
mod merge;
mod mixed;
mod native;
mod native_overlay;
mod notes;
mod one_lane;
mod open;
mod overlay;
mod passes;
mod plan;
mod planner;
mod profile;
mod query;
mod range;
mod reach;
mod read;
mod reads;
mod result;
mod run;
mod samples;
mod scalar;
mod select_plan;
mod selector;
mod series;
mod share;
mod sorting;
mod spare;
mod threads;
mod totals;
mod tree;
mod window;

pub use engine::Engine;
pub use error::QueryError;
pub use evaluate::{Answers, Evaluate, LocalEvaluator};
pub use explain::{Explained, PlanNode, explain};
pub use limits::{EngineOptions, QueryLimits};
pub use model::Grid;
pub use native::{compact, difference, text as histogram_text, total, whole_text as whole_histogram_text};
pub use passes::{PassReport, Passes};
pub use query::{EngineChoice, Query, QuerySource, ReadOptions, Times};
pub use reach::{Reach, depends_on_steps, reach};
pub use result::{
    InstantSample, Matrix, MatrixSeries, OperatorStats, Points, QueryResult, QueryStats, RangeSamples, Value,
};
pub use series::StepColumn;
