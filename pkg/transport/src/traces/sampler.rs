//! Which traces are kept.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

/// The attribute of a request that is traced whatever the sampler says (Thanos' name).
pub(super) const FORCED: &str = "thanos.force_tracing";

/// A sampler of OpenTelemetry's, which requests may override.
#[derive(Debug, Clone)]
pub(super) struct Sampling(pub(super) Sampler);

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if attributes.iter().any(|a| a.key.as_str() == FORCED) {
            let state = parent.map(|p| p.span().span_context().trace_state().clone());
            let trace_state = state.unwrap_or_else(|| TraceState::NONE.clone());
            return SamplingResult { decision: SamplingDecision::RecordAndSample, attributes: vec![], trace_state };
        }
        self.0.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}
