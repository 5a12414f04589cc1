//! Objects turned into groups of targets, with the labels that Prometheus gives them.

mod addresses;
mod made;
mod pods;
mod related;
mod set;
mod simple;
#[cfg(test)]
mod tests;

pub(crate) use made::Made;
pub(crate) use related::{Find, Related};

use crate::config::Role;
use crate::objects::Object;

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
