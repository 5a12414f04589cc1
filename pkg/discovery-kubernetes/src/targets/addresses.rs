//! Targets of the addresses behind services: endpoints and endpoint slices.

use std::collections::HashMap;
use std::sync::Arc;

use labels::Labels;

use super::made::{Made, group};
use super::pods::{containers, put_container, put_pod, put_port};
use super::related::Related;
use super::set::{Set, join};
use super::simple::put_service;
use crate::objects::{
    Address, Endpoint, EndpointPort, EndpointSlice, Endpoints, Key, Pod, Reference, Service, ServicePort,
};

/// The label of a slice that names its service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Says, as a label or an annotation, that there are more addresses than one object can hold.
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// A pod behind addresses.
struct Seen {
    pod: Arc<Pod>,
    /// The pod's labels.
    set: Set,
    /// Ports that have a target.
    ports: Vec<i64>,
}

/// Targets, and the pods behind them in the order in which they were met.
#[derive(Default)]
struct Targets {
    labels: Vec<Labels>,
    seen: Vec<Seen>,
    by_key: HashMap<Key, usize>,
}

impl Targets {
    /// Adds a target for an address. `protocol` stands in place of the container port's own.
    fn add(
        &mut self,
        mut target: Set,
        reference: Option<&Reference>,
        port: Option<i64>,
        protocol: Option<&str>,
        related: &mut Related<'_>,
    ) {
        if let Some(pod) = related.pod(reference) {
            let at = self.see(pod, related);
            if let Some(seen) = self.seen.get_mut(at) {
                target.put_all(&seen.set);
                let fits = containers(&seen.pod).filter_map(|(container, is_init)| {
                    let port = container.ports.iter().find(|p| Some(p.container_port) == port)?;
                    Some((container, is_init, port))
                });
                for (container, is_init, port) in fits {
                    put_container(&mut target, container, is_init);
                    put_port(&mut target, port.container_port, &port.name, protocol.unwrap_or(&port.protocol));
                }
                seen.ports.extend(port);
            }
        }
        self.labels.push(target.labels());
    }

    fn see(&mut self, pod: Arc<Pod>, related: &mut Related<'_>) -> usize {
        let key = pod.metadata.key();
        if let Some(at) = self.by_key.get(&key) {
            return *at;
        }
        let mut set = Set::default();
        put_pod(&mut set, &pod, related);
        self.by_key.insert(key, self.seen.len());
        self.seen.push(Seen { pod, set, ports: Vec::new() });
        self.seen.len() - 1
    }

    /// All targets, with one for each container port of the pods that no address has.
    fn finish(mut self) -> Vec<Labels> {
        for Seen { pod, set, ports } in self.seen {
            if pod.status.pod_ip.is_empty() {
                continue;
            }
            for (container, is_init) in containers(&pod) {
                for port in container.ports.iter().filter(|port| !ports.contains(&port.container_port)) {
                    let mut target = Set::of_address(&join(&pod.status.pod_ip, port.container_port));
                    put_container(&mut target, container, is_init);
                    put_port(&mut target, port.container_port, &port.name, &port.protocol);
                    target.put_all(&set);
                    self.labels.push(target.labels());
                }
            }
        }
        self.labels
    }
}

pub(super) fn endpoints(endpoints: &Endpoints, related: &mut Related<'_>) -> Made {
    let meta = &endpoints.metadata;
    let mut shared = Set::default();
    shared.put("namespace", &meta.namespace);
    if let Some(service) = related.service(&meta.namespace, &meta.name) {
        put_service(&mut shared, &service);
    }
    shared.put_object("endpoints", meta);
    related.put_namespace(&mut shared, &meta.namespace);
    let mut targets = Targets::default();
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let ready = subset.addresses.iter().map(|address| (address, "true"));
            for (address, ready) in ready.chain(subset.not_ready_addresses.iter().map(|address| (address, "false"))) {
                let target = of_address(address, port, ready, related);
                targets.add(target, address.target_ref.as_ref(), Some(port.port), Some(&port.protocol), related);
            }
        }
    }
    let mut made = group(&shared, targets.finish());
    if [&meta.labels, &meta.annotations].iter().any(|pairs| pairs.get(OVER_CAPACITY) == Some("truncated")) {
        let why = "the service has more than 1000 addresses, and the others are missing: use the role endpointslice";
        made.trouble = Some(why.to_owned());
    }
    made
}

fn of_address(address: &Address, port: &ServicePort, ready: &str, related: &mut Related<'_>) -> Set {
    let mut target = Set::of_address(&join(&address.ip, port.port));
    target.put("endpoint_port_name", &port.name);
    target.put("endpoint_port_protocol", &port.protocol);
    target.put("endpoint_ready", ready);
    if let Some(reference) = &address.target_ref {
        target.put("endpoint_address_target_kind", &reference.kind);
        target.put("endpoint_address_target_name", &reference.name);
    }
    target.put_some("endpoint_node_name", address.node_name.as_deref());
    target.put("endpoint_hostname", &address.hostname);
    let of_node = || address.target_ref.as_ref().filter(|reference| &*reference.kind == "Node");
    related.put_node(&mut target, address.node_name.as_deref().or_else(|| of_node().map(|reference| &*reference.name)));
    target
}

pub(super) fn endpoint_slice(slice: &EndpointSlice, related: &mut Related<'_>) -> Made {
    let meta = &slice.metadata;
    let mut shared = Set::default();
    shared.put("namespace", &meta.namespace);
    shared.put("endpointslice_address_type", &slice.address_type);
    shared.put_object("endpointslice", meta);
    let service = meta.labels.get(SERVICE_NAME).and_then(|name| related.service(&meta.namespace, name));
    if let Some(service) = &service {
        put_service(&mut shared, service);
    }
    related.put_namespace(&mut shared, &meta.namespace);
    if service.is_some_and(|service| is_second_family(&service, slice)) {
        return group(&shared, Vec::new());
    }
    let mut targets = Targets::default();
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let target = of_endpoint(address, endpoint, port, related);
                targets.add(target, endpoint.target_ref.as_ref(), port.port, None, related);
            }
        }
    }
    group(&shared, targets.finish())
}

/// Whether the slice has the same pods as another one of the service, under addresses of its other IP family.
fn is_second_family(service: &Service, slice: &EndpointSlice) -> bool {
    let spec = &service.spec;
    let dual = matches!(&*spec.ip_family_policy, "PreferDualStack" | "RequireDualStack");
    dual && spec.ip_families.first().is_some_and(|first| *first != slice.address_type)
}

fn of_endpoint(address: &str, endpoint: &Endpoint, port: &EndpointPort, related: &mut Related<'_>) -> Set {
    let word = |yes: Option<bool>| yes.map(|yes| if yes { "true" } else { "false" });
    let mut target = match port.port {
        Some(port) => Set::of_address(&join(address, port)),
        None => Set::of_address(address),
    };
    target.put_some("endpointslice_port_name", port.name.as_deref());
    target.put_some("endpointslice_port_protocol", port.protocol.as_deref());
    target.put_some("endpointslice_port", port.port.map(|port| port.to_string()).as_deref());
    target.put_some("endpointslice_port_app_protocol", port.app_protocol.as_deref());
    let conditions = &endpoint.conditions;
    target.put_some("endpointslice_endpoint_conditions_ready", word(conditions.ready));
    target.put_some("endpointslice_endpoint_conditions_serving", word(conditions.serving));
    target.put_some("endpointslice_endpoint_conditions_terminating", word(conditions.terminating));
    target.put_some("endpointslice_endpoint_hostname", endpoint.hostname.as_deref());
    if let Some(reference) = &endpoint.target_ref {
        target.put("endpointslice_address_target_kind", &reference.kind);
        target.put("endpointslice_address_target_name", &reference.name);
    }
    target.put_some("endpointslice_endpoint_node_name", endpoint.node_name.as_deref());
    target.put_some("endpointslice_endpoint_zone", endpoint.zone.as_deref());
    for (name, value) in &endpoint.deprecated_topology.0 {
        target.put_named("endpointslice_endpoint_topology_", name, value);
        target.put_named("endpointslice_endpoint_topology_present_", name, "true");
    }
    let of_node = endpoint.target_ref.as_ref().filter(|reference| &*reference.kind == "Node");
    related.put_node(&mut target, of_node.map(|reference| &*reference.name).or(endpoint.node_name.as_deref()));
    target
}
