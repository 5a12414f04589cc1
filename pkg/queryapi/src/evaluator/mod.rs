//! Evaluation where the data is: a query with all that its answer depends on goes to a process of aion of the same version,
//! and comes back as the columns that an engine here would have made (`aion.Evaluator`).

mod answer;
mod ask;
mod client;
mod server;

pub use client::EvaluatorClient;
pub use server::{EvaluatorOptions, EvaluatorServer};
use telemetry::build::BuildInfo;

/// What askers and evaluators must have in common.
pub fn version(build: BuildInfo) -> String {
    format!("{} {}", build.version, build.revision)
}
