//! Objects turned into groups of targets, with the labels that Prometheus gives them.

mod addresses;
mod pods;
mod related;
mod set;
mod simple;
#[cfg(test)]
mod tests;

use labels::Labels;

pub(crate) use related::{Find, Related};
use set::Set;

use crate::config::Role;
use crate::objects::Object;

/// What became of an object.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Made {
    /// The labels that all targets share.
    pub(crate) labels: Labels,
    pub(crate) targets: Vec<Labels>,
    /// Why there are fewer targets than there should be.
    pub(crate) trouble: Option<String>,
}

fn group(shared: &Set, targets: Vec<Labels>) -> Made {
    let labels = if targets.is_empty() { Labels::empty() } else { shared.labels() };
    Made { labels, targets, trouble: None }
}

/// The targets of an object.
pub(crate) fn make(object: &Object, related: &mut Related<'_>) -> Made {
    match object {
        Object::Node(node) => simple::node(node),
        Object::Pod(pod) => pods::pod(pod, related),
        Object::Service(service) => simple::service(service, related),
        Object::Ingress(ingress) => simple::ingress(ingress, related),
        Object::Endpoints(endpoints) => addresses::endpoints(endpoints, related),
        Object::EndpointSlice(slice) => addresses::endpoint_slice(slice, related),
        Object::Named(_) => Made::default(),
    }
}

/// The name of an object's targets as a source.
pub(crate) fn source(role: Role, key: &str) -> String {
    let kind = if role == Role::Service { "svc" } else { role.as_str() };
    format!("{kind}/{key}")
}
