//! What every place that samples are written to must do, whatever it is made of. A failed expectation panics: this is
//! for tests.

mod common;
mod order;
mod parts;
mod whole;

pub use common::{Rules, START_MS, Store, WINDOW_MS};

/// Runs everything, each part on an empty store from `make`. Needs a runtime of several threads.
///
/// # Panics
/// With what did not hold.
pub async fn run<T: Store>(make: &(dyn Fn() -> T + Sync), rules: Rules) {
    whole::visible_at_once(make()).await;
    whole::given_up(make()).await;
    whole::while_others_read(make()).await;
    whole::several_writers(make()).await;
    whole::budgets_and_cancellation(make()).await;
    order::of_samples(make(), rules).await;
    order::across_transactions(make()).await;
    order::rules_write_in_order(make(), rules).await;
    parts::references(make()).await;
    parts::label_sets(make()).await;
    parts::stale_markers(make()).await;
    parts::start_times(make()).await;
    parts::histograms(make()).await;
    parts::unequal_columns(make()).await;
    if rules.exemplars {
        parts::exemplars(make()).await;
    }
    if rules.metadata {
        parts::metadata(make()).await;
    }
}
