//! Each manifest has the fields of its kind, of the right types, and no others.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{deploy, list_at, text_at, yaml};

/// The sets of manifests that are applied together, by name.
pub fn sets() -> Vec<(&'static str, Vec<Value>)> {
    let of = |files: &[&str]| files.iter().flat_map(|f| yaml(&deploy().join("kustomize").join(f))).collect();
    vec![
        ("base", of(&["base/aion.yaml"])),
        ("production", of(&["overlays/production/namespace.yaml", "overlays/production/aion.yaml"])),
        (
            "trial",
            of(&[
                "base/aion.yaml",
                "overlays/trial/namespace.yaml",
                "overlays/trial/minio.yaml",
                "overlays/trial/prometheus.yaml",
            ]),
        ),
    ]
}

/// A secret without the line ends that kustomize puts into long data, which Kubernetes skips.
fn on_one_line(secret: &Value) -> Value {
    let mut secret = secret.clone();
    for data in secret["data"].as_object_mut().into_iter().flat_map(|data| data.values_mut()) {
        *data = data.as_str().unwrap_or_default().replace('\n', "").into();
    }
    secret
}

/// What keeps `manifest` from being of its kind.
pub fn wrong(manifest: &Value) -> Option<String> {
    let kind = (text_at(manifest, "/apiVersion"), text_at(manifest, "/kind"));
    let wrong = match kind {
        ("apps/v1", "Deployment") => as_read::<Deployment>(manifest),
        ("apps/v1", "StatefulSet") => as_read::<StatefulSet>(manifest),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => as_read::<HorizontalPodAutoscaler>(manifest),
        ("v1", "ConfigMap") => as_read::<ConfigMap>(manifest),
        ("v1", "Namespace") => as_read::<Namespace>(manifest),
        ("v1", "Secret") => as_read::<Secret>(&on_one_line(manifest)),
        ("v1", "Service") => as_read::<Service>(manifest),
        ("v1", "ServiceAccount") => as_read::<ServiceAccount>(manifest),
        ("networking.k8s.io/v1", "NetworkPolicy") => as_read::<NetworkPolicy>(manifest),
        ("policy/v1", "PodDisruptionBudget") => as_read::<PodDisruptionBudget>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => as_read::<ClusterRole>(manifest),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => as_read::<ClusterRoleBinding>(manifest),
        // Of prometheus-operator: what we give is what it requires.
        ("monitoring.coreos.com/v1", "ServiceMonitor") => {
            let complete = manifest.pointer("/spec/selector/matchLabels").is_some_and(Value::is_object)
                && !list_at(manifest, "/spec/endpoints").is_empty();
            (!complete).then(|| "wants spec.selector.matchLabels and spec.endpoints".to_owned())
        }
        ("monitoring.coreos.com/v1", "PrometheusRule") => rule_wrong(manifest),
        _ => Some("is of no kind that is known here".to_owned()),
    };
    let named = !text_at(manifest, "/metadata/name").is_empty();
    wrong.or_else(|| (!named).then(|| "has no name".to_owned()))
}

/// Alerts and recording rules, each with an expression; alerts lead to an address.
fn rule_wrong(manifest: &Value) -> Option<String> {
    let rules: Vec<&Value> =
        list_at(manifest, "/spec/groups").iter().flat_map(|group| list_at(group, "/rules")).collect();
    if rules.is_empty() {
        return Some("has no rules".to_owned());
    }
    rules.iter().find_map(|rule| {
        let (alert, url) = (text_at(rule, "/alert"), text_at(rule, "/annotations/runbook_url"));
        let bad = text_at(rule, "/expr").is_empty() || !(alert.is_empty() || url.starts_with("https://"));
        bad.then(|| format!("has {rule} without an expression, or with a relative runbook_url"))
    })
}

/// Reads the manifest into its type and writes it again: what is lost on the way is no field of it.
fn as_read<T: DeserializeOwned + Serialize>(manifest: &Value) -> Option<String> {
    match serde_json::from_value::<T>(manifest.clone()) {
        Err(e) => Some(e.to_string()),
        Ok(read) => lost(manifest, &serde_json::to_value(read).unwrap(), ""),
    }
}

/// The place of the first value of `given` that `kept` does not have. Nothing, and empty things, need not be kept.
fn lost(given: &Value, kept: &Value, place: &str) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), kept) => given.iter().find_map(|(name, value)| {
            let (place, empty) = (format!("{place}.{name}"), value.as_object().is_some_and(serde_json::Map::is_empty));
            match kept.get(name) {
                Some(kept) => lost(value, kept, &place),
                None if value.is_null() || empty => None,
                None => Some(format!("has no field {place}")),
            }
        }),
        (Value::Array(given), Value::Array(kept)) => {
            given.iter().zip(kept).enumerate().find_map(|(i, (g, k))| lost(g, k, &format!("{place}[{i}]")))
        }
        (Value::Array(_), _) => Some(format!("is no list: {place}")),
        _ => None,
    }
}

#[test]
fn each_manifest_is_of_its_kind() {
    let mut wrong_ones = Vec::new();
    for (set, manifests) in sets() {
        assert!(manifests.len() > 10, "{set} has {} manifests", manifests.len());
        for manifest in &manifests {
            if let Some(why) = wrong(manifest) {
                let (kind, name) = (text_at(manifest, "/kind"), text_at(manifest, "/metadata/name"));
                wrong_ones.push(format!("{set}: {kind} {name} {why}"));
            }
        }
    }
    assert!(wrong_ones.is_empty(), "{}", wrong_ones.join("\n"));
}

#[test]
fn fields_that_do_not_exist_are_seen() {
    let service = |spec: &str| -> Value {
        serde_saphyr::from_str(&format!("{{apiVersion: v1, kind: Service, metadata: {{name: x}}, spec: {spec}}}"))
            .unwrap()
    };
    assert_eq!(wrong(&service("{ports: [{name: http, port: 1}]}")), None);
    assert_eq!(
        wrong(&service("{ports: [{name: http, prot: 1, port: 1}]}")).unwrap(),
        "has no field .spec.ports[0].prot"
    );
    assert!(wrong(&service("{ports: [{name: http, port: x}]}")).is_some());
}
