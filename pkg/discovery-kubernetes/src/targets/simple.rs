//! Targets of nodes, services and ingresses.

use super::made::{Made, group};
use super::related::Related;
use super::set::{Set, join};
use crate::objects::{Ingress, Node, Service, ServicePort};

/// Kinds of node addresses, the one first that is preferred.
const PREFERRED: [&str; 6] = ["InternalIP", "InternalDNS", "ExternalIP", "ExternalDNS", "LegacyHostIP", "Hostname"];

pub(super) fn node(node: &Node) -> Made {
    let mut shared = Set::default();
    shared.put("node_provider_id", &node.spec.provider_id);
    for condition in &node.status.conditions {
        shared.put_named("node_condition_", &condition.kind.to_lowercase(), &condition.status.to_lowercase());
    }
    shared.put_object("node", &node.metadata);
    let addresses = &node.status.addresses;
    let Some(address) = PREFERRED.iter().find_map(|kind| addresses.iter().find(|a| &*a.kind == *kind)) else {
        return Made { trouble: Some("the node has no address".to_owned()), ..Made::default() };
    };
    let mut target = Set::of_address(&join(&address.address, node.status.daemon_endpoints.kubelet_endpoint.port));
    target.plain("instance", &node.metadata.name);
    // Of two addresses of one kind the first counts.
    for address in addresses.iter().rev() {
        target.put_named("node_address_", &address.kind, &address.address);
    }
    group(&shared, vec![target.labels()])
}

pub(super) fn service(service: &Service, related: &mut Related<'_>) -> Made {
    let (meta, spec) = (&service.metadata, &service.spec);
    let mut shared = Set::default();
    put_service(&mut shared, service);
    related.put_namespace(&mut shared, &meta.namespace);
    let host = format!("{}.{}.svc", meta.name, meta.namespace);
    let target = |port: &ServicePort| {
        let mut target = Set::of_address(&join(&host, port.port));
        target.put("service_port_name", &port.name);
        target.put("service_port_number", &port.port.to_string());
        target.put("service_port_protocol", &port.protocol);
        target.put("service_type", &spec.kind);
        match &*spec.kind {
            "ExternalName" => target.put("service_external_name", &spec.external_name),
            _ => target.put("service_cluster_ip", &spec.cluster_ip),
        }
        if &*spec.kind == "LoadBalancer" {
            target.put("service_loadbalancer_ip", &balancers(service));
        }
        target.labels()
    };
    let targets = spec.ports.iter().map(target).collect();
    group(&shared, targets)
}

/// What targets are told of the service that they belong to.
pub(super) fn put_service(set: &mut Set, service: &Service) {
    set.put("namespace", &service.metadata.namespace);
    set.put_object("service", &service.metadata);
}

/// The addresses of a load balancer, or the one that was wished for while there are none.
fn balancers(service: &Service) -> String {
    let addresses = service.status.load_balancer.ingress.iter().map(|address| &*address.ip);
    let found: Vec<&str> = addresses.filter(|ip| !ip.is_empty()).collect();
    if found.is_empty() { service.spec.load_balancer_ip.to_string() } else { found.join(",") }
}

pub(super) fn ingress(ingress: &Ingress, related: &mut Related<'_>) -> Made {
    let (meta, spec) = (&ingress.metadata, &ingress.spec);
    let mut shared = Set::default();
    shared.put("namespace", &meta.namespace);
    shared.put_some("ingress_class_name", spec.ingress_class_name.as_deref());
    shared.put_object("ingress", meta);
    related.put_namespace(&mut shared, &meta.namespace);
    let mut targets = Vec::new();
    for rule in &spec.rules {
        let is_tls = spec.tls.iter().flat_map(|tls| &tls.hosts).any(|pattern| is_host_of(pattern, &rule.host));
        let mut target = Set::of_address(&rule.host);
        target.put("ingress_scheme", if is_tls { "https" } else { "http" });
        target.put("ingress_host", &rule.host);
        let mut add = |path: &str| {
            target.put("ingress_path", if path.is_empty() { "/" } else { path });
            targets.push(target.labels());
        };
        match &rule.http {
            Some(http) => http.paths.iter().for_each(|path| add(&path.path)),
            None => add("/"),
        }
    }
    group(&shared, targets)
}

/// Whether a host has a certificate for `pattern`, whose first part may be `*`.
fn is_host_of(pattern: &str, host: &str) -> bool {
    let rest = |name: &'_ str| name.split_once('.').map(|(_, rest)| rest.to_owned());
    pattern == host
        || (pattern.split('.').next() == Some("*")
            && match (rest(pattern), rest(host)) {
                (Some(pattern), Some(host)) => pattern == host,
                (None, None) => true,
                _ => false,
            })
}

#[cfg(test)]
mod tests {
    use super::is_host_of;

    #[test]
    fn patterns_of_hosts() {
        for (pattern, host, is) in [
            ("a.b.c", "a.b.c", true),
            ("*.b.c", "a.b.c", true),
            ("*.b.c", "b.c", false),
            ("*.b.c", "x.a.b.c", false),
            ("*.b.c", "a.b.d", false),
            ("a.*.c", "a.b.c", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("", "a", false),
        ] {
            assert_eq!(is_host_of(pattern, host), is, "{pattern} {host}");
        }
    }
}
