//! The manifests of `deploy/kustomize` are what the chart makes, and kustomize can build them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::peer::on_path;

use crate::manifests::wrong;
use crate::{deploy, text_at, yaml, yaml_documents};

/// Standard output of a program that must succeed.
fn output(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).current_dir(deploy()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {args:?}: {errors}", program.display());
    String::from_utf8(output.stdout).unwrap()
}

/// No part of CI's machine: the rendered copies are checked there by themselves.
fn tool(name: &str, test: &str) -> Option<std::path::PathBuf> {
    let found = on_path(name);
    if found.is_none() {
        eprintln!("=== SKIPPED {test}: put {name} on PATH to run it ===");
    }
    found
}

#[test]
fn the_chart_makes_the_manifests_of_kustomize() {
    let Some(helm) = tool("helm", "the_chart_makes_the_manifests_of_kustomize") else { return };
    let made = [
        ("kustomize/base/aion.yaml", &["-n", "aion"][..]),
        ("kustomize/overlays/production/aion.yaml", &["-n", "aion", "-f", "helm/aion/ci/everything.yaml"]),
    ];
    output(&helm, &["lint", "--strict", "helm/aion"]);
    for (file, args) in made {
        let path = deploy().join(file);
        let text = output(&helm, &[&["template", "aion", "helm/aion", "--kube-version=1.33.0"], args].concat());
        // Templates that are off leave blank lines.
        let text: String = text.lines().filter(|l| !l.trim().is_empty()).flat_map(|l| [l.trim_end(), "\n"]).collect();
        if std::env::var_os("AION_UPDATE_DOCS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "{file} is out of date: AION_UPDATE_DOCS=1 cargo test -p tests --test deploy");
    }
}

#[test]
fn kustomize_builds_the_overlays() {
    let Some(kubectl) = tool("kubectl", "kustomize_builds_the_overlays") else { return };
    for overlay in ["base", "overlays/trial", "overlays/production"] {
        let built = output(&kubectl, &["kustomize", &format!("kustomize/{overlay}")]);
        let manifests = yaml_documents(&built, overlay);
        assert!(manifests.len() > 10, "{overlay}: {} manifests", manifests.len());
        for manifest in &manifests {
            assert_eq!(wrong(manifest), None, "{overlay}: {}", text_at(manifest, "/metadata/name"));
        }
    }
}

/// Where `values` and the properties of `schema` differ. What has no properties there may hold anything.
fn differences(values: &Value, schema: &Value, place: &str, out: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let keys = values.as_object().into_iter().flatten();
    for (key, value) in keys {
        match properties.get(key) {
            Some(schema) => differences(value, schema, &format!("{place}.{key}"), out),
            None => out.push(format!("{place}.{key} is not in the schema")),
        }
    }
    out.extend(properties.keys().filter(|k| values.get(k).is_none()).map(|k| format!("{place}.{k} has no default")));
}

#[test]
fn the_schema_of_values_knows_each_of_them() {
    let chart = deploy().join("helm/aion");
    let schema: Value = serde_json::from_slice(&std::fs::read(chart.join("values.schema.json")).unwrap()).unwrap();
    let mut out = Vec::new();
    differences(&yaml(&chart.join("values.yaml"))[0], &schema, "", &mut out);
    // Helm's own, where the chart is a part of another one.
    out.retain(|difference| difference != ".global has no default");
    assert!(out.is_empty(), "values.yaml and values.schema.json: {out:#?}");
}
