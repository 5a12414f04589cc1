//! What takes samples of others: remote write and OTLP, each where its flag is given.

use std::sync::Arc;

use ::otlp::ReceiverDeps;
use assembly::Deps;
use axum::Router;
use remote::receive::{Receiver, ReceiverOptions};
use storage::Budget;
use storage::append::Appendable;

use crate::config::Config;
use crate::in_force::InForce;
use crate::otlp;

/// Their routes. What requests hold counts in `budget`.
pub fn receivers(
    config: &Config,
    deps: &Deps,
    in_force: &Arc<InForce>,
    appendable: Arc<dyn Appendable>,
    budget: Arc<Budget>,
) -> Router {
    let mut routes = Router::new();
    if config.receiver.enabled {
        let options = ReceiverOptions {
            accepted: config.receiver.messages.clone(),
            decoded_bytes_max: config.receiver.request_bytes_max,
            labels: config.limits.labels,
            type_and_unit_labels: config.features.type_and_unit_labels,
            seed: (deps.random)() as u64,
            ..ReceiverOptions::default()
        };
        let clock = deps.clock.clone();
        let receiver = Receiver::new(appendable.clone(), options, clock, budget.clone(), &deps.metrics);
        routes = routes.merge(receiver.router());
    }
    if config.otlp.enabled {
        let receiver = otlp::receiver(config, (deps.random)() as u64, in_force.clone(), |settings| ReceiverDeps {
            appendable,
            settings,
            clock: deps.clock.clone(),
            budget,
            metrics: deps.metrics.clone(),
        });
        routes = routes.merge(receiver.router());
    }
    routes
}
