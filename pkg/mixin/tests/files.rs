//! `deploy/mixin`: the dashboards are current, queries parse and read what exists, alerts have tests and lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use promql_syntax::{parse, selectors};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn yaml(file: &str) -> Value {
    let path = root().join("deploy/mixin").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// All rules of a file.
fn rules(file: &str) -> Vec<Value> {
    list(&yaml(file), "groups").iter().flat_map(|group| list(group, "rules").to_vec()).collect()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

#[test]
fn dashboards_are_current() {
    let dir = root().join("deploy/mixin/dashboards");
    let update = std::env::var_os("AION_UPDATE_DOCS").is_some();
    let mut files = BTreeSet::new();
    for dashboard in mixin::all() {
        let path = dir.join(format!("{}.json", dashboard.uid));
        let made = dashboard.to_json();
        if update {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &made).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == made, "{} is out of date: AION_UPDATE_DOCS=1 cargo test -p mixin", path.display());
        assert!(files.insert(path), "two dashboards have the name {}", dashboard.uid);
    }
    let found: BTreeSet<PathBuf> = std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(found, files, "files that no code makes");
}

/// All queries: where they stand, and their text.
fn queries() -> Vec<(String, String)> {
    let grafana = |query: &str| query.replace("$__rate_interval", "5m").replace("$job", ".+");
    let mut all = Vec::new();
    for dashboard in mixin::all() {
        all.push((dashboard.uid.to_owned(), dashboard.marker.to_owned()));
        all.extend(dashboard.queries().map(|query| (dashboard.uid.to_owned(), grafana(query))));
    }
    for file in ["alerts.yml", "rules.yml"] {
        all.extend(rules(file).iter().map(|rule| (file.to_owned(), text(rule, "expr").to_owned())));
    }
    all
}

/// The product's source, where each metric stands under its name.
fn sources() -> String {
    fn visit(dir: &Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                // The queries themselves prove nothing.
                if !["mixin", "tests", "web"].iter().any(|skip| name == *skip) {
                    visit(&path, out);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let mut text = String::new();
    visit(&root().join("pkg"), &mut text);
    text
}

#[test]
fn queries_read_metrics_that_exist() {
    let sources = sources();
    let recorded: BTreeSet<String> = rules("rules.yml").iter().map(|rule| text(rule, "record").to_owned()).collect();
    // What stands at the start of a text.
    let texts = sources.split('"').map(|t| t.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next());
    let texts: BTreeSet<&str> = texts.flatten().collect();
    // Written by whoever scrapes; declared in pieces.
    let given = ["up", "prometheus_tsdb_head_series"];
    let (all, mut wrong) = (queries(), Vec::new());
    assert!(all.len() > 80, "{} queries", all.len());
    for (place, query) in &all {
        let parsed = match parse(query) {
            Ok(parsed) => parsed,
            Err(e) => {
                wrong.push(format!("{place}: {query}: {e}"));
                continue;
            }
        };
        for name in selectors(&parsed).into_iter().filter_map(|selector| selector.name.clone()) {
            let stem = ["_bucket", "_sum", "_count", "_total"].iter().fold(name.as_str(), |n, s| n.trim_end_matches(s));
            // The head's are declared without what all of them begin with.
            let short = stem.trim_start_matches("prometheus_tsdb_");
            let exists = given.contains(&name.as_str())
                || recorded.contains(&name)
                || [name.as_str(), stem, short].iter().any(|n| texts.contains(n))
                || texts.contains(format!("{stem}_total").as_str());
            if !exists {
                wrong.push(format!("{place}: nothing registers {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Anchors of the headings of a document, as its links have them.
fn anchors(document: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    document.lines().filter(|l| l.starts_with('#')).map(|l| anchor(l.trim_start_matches('#'))).collect()
}

#[test]
fn alerts_lead_to_what_to_do() {
    let anchors = anchors(&std::fs::read_to_string(root().join("docs/operations.md")).unwrap());
    let alerts = rules("alerts.yml");
    assert!(alerts.len() >= 25, "{} alerts", alerts.len());
    for alert in &alerts {
        let (name, annotations) = (text(alert, "alert"), &alert["annotations"]);
        let place = text(annotations, "runbook_url").strip_prefix("docs/operations.md#");
        assert!(place.is_some_and(|p| anchors.contains(p)), "{name}: {:?} is no heading", annotations["runbook_url"]);
        assert!(!text(annotations, "summary").is_empty(), "{name} has no summary");
        let severity = text(&alert["labels"], "severity");
        assert!(["warning", "critical"].contains(&severity), "{name}: severity {severity:?}");
    }
}

#[test]
fn each_alert_is_tested_to_fire_and_not_to() {
    let tests = yaml("tests.yml");
    let mut seen: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for case in list(&tests, "tests").iter().flat_map(|test| list(test, "alert_rule_test")) {
        let (fires, silent) = seen.entry(text(case, "alertname")).or_default();
        let expected = list(case, "exp_alerts").len();
        *fires |= expected > 0;
        *silent |= expected == 0;
    }
    for alert in rules("alerts.yml") {
        let name = text(&alert, "alert");
        assert_eq!(seen.get(name), Some(&(true, true)), "{name}: (fires, does not fire) in tests.yml");
    }
}
