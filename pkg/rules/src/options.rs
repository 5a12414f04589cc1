//! What rules are evaluated with.

use std::sync::Arc;

use model::Clock;
use notifier::Notify;
use promql::Evaluate;
use storage::append::Appendable;
use storage::{Budget, PartialResponse};

use crate::metrics::Metrics;

/// What rules ask, write to and tell.
#[derive(Debug, Clone)]
pub struct Deps {
    /// Answers the expressions.
    pub evaluator: Arc<dyn Evaluate>,
    /// Takes recorded series, `ALERTS` and `ALERTS_FOR_STATE`.
    pub appendable: Arc<dyn Appendable>,
    /// Takes alerts that fire or have ended.
    pub notify: Arc<dyn Notify>,
    pub clock: Arc<dyn Clock>,
    /// What all evaluations together may hold.
    pub budget: Arc<Budget>,
    pub metrics: Metrics,
}

/// Settings that hold as long as the process runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where this server is reached, for links and templates; without a slash at its end.
    pub external_url: String,
    /// The path of that URL.
    pub path_prefix: String,
    /// The longest outage after which the `for` state of alerts is restored, ms.
    pub outage_tolerance_ms: i64,
    /// The least time from a restoration to an alert that fires, ms. Alerts whose `for` is shorter are not restored.
    pub for_grace_period_ms: i64,
    /// The least time from one message about an alert to the next, ms.
    pub resend_delay_ms: i64,
    /// Rules that are evaluated beside others of their group, over all groups; 0 = all one by one.
    pub concurrent_max: usize,
    /// Most series or alerts that one rule may give, whatever the limit of its group; 0 = no limit.
    pub series_max: usize,
    /// For groups that do not say what happens when data is missing.
    pub partial_response: PartialResponse,
    /// What the templates of alerts may do.
    pub templates: gotemplate::Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            external_url: String::new(),
            path_prefix: String::new(),
            outage_tolerance_ms: 3_600_000,
            for_grace_period_ms: 600_000,
            resend_delay_ms: 60_000,
            concurrent_max: 0,
            series_max: 1_000_000,
            partial_response: PartialResponse::Warn,
            templates: gotemplate::Limits::default(),
        }
    }
}
