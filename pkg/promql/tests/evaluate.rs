//! The engine of this process behind the seam.

use std::sync::Arc;

use promql::conformance::{Source, run};
use promql::{Engine, EngineOptions, LocalEvaluator};

#[tokio::test]
async fn the_local_evaluator_conforms() {
    let source = Arc::new(Source::new());
    run(&LocalEvaluator::new(Engine::new(EngineOptions::default()), source.clone()), &source).await;
}
