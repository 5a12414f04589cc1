//! Objects as the API server writes them, and the labels that Prometheus 3.14 makes of them.

use std::collections::HashMap;

use labels::Labels;
use serde_json::{Value, json};

use super::{Find, Related, make, source};
use crate::config::{AttachMetadata, Role};
use crate::objects::{Key, Object, Resource};

/// A cluster's objects.
#[derive(Default)]
struct World(HashMap<(Resource, Key), Object>);

impl Find for World {
    fn find(&self, resource: Resource, key: &str) -> Option<Object> {
        self.0.get(&(resource, key.into())).cloned()
    }
}

fn world(objects: &[(Resource, Value)]) -> World {
    let read = |(resource, object): &(Resource, Value)| {
        let list = json!({"metadata": {"resourceVersion": "1"}, "items": [object]}).to_string();
        let object = resource.page(list.as_bytes()).unwrap().objects.remove(0);
        ((*resource, object.meta().key()), object)
    };
    World(objects.iter().map(read).collect())
}

fn line(labels: &Labels) -> String {
    let short = |name: &str| name.replace("__meta_kubernetes_", "");
    let parts: Vec<String> = labels.iter().map(|(name, value)| format!("{}={value}", short(name))).collect();
    parts.join(" ")
}

/// Source and shared labels, then each target, then what is missing.
fn shown(world: &World, role: Role, key: &str, attach: AttachMetadata) -> Vec<String> {
    let object = world.find(Resource::of(role), key).unwrap();
    let made = make(&object, &mut Related::new(world, attach));
    let mut out = vec![format!("{} {}", source(role, key), line(&made.labels)).trim_end().to_owned()];
    out.extend(made.targets.iter().map(line));
    out.extend(made.trouble);
    out
}

const NOTHING: AttachMetadata =
    AttachMetadata { node: false, namespace: false, deployment: false, job: false, cronjob: false };

#[test]
fn nodes() {
    let node = json!({
        "metadata": {
            "name": "n1", "uid": "u",
            "labels": {"test-label": "a", "kubernetes.io/os": "linux", "Ünder": "x", "empty": ""},
            "annotations": {"a.b/c": "d"},
        },
        "spec": {"providerID": "aws:///x"},
        "status": {
            "addresses": [
                {"type": "Hostname", "address": "host"},
                {"type": "ExternalIP", "address": "9.9.9.9"},
                {"type": "InternalIP", "address": "fd00::1"},
                {"type": "InternalIP", "address": "10.0.0.1"},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Disk-Pressure", "status": "Unknown"}],
        },
    });
    let bare = json!({"metadata": {"name": "n2"}, "status": {"addresses": [{"type": "Secret", "address": "x"}]}});
    let world = world(&[(Resource::Node, node), (Resource::Node, bare)]);
    assert_eq!(
        shown(&world, Role::Node, "n1", NOTHING),
        [
            "node/n1 node_annotation_a_b_c=d node_annotationpresent_a_b_c=true node_condition_disk_pressure=unknown \
             node_condition_ready=true node_label__nder=x node_label_kubernetes_io_os=linux node_label_test_label=a \
             node_labelpresent__nder=true node_labelpresent_empty=true node_labelpresent_kubernetes_io_os=true \
             node_labelpresent_test_label=true node_name=n1 node_provider_id=aws:///x",
            "__address__=[fd00::1]:10250 node_address_ExternalIP=9.9.9.9 node_address_Hostname=host \
             node_address_InternalIP=fd00::1 instance=n1",
        ]
    );
    assert_eq!(shown(&world, Role::Node, "n2", NOTHING), ["node/n2", "the node has no address"]);
}

fn pod() -> Value {
    json!({
        "metadata": {
            "name": "p", "namespace": "default", "uid": "abc",
            "labels": {"app": "web"}, "annotations": {"prometheus.io/scrape": "true"},
            "ownerReferences": [
                {"kind": "Other", "name": "o"},
                {"kind": "ReplicaSet", "name": "web-1", "controller": true},
            ],
        },
        "spec": {
            "nodeName": "n1",
            "containers": [
                {"name": "c0", "image": "c0:1", "ports": [
                    {"name": "http", "containerPort": 9000, "protocol": "TCP"},
                    {"containerPort": 53, "protocol": "UDP"},
                ]},
                {"name": "c1", "image": "c1:1"},
            ],
            "initContainers": [{"name": "i", "image": "i:1", "ports": [{"name": "in", "containerPort": 1111, "protocol": "TCP"}]}],
        },
        "status": {
            "phase": "Running", "podIP": "1.2.3.4", "hostIP": "2.3.4.5",
            "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False"}],
            "containerStatuses": [{"name": "c0", "containerID": "docker://a1"}],
            "initContainerStatuses": [{"name": "i", "containerID": "containerd://b2"}, {"name": "c1", "containerID": "no"}],
        },
    })
}

const POD: &str = "pod_annotation_prometheus_io_scrape=true pod_annotationpresent_prometheus_io_scrape=true";
const POD_CONTROLLER: &str = "pod_controller_kind=ReplicaSet pod_controller_name=web-1";
const POD_REST: &str = "pod_host_ip=2.3.4.5 pod_ip=1.2.3.4 pod_label_app=web pod_labelpresent_app=true pod_name=p \
                        pod_node_name=n1 pod_phase=Running pod_ready=false pod_uid=abc";

#[test]
fn pods() {
    let mut other = pod();
    other["metadata"]["name"] = "q".into();
    other["status"]["podIP"] = "".into();
    let mut six = json!({"metadata": {"name": "six", "namespace": "x"}, "spec": {"containers": [{"name": "c", "ports": [{"containerPort": 1}]}]}});
    six["status"] = json!({"podIP": "fd00::2"});
    let world = world(&[(Resource::Pod, pod()), (Resource::Pod, other), (Resource::Pod, six)]);
    assert_eq!(
        shown(&world, Role::Pod, "default/p", NOTHING),
        [
            format!("pod/default/p namespace=default {POD} {POD_CONTROLLER} {POD_REST}"),
            "__address__=1.2.3.4:9000 pod_container_id=docker://a1 pod_container_image=c0:1 pod_container_init=false \
             pod_container_name=c0 pod_container_port_name=http pod_container_port_number=9000 \
             pod_container_port_protocol=TCP"
                .to_owned(),
            "__address__=1.2.3.4:53 pod_container_id=docker://a1 pod_container_image=c0:1 pod_container_init=false \
             pod_container_name=c0 pod_container_port_number=53 pod_container_port_protocol=UDP"
                .to_owned(),
            "__address__=1.2.3.4 pod_container_image=c1:1 pod_container_init=false pod_container_name=c1".to_owned(),
            "__address__=1.2.3.4:1111 pod_container_id=containerd://b2 pod_container_image=i:1 pod_container_init=true \
             pod_container_name=i pod_container_port_name=in pod_container_port_number=1111 \
             pod_container_port_protocol=TCP"
                .to_owned(),
        ]
    );
    assert_eq!(shown(&world, Role::Pod, "default/q", NOTHING), ["pod/default/q"], "a pod without an address");
    let six = shown(&world, Role::Pod, "x/six", NOTHING);
    assert_eq!(six[0], "pod/x/six namespace=x pod_ip=fd00::2 pod_name=six pod_ready=unknown");
    assert!(six[1].starts_with("__address__=[fd00::2]:1 "), "{six:?}");
}

#[test]
fn pods_with_more() {
    let named = |name: &str, namespace: &str, owner: Value| json!({"metadata": {"name": name, "namespace": namespace, "ownerReferences": [owner]}});
    let mut of_job = pod();
    of_job["metadata"]["name"] = "j".into();
    of_job["metadata"]["ownerReferences"] = json!([{"kind": "Job", "name": "job-1", "controller": true}]);
    let world = world(&[
        (Resource::Pod, pod()),
        (Resource::Pod, of_job),
        (Resource::Node, json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}, "spec": {"providerID": "x"}})),
        (Resource::Namespace, json!({"metadata": {"name": "default", "annotations": {"team": "t"}}})),
        (
            Resource::ReplicaSet,
            named("web-1", "default", json!({"kind": "Deployment", "name": "web", "controller": true})),
        ),
        (Resource::Job, named("job-1", "default", json!({"kind": "CronJob", "name": "cron", "controller": true}))),
    ]);
    let all = AttachMetadata { node: true, namespace: true, deployment: true, job: true, cronjob: true };
    assert_eq!(
        shown(&world, Role::Pod, "default/p", all)[0],
        format!(
            "pod/default/p namespace=default namespace_annotation_team=t namespace_annotationpresent_team=true \
             node_label_zone=a node_labelpresent_zone=true node_name=n1 {POD} {POD_CONTROLLER} pod_deployment_name=web \
             {POD_REST}"
        )
    );
    let of_job = |attach| {
        let shared = shown(&world, Role::Pod, "default/j", attach).remove(0);
        let words = shared
            .split(' ')
            .filter(|word| word.contains("job") && word.contains("_name=pod") || word.contains("job_"));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of_job(all), ["pod_cronjob_name=cron", "pod_job_name=job-1"]);
    assert_eq!(of_job(AttachMetadata { job: true, ..NOTHING }), ["pod_job_name=job-1"]);
    assert_eq!(of_job(AttachMetadata { cronjob: true, ..NOTHING }), ["pod_cronjob_name=cron"]);
}

#[test]
fn pods_on_nodes_that_are_not_selected() {
    let world = world(&[(Resource::Pod, pod())]);
    let attach = AttachMetadata { node: true, ..NOTHING };
    assert_eq!(shown(&world, Role::Pod, "default/p", attach), ["pod/default/p"]);
}

fn service(name: &str, spec: Value, status: Value) -> (Resource, Value) {
    let metadata = json!({"name": name, "namespace": "ns", "labels": {"l": "1"}});
    (Resource::Service, json!({"metadata": metadata, "spec": spec, "status": status}))
}

#[test]
fn services() {
    let ports = json!([{"name": "web", "port": 80, "protocol": "TCP"}, {"port": 81, "protocol": "UDP"}]);
    let port = json!([{"name": "web", "port": 80, "protocol": "TCP"}]);
    let lb = |ip: &str| json!({"type": "LoadBalancer", "clusterIP": "10.0.0.2", "loadBalancerIP": ip, "ports": port});
    let world = world(&[
        service("two", json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "ports": ports}), json!(null)),
        service(
            "out",
            json!({"type": "ExternalName", "externalName": "x.org", "clusterIP": "no", "ports": port}),
            json!({}),
        ),
        service("lb", lb("1.1.1.1"), json!({"loadBalancer": {}})),
        service(
            "lbs",
            lb("1.1.1.1"),
            json!({"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "h"}, {"ip": "3.3.3.3"}]}}),
        ),
        service("none", json!({"type": "ClusterIP"}), json!({})),
        (Resource::Namespace, json!({"metadata": {"name": "ns", "labels": {"k": "v"}}})),
    ]);
    let shared =
        |name| format!("svc/ns/{name} namespace=ns service_label_l=1 service_labelpresent_l=true service_name={name}");
    assert_eq!(
        shown(&world, Role::Service, "ns/two", NOTHING),
        [
            shared("two"),
            "__address__=two.ns.svc:80 service_cluster_ip=10.0.0.1 service_port_name=web service_port_number=80 \
             service_port_protocol=TCP service_type=ClusterIP"
                .to_owned(),
            "__address__=two.ns.svc:81 service_cluster_ip=10.0.0.1 service_port_number=81 service_port_protocol=UDP \
             service_type=ClusterIP"
                .to_owned(),
        ]
    );
    assert_eq!(
        shown(&world, Role::Service, "ns/out", AttachMetadata { namespace: true, ..NOTHING }),
        [
            "svc/ns/out namespace=ns namespace_label_k=v namespace_labelpresent_k=true service_label_l=1 \
             service_labelpresent_l=true service_name=out",
            "__address__=out.ns.svc:80 service_external_name=x.org service_port_name=web service_port_number=80 \
             service_port_protocol=TCP service_type=ExternalName",
        ]
    );
    for (name, ip) in [("lb", "1.1.1.1"), ("lbs", "2.2.2.2,3.3.3.3")] {
        assert_eq!(
            shown(&world, Role::Service, &format!("ns/{name}"), NOTHING)[1],
            format!(
                "__address__={name}.ns.svc:80 service_cluster_ip=10.0.0.2 service_loadbalancer_ip={ip} \
                 service_port_name=web service_port_number=80 service_port_protocol=TCP service_type=LoadBalancer"
            )
        );
    }
    assert_eq!(shown(&world, Role::Service, "ns/none", NOTHING), ["svc/ns/none"]);
}

#[test]
fn ingresses() {
    let ingress = json!({
        "metadata": {"name": "i", "namespace": "ns", "annotations": {"a/b": "c"}},
        "spec": {
            "ingressClassName": "nginx",
            "tls": [{"hosts": ["a.example", "*.wild.example"]}, {"secretName": "s"}],
            "rules": [
                {"host": "a.example", "http": {"paths": [{"path": "/x"}, {"pathType": "Prefix"}]}},
                {"host": "b.wild.example"},
                {"host": "b.example", "http": {"paths": null}},
                {"host": "c.example", "http": null},
            ],
        },
    });
    let world = world(&[(Resource::Ingress, ingress)]);
    assert_eq!(
        shown(&world, Role::Ingress, "ns/i", NOTHING),
        [
            "ingress/ns/i ingress_annotation_a_b=c ingress_annotationpresent_a_b=true ingress_class_name=nginx \
             ingress_name=i namespace=ns",
            "__address__=a.example ingress_host=a.example ingress_path=/x ingress_scheme=https",
            "__address__=a.example ingress_host=a.example ingress_path=/ ingress_scheme=https",
            "__address__=b.wild.example ingress_host=b.wild.example ingress_path=/ ingress_scheme=https",
            "__address__=c.example ingress_host=c.example ingress_path=/ ingress_scheme=http",
        ]
    );
}

#[test]
fn endpoints() {
    let endpoints = json!({
        "metadata": {"name": "two", "namespace": "ns", "labels": {"e": "f"}, "annotations": {"endpoints.kubernetes.io/over-capacity": "warning"}},
        "subsets": [
            {
                "addresses": [
                    {"ip": "9.9.9.9", "hostname": "h", "nodeName": "n1"},
                    {"ip": "1.2.3.4", "targetRef": {"kind": "Pod", "namespace": "default", "name": "p"}},
                    {"ip": "9.9.9.8", "targetRef": {"kind": "Node", "name": "n1"}},
                ],
                "notReadyAddresses": [{"ip": "fd00::1", "targetRef": {"kind": "Pod", "namespace": "default", "name": "gone"}}],
                "ports": [{"name": "http", "port": 9000, "protocol": "TCP"}],
            },
            {"ports": [{"port": 1}]},
            {"addresses": [{"ip": "1.1.1.1"}]},
        ],
    });
    let mut truncated = json!({"metadata": {"name": "big", "namespace": "ns"}, "subsets": [{"addresses": [{"ip": "1.1.1.1"}], "ports": [{"port": 1}]}]});
    truncated["metadata"]["annotations"] = json!({"endpoints.kubernetes.io/over-capacity": "truncated"});
    let world = world(&[
        (Resource::Endpoints, endpoints),
        (Resource::Endpoints, truncated),
        (Resource::Endpoints, json!({"metadata": {"name": "empty", "namespace": "ns"}, "subsets": null})),
        service("two", json!({}), json!({})),
        (Resource::Pod, pod()),
        (Resource::Node, json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})),
    ]);
    let node = "node_label_zone=a node_labelpresent_zone=true node_name=n1";
    assert_eq!(
        shown(&world, Role::Endpoints, "ns/two", AttachMetadata { node: true, ..NOTHING }),
        [
            "endpoints/ns/two endpoints_annotation_endpoints_kubernetes_io_over_capacity=warning \
             endpoints_annotationpresent_endpoints_kubernetes_io_over_capacity=true endpoints_label_e=f \
             endpoints_labelpresent_e=true endpoints_name=two namespace=ns service_label_l=1 service_labelpresent_l=true \
             service_name=two"
                .to_owned(),
            format!(
                "__address__=9.9.9.9:9000 endpoint_hostname=h endpoint_node_name=n1 endpoint_port_name=http \
                 endpoint_port_protocol=TCP endpoint_ready=true {node}"
            ),
            format!(
                "__address__=1.2.3.4:9000 endpoint_address_target_kind=Pod endpoint_address_target_name=p \
                 endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=true {POD} pod_container_image=c0:1 \
                 pod_container_init=false pod_container_name=c0 pod_container_port_name=http \
                 pod_container_port_number=9000 pod_container_port_protocol=TCP {POD_CONTROLLER} {POD_REST}"
            ),
            format!(
                "__address__=9.9.9.8:9000 endpoint_address_target_kind=Node endpoint_address_target_name=n1 \
                 endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=true {node}"
            ),
            "__address__=[fd00::1]:9000 endpoint_address_target_kind=Pod endpoint_address_target_name=gone \
             endpoint_port_name=http endpoint_port_protocol=TCP endpoint_ready=false"
                .to_owned(),
            format!(
                "__address__=1.2.3.4:53 {POD} pod_container_image=c0:1 pod_container_init=false pod_container_name=c0 \
                 pod_container_port_number=53 pod_container_port_protocol=UDP {POD_CONTROLLER} {POD_REST}"
            ),
            format!(
                "__address__=1.2.3.4:1111 {POD} pod_container_image=i:1 pod_container_init=true pod_container_name=i \
                 pod_container_port_name=in pod_container_port_number=1111 pod_container_port_protocol=TCP \
                 {POD_CONTROLLER} {POD_REST}"
            ),
        ]
    );
    assert_eq!(shown(&world, Role::Endpoints, "ns/empty", NOTHING), ["endpoints/ns/empty"]);
    let big = shown(&world, Role::Endpoints, "ns/big", NOTHING);
    assert!(big.len() == 3 && big[2].contains("use the role endpointslice"), "{big:?}");
}

fn slice(name: &str, service: &str, family: &str, address: &str) -> (Resource, Value) {
    let metadata = json!({"name": name, "namespace": "ns", "labels": {"kubernetes.io/service-name": service}});
    let endpoint = json!({"addresses": [address]});
    let ports = json!([{"port": 1}]);
    let slice = json!({"metadata": metadata, "addressType": family, "endpoints": [endpoint], "ports": ports});
    (Resource::EndpointSlice, slice)
}

#[test]
fn endpoint_slices() {
    let full = json!({
        "metadata": {"name": "s", "namespace": "default", "labels": {"kubernetes.io/service-name": "svc"}},
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["1.2.3.4"],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "hostname": "h", "nodeName": "n1", "zone": "z",
                "targetRef": {"kind": "Pod", "namespace": "default", "name": "p"},
                "deprecatedTopology": {"kubernetes.io/hostname": "n1"},
            },
            {"addresses": ["9.9.9.8", "9.9.9.7"], "targetRef": {"kind": "Node", "name": "n1"}, "nodeName": "other"},
        ],
        "ports": [{"name": "http", "port": 9000, "protocol": "TCP", "appProtocol": "h2c"}],
    });
    let portless = json!({
        "metadata": {"name": "portless", "namespace": "default"}, "addressType": "FQDN",
        "endpoints": [{"addresses": ["a.example"], "conditions": {}}], "ports": [{"name": "any", "port": null}],
    });
    let of_service = json!({"metadata": {"name": "svc", "namespace": "default", "labels": {"l": "1"}}});
    let world = world(&[
        (Resource::EndpointSlice, full),
        (Resource::EndpointSlice, portless),
        (
            Resource::EndpointSlice,
            json!({"metadata": {"name": "nil", "namespace": "default"}, "endpoints": null, "ports": null}),
        ),
        (Resource::Service, of_service),
        (Resource::Pod, pod()),
        (Resource::Node, json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})),
    ]);
    let lines = shown(&world, Role::EndpointSlice, "default/s", AttachMetadata { node: true, ..NOTHING });
    let node = "node_label_zone=a node_labelpresent_zone=true node_name=n1";
    let port = "endpointslice_port=9000 endpointslice_port_app_protocol=h2c endpointslice_port_name=http \
                endpointslice_port_protocol=TCP";
    assert_eq!(
        lines[..4],
        [
            "endpointslice/default/s endpointslice_address_type=IPv4 endpointslice_label_kubernetes_io_service_name=svc \
             endpointslice_labelpresent_kubernetes_io_service_name=true endpointslice_name=s namespace=default \
             service_label_l=1 service_labelpresent_l=true service_name=svc"
                .to_owned(),
            format!(
                "__address__=1.2.3.4:9000 endpointslice_address_target_kind=Pod endpointslice_address_target_name=p \
                 endpointslice_endpoint_conditions_ready=true endpointslice_endpoint_conditions_serving=true \
                 endpointslice_endpoint_conditions_terminating=false endpointslice_endpoint_hostname=h \
                 endpointslice_endpoint_node_name=n1 endpointslice_endpoint_topology_kubernetes_io_hostname=n1 \
                 endpointslice_endpoint_topology_present_kubernetes_io_hostname=true endpointslice_endpoint_zone=z {port} \
                 {node} {POD} pod_container_image=c0:1 pod_container_init=false pod_container_name=c0 \
                 pod_container_port_name=http pod_container_port_number=9000 pod_container_port_protocol=TCP \
                 {POD_CONTROLLER} {POD_REST}"
            ),
            format!(
                "__address__=9.9.9.8:9000 endpointslice_address_target_kind=Node endpointslice_address_target_name=n1 \
                 endpointslice_endpoint_node_name=other {port} {node}"
            ),
            format!(
                "__address__=9.9.9.7:9000 endpointslice_address_target_kind=Node endpointslice_address_target_name=n1 \
                 endpointslice_endpoint_node_name=other {port} {node}"
            ),
        ]
    );
    let extra: Vec<&str> = lines[4..].iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(extra, ["__address__=1.2.3.4:53", "__address__=1.2.3.4:1111"], "ports that no slice has");
    assert_eq!(
        shown(&world, Role::EndpointSlice, "default/portless", NOTHING),
        [
            "endpointslice/default/portless endpointslice_address_type=FQDN endpointslice_name=portless namespace=default",
            "__address__=a.example endpointslice_port_name=any",
        ]
    );
    assert_eq!(shown(&world, Role::EndpointSlice, "default/nil", NOTHING), ["endpointslice/default/nil"]);
}

#[test]
fn slices_of_the_second_ip_family() {
    let dual = |policy: &str, families: Value| {
        service("dual", json!({"ipFamilyPolicy": policy, "ipFamilies": families}), json!({}))
    };
    for (of_service, wanted) in [
        (dual("PreferDualStack", json!(["IPv4", "IPv6"])), ["a"].as_slice()),
        (dual("RequireDualStack", json!(["IPv6", "IPv4"])), &["b"]),
        (dual("SingleStack", json!(["IPv4"])), &["a", "b"]),
        (dual("PreferDualStack", json!([])), &["a", "b"]),
        (service("another", json!({}), json!({})), &["a", "b"]),
    ] {
        let world = world(&[of_service, slice("a", "dual", "IPv4", "1.1.1.1"), slice("b", "dual", "IPv6", "fd00::1")]);
        let has_targets = |name: &&str| shown(&world, Role::EndpointSlice, &format!("ns/{name}"), NOTHING).len() > 1;
        let found: Vec<&str> = ["a", "b"].into_iter().filter(has_targets).collect();
        assert_eq!(found, wanted);
    }
}
