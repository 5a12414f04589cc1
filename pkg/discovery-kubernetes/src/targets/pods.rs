//! Targets of pods, and what other targets are told of the pod behind them.

use super::made::{Made, group};
use super::related::Related;
use super::set::{Set, join};
use crate::objects::{Container, Pod, Resource};

pub(super) fn pod(pod: &Pod, related: &mut Related<'_>) -> Made {
    let meta = &pod.metadata;
    // A pod that starts or was evicted has no address; one on a node that the selector of nodes leaves out is not wanted.
    if pod.status.pod_ip.is_empty() || (related.attach.node && related.node(&pod.spec.node_name).is_none()) {
        return Made::default();
    }
    let mut shared = Set::default();
    put_pod(&mut shared, pod, related);
    shared.put("namespace", &meta.namespace);
    related.put_node(&mut shared, Some(&pod.spec.node_name));
    related.put_namespace(&mut shared, &meta.namespace);
    let mut targets = Vec::new();
    for (container, is_init) in containers(pod) {
        let statuses = if is_init { &pod.status.init_container_statuses } else { &pod.status.container_statuses };
        let status = statuses.iter().find(|status| status.name == container.name);
        let about = |address: &str| {
            let mut target = Set::of_address(address);
            put_container(&mut target, container, is_init);
            target.put_some("pod_container_id", status.map(|status| &*status.container_id));
            target
        };
        if container.ports.is_empty() {
            targets.push(about(&pod.status.pod_ip).labels());
        }
        for port in &container.ports {
            let mut target = about(&join(&pod.status.pod_ip, port.container_port));
            put_port(&mut target, port.container_port, &port.name, &port.protocol);
            targets.push(target.labels());
        }
    }
    group(&shared, targets)
}

/// The containers of a pod, and whether each runs before the others only.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let lasting = pod.spec.containers.iter().map(|container| (container, false));
    lasting.chain(pod.spec.init_containers.iter().map(|container| (container, true)))
}

pub(super) fn put_container(set: &mut Set, container: &Container, is_init: bool) {
    set.put("pod_container_name", &container.name);
    set.put("pod_container_image", &container.image);
    set.put("pod_container_init", if is_init { "true" } else { "false" });
}

pub(super) fn put_port(set: &mut Set, number: i64, name: &str, protocol: &str) {
    set.put("pod_container_port_number", &number.to_string());
    set.put("pod_container_port_name", name);
    set.put("pod_container_port_protocol", protocol);
}

/// All that targets are told of their pod, its namespace excepted.
pub(super) fn put_pod(set: &mut Set, pod: &Pod, related: &mut Related<'_>) {
    let (meta, status) = (&pod.metadata, &pod.status);
    set.put("pod_ip", &status.pod_ip);
    let ready = status.conditions.iter().find(|condition| &*condition.kind == "Ready");
    set.put("pod_ready", &ready.map_or_else(|| "unknown".to_owned(), |condition| condition.status.to_lowercase()));
    set.put("pod_phase", &status.phase);
    set.put("pod_node_name", &pod.spec.node_name);
    set.put("pod_host_ip", &status.host_ip);
    set.put("pod_uid", &meta.uid);
    set.put_object("pod", meta);
    let Some(owner) = meta.controller() else { return };
    set.put("pod_controller_kind", &owner.kind);
    set.put("pod_controller_name", &owner.name);
    let attach = related.attach;
    if attach.deployment && &*owner.kind == "ReplicaSet" {
        let maker = related.maker(Resource::ReplicaSet, &meta.namespace, &owner.name, "Deployment");
        set.put_some("pod_deployment_name", maker.as_ref().map(|maker| maker.as_str()));
    }
    if attach.job && &*owner.kind == "Job" {
        set.put("pod_job_name", &owner.name);
    }
    if attach.cronjob && &*owner.kind == "Job" {
        let maker = related.maker(Resource::Job, &meta.namespace, &owner.name, "CronJob");
        set.put_some("pod_cronjob_name", maker.as_ref().map(|maker| maker.as_str()));
    }
}
