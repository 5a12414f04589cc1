//! Pods may run where Kubernetes' restricted Pod Security Standard is enforced, write only where a volume is, and read no file
//! that nobody mounts.

use serde_json::Value;

use crate::manifests::sets;
use crate::{deploy, list_at, text_at, yaml};

/// Flags whose value is a folder that is written to.
const WRITTEN: [&str; 3] = ["--data-dir", "--storage.tsdb.path", "--tsdb.path"];
/// Flags whose value is a file that is read.
const READ: [&str; 3] = ["--objstore.config-file", "--config.file", "--rule-file"];

/// `name: what is wrong` of each container.
fn wrong(workload: &Value) -> Vec<String> {
    let pod = &workload["spec"]["template"]["spec"];
    let name = text_at(workload, "/metadata/name");
    let mut wrong = Vec::new();
    let is_root = pod.pointer("/securityContext/runAsNonRoot") != Some(&true.into());
    if is_root || text_at(pod, "/securityContext/seccompProfile/type") != "RuntimeDefault" {
        wrong.push(format!("{name}: may run as root, or without a seccomp profile"));
    }
    if pod["automountServiceAccountToken"] != (name == "aion-server") {
        wrong.push(format!("{name}: a token of Kubernetes' API is for the server alone, which discovers pods"));
    }
    for container in list_at(pod, "/containers") {
        let name = format!("{name}: {}", text_at(container, "/name"));
        let context = &container["securityContext"];
        let drops = list_at(context, "/capabilities/drop").iter().any(|c| c == "ALL");
        if context["allowPrivilegeEscalation"] != false || !drops {
            wrong.push(format!("{name} may gain privileges"));
        }
        if text_at(container, "/image").starts_with("aion") {
            wrong.extend(own_wrong(container).into_iter().map(|what| format!("{name} {what}")));
        }
    }
    wrong
}

/// What is wrong with a container of ours.
fn own_wrong(container: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    if container.pointer("/securityContext/readOnlyRootFilesystem") != Some(&true.into()) {
        wrong.push("may write outside of its volumes".to_owned());
    }
    for wanted in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
        if container.pointer(wanted).is_none() {
            wrong.push(format!("has no {wanted}"));
        }
    }
    let mounts = list_at(container, "/volumeMounts");
    let mounted = |path: &str, writable: bool| {
        mounts.iter().any(|m| path.starts_with(text_at(m, "/mountPath")) && !(writable && m["readOnly"] == true))
    };
    for arg in list_at(container, "/args").iter().filter_map(Value::as_str) {
        let Some((flag, path)) = arg.split_once('=') else { continue };
        if WRITTEN.contains(&flag) && !mounted(path, true) {
            wrong.push(format!("writes to {path}, where no volume is"));
        }
        if READ.contains(&flag) && !mounted(path, false) {
            wrong.push(format!("reads {path}, which nobody mounts"));
        }
    }
    for variable in list_at(container, "/env") {
        let name = text_at(variable, "/name");
        if ["KEY", "SECRET", "PASSWORD", "TOKEN"].iter().any(|s| name.contains(s))
            && variable.pointer("/valueFrom/secretKeyRef").is_none()
        {
            wrong.push(format!("has {name} in plain text"));
        }
    }
    wrong
}

#[test]
fn pods_are_restricted_and_write_to_volumes() {
    let mut all = Vec::new();
    for (set, manifests) in sets() {
        let workloads = manifests.iter().filter(|m| ["Deployment", "StatefulSet"].contains(&text_at(m, "/kind")));
        all.extend(workloads.flat_map(wrong).map(|what| format!("{set}: {what}")));
        // The one that tries it out brings its own bucket.
        let secrets = manifests.iter().filter(|m| text_at(m, "/kind") == "Secret");
        all.extend(secrets.map(|s| format!("{set}: holds the secret {}", s["metadata"]["name"])));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn overlays_name_the_version_of_every_image_of_ours() {
    let [chart] = &yaml(&deploy().join("helm/aion/Chart.yaml"))[..] else { panic!("not one document") };
    for overlay in ["trial", "production"] {
        let path = deploy().join("kustomize/overlays").join(overlay).join("kustomization.yaml");
        let images = list_at(&yaml(&path)[0], "/images").to_vec();
        let ours = images.iter().find(|i| text_at(i, "/name") == "aion").map(|i| text_at(i, "/newTag"));
        assert_eq!(ours, Some(text_at(chart, "/appVersion")), "{overlay}");
    }
}

/// kube-prometheus-stack puts a slash after the registry, also where there is none.
#[test]
fn images_of_swaps_have_a_registry_where_the_chart_wants_one() {
    let [values] = &yaml(&deploy().join("swap/kube-prometheus-stack.yaml"))[..] else { panic!("not one document") };
    assert!(!text_at(values, "/thanosRuler/thanosRulerSpec/image/registry").is_empty());
}
