//! The objects that targets are made of: the fields that become labels, and no others.

use serde::Deserialize;

use super::meta::{Meta, Pairs, Text, nullable};

/// An object of which only the metadata counts: a namespace, a replica set, a job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) metadata: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: NodeSpec,
    #[serde(deserialize_with = "nullable")]
    pub(crate) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    #[serde(rename = "providerID", deserialize_with = "nullable")]
    pub(crate) provider_id: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeStatus {
    #[serde(deserialize_with = "nullable")]
    pub(crate) addresses: Box<[NodeAddress]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Box<[Condition]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) daemon_endpoints: DaemonEndpoints,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeAddress {
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub(crate) kind: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) address: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DaemonEndpoints {
    #[serde(deserialize_with = "nullable")]
    pub(crate) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonEndpoint {
    #[serde(rename = "Port", deserialize_with = "nullable")]
    pub(crate) port: i64,
}

/// A condition of a node or a pod.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub(crate) kind: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) status: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: PodSpec,
    #[serde(deserialize_with = "nullable")]
    pub(crate) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    #[serde(deserialize_with = "nullable")]
    pub(crate) node_name: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) containers: Box<[Container]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) init_containers: Box<[Container]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) image: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Box<[ContainerPort]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) container_port: i64,
    #[serde(deserialize_with = "nullable")]
    pub(crate) protocol: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    #[serde(deserialize_with = "nullable")]
    pub(crate) phase: Text,
    #[serde(rename = "podIP", deserialize_with = "nullable")]
    pub(crate) pod_ip: Text,
    #[serde(rename = "hostIP", deserialize_with = "nullable")]
    pub(crate) host_ip: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: Box<[Condition]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) container_statuses: Box<[ContainerStatus]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) init_container_statuses: Box<[ContainerStatus]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerStatus {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(rename = "containerID", deserialize_with = "nullable")]
    pub(crate) container_id: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: ServiceSpec,
    #[serde(deserialize_with = "nullable")]
    pub(crate) status: ServiceStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub(crate) kind: Text,
    #[serde(rename = "clusterIP", deserialize_with = "nullable")]
    pub(crate) cluster_ip: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) external_name: Text,
    #[serde(rename = "loadBalancerIP", deserialize_with = "nullable")]
    pub(crate) load_balancer_ip: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ip_family_policy: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ip_families: Box<[Text]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Box<[ServicePort]>,
}

/// A port of a service or of endpoints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServicePort {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) port: i64,
    #[serde(deserialize_with = "nullable")]
    pub(crate) protocol: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ServiceStatus {
    #[serde(deserialize_with = "nullable")]
    pub(crate) load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoadBalancer {
    #[serde(deserialize_with = "nullable")]
    pub(crate) ingress: Box<[LoadBalancerAddress]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LoadBalancerAddress {
    #[serde(deserialize_with = "nullable")]
    pub(crate) ip: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ingress {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) spec: IngressSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct IngressSpec {
    pub(crate) ingress_class_name: Option<Text>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) rules: Box<[IngressRule]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) tls: Box<[IngressTls]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IngressRule {
    #[serde(deserialize_with = "nullable")]
    pub(crate) host: Text,
    pub(crate) http: Option<IngressPaths>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IngressPaths {
    #[serde(deserialize_with = "nullable")]
    pub(crate) paths: Box<[IngressPath]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IngressPath {
    #[serde(deserialize_with = "nullable")]
    pub(crate) path: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IngressTls {
    #[serde(deserialize_with = "nullable")]
    pub(crate) hosts: Box<[Text]>,
}

/// What stands behind an address.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reference {
    #[serde(deserialize_with = "nullable")]
    pub(crate) kind: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) namespace: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Endpoints {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) subsets: Box<[Subset]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Subset {
    #[serde(deserialize_with = "nullable")]
    pub(crate) addresses: Box<[Address]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) not_ready_addresses: Box<[Address]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Box<[ServicePort]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Address {
    #[serde(deserialize_with = "nullable")]
    pub(crate) ip: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) hostname: Text,
    pub(crate) node_name: Option<Text>,
    pub(crate) target_ref: Option<Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EndpointSlice {
    pub(crate) metadata: Meta,
    #[serde(deserialize_with = "nullable")]
    pub(crate) address_type: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) endpoints: Box<[Endpoint]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) ports: Box<[EndpointPort]>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Endpoint {
    #[serde(deserialize_with = "nullable")]
    pub(crate) addresses: Box<[Text]>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) conditions: EndpointConditions,
    pub(crate) hostname: Option<Text>,
    pub(crate) node_name: Option<Text>,
    pub(crate) zone: Option<Text>,
    pub(crate) target_ref: Option<Reference>,
    #[serde(deserialize_with = "nullable")]
    pub(crate) deprecated_topology: Pairs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointConditions {
    pub(crate) ready: Option<bool>,
    pub(crate) serving: Option<bool>,
    pub(crate) terminating: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct EndpointPort {
    pub(crate) name: Option<Text>,
    pub(crate) protocol: Option<Text>,
    pub(crate) port: Option<i64>,
    pub(crate) app_protocol: Option<Text>,
}
