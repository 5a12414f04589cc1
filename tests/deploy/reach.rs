//! Whom a component is told to ask is there, and lets it in: services with the port, network policies with the asker.

use serde_json::Value;

use crate::manifests::sets;
use crate::{list_at, selects, text_at};

/// A service and a port of it that a flag names.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    service: String,
    /// Its number, or its name where it is found by an SRV record.
    port: String,
}

/// Whom `arg` asks, if it is somebody of the same set.
fn asked(arg: &str) -> Option<Asked> {
    let (flag, value) = arg.split_once('=')?;
    if !["--endpoint", "--endpoint-group", "--query"].contains(&flag) {
        return None;
    }
    let (kind, address) = value.split_once('+').unwrap_or(("", value));
    let address = address.trim_start_matches("http://");
    let (service, port) = match kind {
        "dnssrv" => {
            let (port, service) = address.strip_prefix('_')?.split_once("._tcp.")?;
            (service, port)
        }
        _ => address.rsplit_once(':')?,
    };
    // Others are of other namespaces.
    (!service.contains('.')).then(|| Asked { service: service.to_owned(), port: port.to_owned() })
}

/// Why the pods of `asker` do not reach `asked`.
fn out_of_reach(all: &[Value], asker: &Value, asked: &Asked) -> Option<String> {
    let of = |kind: &'static str| all.iter().filter(move |m| text_at(m, "/kind") == kind);
    let Some(service) = of("Service").find(|s| text_at(s, "/metadata/name") == asked.service) else {
        return Some("is no service".to_owned());
    };
    let number = asked.port.parse::<u64>().ok();
    let is_port = |p: &&Value| {
        number.is_some_and(|number| p["port"].as_u64() == Some(number)) || text_at(p, "/name") == asked.port
    };
    let Some(port) = list_at(service, "/spec/ports").iter().find(is_port) else {
        return Some("has no such port".to_owned());
    };
    let workloads = ["Deployment", "StatefulSet"].into_iter().flat_map(of);
    let labels = workloads.filter_map(|w| w.pointer("/spec/template/metadata/labels"));
    let target = labels.clone().find(|l| selects(&service["spec"]["selector"], l))?;
    let policies = of("NetworkPolicy").filter(|p| selects(&p["spec"]["podSelector"]["matchLabels"], target));
    for policy in policies {
        let lets_in = list_at(policy, "/spec/ingress").iter().any(|rule| {
            let ports = list_at(rule, "/ports");
            let port = ports.is_empty() || ports.iter().any(|p| p["port"] == port["targetPort"]);
            let from = list_at(rule, "/from");
            let peer = |f: &Value| {
                f.get("namespaceSelector").is_none()
                    && f.pointer("/podSelector/matchLabels").is_some_and(|l| selects(l, asker))
            };
            port && (from.is_empty() || from.iter().any(peer))
        });
        if !lets_in {
            return Some(format!("is shut by the policy {}", policy["metadata"]["name"]));
        }
    }
    None
}

#[test]
fn who_is_asked_is_there_and_lets_in() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for (set, mut all) in sets() {
        if set == "trial" {
            // What the overlay's patch adds.
            let query = all.iter_mut().find(|m| text_at(m, "/kind") == "Deployment").expect("the querier");
            let args = query.pointer_mut("/spec/template/spec/containers/0/args").and_then(Value::as_array_mut);
            args.expect("arguments").push("--endpoint=dnssrv+_grpc._tcp.prometheus".into());
        }
        for workload in &all {
            let Some(labels) = workload.pointer("/spec/template/metadata/labels") else { continue };
            let containers = list_at(workload, "/spec/template/spec/containers");
            let args = containers.iter().flat_map(|c| list_at(c, "/args")).filter_map(Value::as_str);
            for asked in args.filter_map(asked) {
                seen += 1;
                if let Some(why) = out_of_reach(&all, labels, &asked) {
                    wrong.push(format!("{set}: {} asks {asked:?}, which {why}", workload["metadata"]["name"]));
                }
            }
        }
    }
    assert!(seen >= 7, "{seen} are asked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn flags_name_services_in_three_ways() {
    let of = |service: &str, port: &str| Some(Asked { service: service.to_owned(), port: port.to_owned() });
    assert_eq!(asked("--endpoint-group=aion-store-0:10901"), of("aion-store-0", "10901"));
    assert_eq!(asked("--endpoint=dnssrv+_grpc._tcp.aion-rule"), of("aion-rule", "grpc"));
    assert_eq!(asked("--query=http://aion-query:10902"), of("aion-query", "10902"));
    assert_eq!(asked("--endpoint=dnssrv+_grpc._tcp.prometheus-operated.monitoring.svc"), None);
    assert_eq!(asked("--http-address=:10902"), None);
}
