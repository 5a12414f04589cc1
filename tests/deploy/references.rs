//! What a manifest refers to is there: pods that selectors choose, ports, volumes, accounts, configuration.

use serde_json::Value;

use crate::manifests::sets;
use crate::{deploy, list_at, selects, text_at, yaml};

/// Secrets that the user brings.
const GIVEN_SECRETS: [&str; 1] = ["aion-bucket"];

struct Set {
    name: &'static str,
    all: Vec<Value>,
}

impl Set {
    fn of<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Value> {
        self.all.iter().filter(|m| kinds.contains(&text_at(m, "/kind")))
    }

    fn has(&self, kind: &str, name: &str) -> bool {
        self.of(&[kind]).any(|m| text_at(m, "/metadata/name") == name)
    }

    /// Deployments and StatefulSets whose pods have these labels.
    fn chosen<'a>(&'a self, labels: &'a Value) -> Vec<&'a Value> {
        let workloads = self.of(&["Deployment", "StatefulSet"]);
        workloads.filter(|w| w.pointer("/spec/template/metadata/labels").is_some_and(|l| selects(labels, l))).collect()
    }

    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for manifest in &self.all {
            let found = match text_at(manifest, "/kind") {
                "Deployment" | "StatefulSet" => self.workload(manifest),
                "Service" => self.service(manifest),
                "PodDisruptionBudget" => self.chooses(manifest, "/spec/selector/matchLabels"),
                "NetworkPolicy" => self.policy(manifest),
                "HorizontalPodAutoscaler" => {
                    let target = &manifest["spec"]["scaleTargetRef"];
                    let there = self.has(text_at(target, "/kind"), text_at(target, "/name"));
                    if there { Vec::new() } else { vec![format!("scales {target}, which is not there")] }
                }
                "ClusterRoleBinding" => {
                    let mut refs = list_at(manifest, "/subjects").to_vec();
                    refs.push(manifest["roleRef"].clone());
                    refs.retain(|r| !self.has(text_at(r, "/kind"), text_at(r, "/name")));
                    refs.iter().map(|r| format!("binds {r}, which is not there")).collect()
                }
                "ServiceMonitor" => self.monitor(manifest),
                _ => Vec::new(),
            };
            let name = format!("{}: {} {}", self.name, text_at(manifest, "/kind"), text_at(manifest, "/metadata/name"));
            wrong.extend(found.into_iter().map(|what| format!("{name} {what}")));
        }
        wrong
    }

    fn chooses(&self, manifest: &Value, pointer: &str) -> Vec<String> {
        let chosen = manifest.pointer(pointer).is_some_and(|labels| self.chosen(labels).len() == 1);
        if chosen { Vec::new() } else { vec!["does not choose the pods of exactly one workload".to_owned()] }
    }

    fn workload(&self, workload: &Value) -> Vec<String> {
        let mut wrong = self.chooses(workload, "/spec/selector/matchLabels");
        if text_at(workload, "/kind") == "StatefulSet" && !self.has("Service", text_at(workload, "/spec/serviceName")) {
            wrong.push("names a service that is not there".to_owned());
        }
        let pod = &workload["spec"]["template"]["spec"];
        let account = text_at(pod, "/serviceAccountName");
        if !account.is_empty() && !self.has("ServiceAccount", account) {
            wrong.push(format!("runs as {account}, which is not there"));
        }
        let claims = list_at(workload, "/spec/volumeClaimTemplates").iter().map(|c| text_at(c, "/metadata/name"));
        let mut volumes: Vec<&str> = claims.collect();
        for volume in list_at(pod, "/volumes") {
            volumes.push(text_at(volume, "/name"));
            let (secret, config) = (text_at(volume, "/secret/secretName"), text_at(volume, "/configMap/name"));
            if !secret.is_empty() && !GIVEN_SECRETS.contains(&secret) {
                wrong.push(format!("mounts the secret {secret}, which nobody makes"));
            }
            // The overlay's generator makes this one.
            if !config.is_empty() && config != "prometheus" && !self.has("ConfigMap", config) {
                wrong.push(format!("mounts the configuration {config}, which is not there"));
            }
        }
        for container in list_at(pod, "/containers") {
            wrong.extend(container_wrong(container, &volumes));
        }
        wrong
    }

    fn service(&self, service: &Value) -> Vec<String> {
        let chosen = self.chosen(&service["spec"]["selector"]);
        let [workload] = chosen[..] else { return vec![format!("chooses {} workloads", chosen.len())] };
        let containers = list_at(workload, "/spec/template/spec/containers");
        let named =
            |port: &str| containers.iter().flat_map(|c| list_at(c, "/ports")).any(|p| text_at(p, "/name") == port);
        let targets = list_at(service, "/spec/ports").iter().map(|p| text_at(p, "/targetPort"));
        targets.filter(|t| !named(t)).map(|t| format!("leads to the port {t:?}, which no container has")).collect()
    }

    fn policy(&self, policy: &Value) -> Vec<String> {
        let mut wrong = self.chooses(policy, "/spec/podSelector/matchLabels");
        for rule in list_at(policy, "/spec/ingress") {
            let own = list_at(rule, "/from").iter().filter_map(|f| f.pointer("/podSelector/matchLabels"));
            wrong.extend(own.filter(|l| self.chosen(l).is_empty()).map(|l| format!("lets in {l}, which nobody is")));
        }
        wrong
    }

    fn monitor(&self, monitor: &Value) -> Vec<String> {
        let labels = &monitor["spec"]["selector"]["matchLabels"];
        let services: Vec<_> = self.of(&["Service"]).filter(|s| selects(labels, &s["metadata"]["labels"])).collect();
        let [service] = services[..] else { return vec![format!("chooses {} services", services.len())] };
        let ports: Vec<&str> = list_at(service, "/spec/ports").iter().map(|p| text_at(p, "/name")).collect();
        let wanted = list_at(monitor, "/spec/endpoints").iter().map(|e| text_at(e, "/port"));
        wanted.filter(|p| !ports.contains(p)).map(|p| format!("scrapes the port {p:?}, which is not there")).collect()
    }
}

fn container_wrong(container: &Value, volumes: &[&str]) -> Vec<String> {
    let mut wrong = Vec::new();
    let ports: Vec<&str> = list_at(container, "/ports").iter().map(|p| text_at(p, "/name")).collect();
    for mount in list_at(container, "/volumeMounts") {
        if !volumes.contains(&text_at(mount, "/name")) {
            wrong.push(format!("mounts {}, which is no volume", mount["name"]));
        }
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"].iter().filter_map(|p| container.get(p)) {
        if !ports.contains(&text_at(probe, "/httpGet/port")) {
            wrong.push(format!("is probed at {}, which is no port", probe["httpGet"]["port"]));
        }
    }
    if !text_at(container, "/image").starts_with("aion") {
        return wrong;
    }
    // Ours listens where the ports say.
    let args: Vec<&str> = list_at(container, "/args").iter().filter_map(Value::as_str).collect();
    for port in list_at(container, "/ports") {
        let wanted = format!("address=:{}", port["containerPort"]);
        if !args.iter().any(|a| a.ends_with(&wanted)) {
            wrong.push(format!("has the port {}, which no flag opens", port["containerPort"]));
        }
    }
    for wanted in ["/livenessProbe", "/readinessProbe", "/securityContext/readOnlyRootFilesystem"] {
        if container.pointer(wanted).is_none() {
            wrong.push(format!("has no {wanted}"));
        }
    }
    wrong
}

#[test]
fn what_is_referred_to_is_there() {
    let wrong: Vec<_> = sets().into_iter().flat_map(|(name, all)| Set { name, all }.wrong()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_files_of_overlays_are_there() {
    for folder in ["base", "overlays/trial", "overlays/production"] {
        let dir = deploy().join("kustomize").join(folder);
        let [kustomization] = &yaml(&dir.join("kustomization.yaml"))[..] else { panic!("{folder}: not one document") };
        let generated = ["secretGenerator", "configMapGenerator"]
            .iter()
            .flat_map(|g| list_at(kustomization, &format!("/{g}")).iter().flat_map(|entry| list_at(entry, "/files")));
        let files: Vec<_> = list_at(kustomization, "/resources").iter().chain(generated).collect();
        assert!(!files.is_empty(), "{folder}");
        for file in files.iter().filter_map(|f| f.as_str()) {
            assert!(dir.join(file).exists(), "{folder}: there is no {file}");
        }
    }
}

#[test]
fn the_compose_file_names_what_is_there() {
    let [compose] = &yaml(&deploy().join("compose/compose.yml"))[..] else { panic!("not one document") };
    let services = compose["services"].as_object().unwrap();
    let volumes = compose["volumes"].as_object().unwrap();
    assert!(services.len() >= 7, "{services:?}");
    for (name, service) in services {
        let needed: Vec<String> = match &service["depends_on"] {
            Value::Object(needed) => needed.keys().cloned().collect(),
            other => list_at(other, "").iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
        };
        assert!(needed.iter().all(|n| services.contains_key(n)), "{name} depends on one of {needed:?}");
        for mount in list_at(service, "/volumes").iter().filter_map(Value::as_str) {
            let (from, _) = mount.split_once(':').unwrap();
            let there = match from.starts_with('.') {
                true => deploy().join("compose").join(from).exists(),
                false => volumes.contains_key(from),
            };
            assert!(there, "{name} mounts {from}, which is not there");
        }
    }
}
