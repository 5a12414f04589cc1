//! One rule of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotemplate::prometheus::AlertTemplate;
use labels::{Labels, METRIC_NAME};
use serde::Deserialize;
use yaml::{DurationMs, Error, Node};

use super::parse::ParseOptions;
use super::spec::{AlertSpec, RuleSpec};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RuleYaml {
    record: String,
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    hold: DurationMs,
    keep_firing_for: DurationMs,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

const RULE_KEYS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// What is wrong with a rule.
pub(super) struct WrongRule {
    /// Its name, as far as it is known.
    pub name: String,
    pub errors: Vec<Error>,
}

pub(super) fn read_rule(
    node: &Node,
    group: &BTreeMap<String, String>,
    options: &ParseOptions,
) -> Result<RuleSpec, WrongRule> {
    let nameless = |error| WrongRule { name: String::new(), errors: vec![error] };
    let known = match options.ignore_unknown_fields {
        true => node.clone().split(|key| RULE_KEYS.contains(&key)).map_err(nameless)?.0,
        false => node.clone(),
    };
    let yaml: RuleYaml = known.decode().map_err(nameless)?;
    let name = if yaml.alert.is_empty() { yaml.record.clone() } else { yaml.alert.clone() };
    let mut errors = Vec::new();
    check_kind(&yaml, node, options, &mut errors);
    check_names(&yaml, node, options, &mut errors);
    let expr = read_expr(&yaml.expr, node, options, &mut errors);
    let mut sets = group.clone();
    sets.extend(yaml.labels.clone());
    let sets: Vec<(String, String)> = sets.into_iter().collect();
    let alert = (!yaml.alert.is_empty()).then(|| {
        // Labels of the group are templates as well.
        let label_templates =
            templates(&name, "label", sets.iter().map(|(n, v)| (n.as_str(), v.as_str())), node, &mut errors);
        let annotations = yaml.annotations.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        AlertSpec {
            for_ms: yaml.hold.0,
            keep_firing_for_ms: yaml.keep_firing_for.0,
            annotations: Labels::with_empty_values(&yaml.annotations),
            label_templates,
            annotation_templates: templates(&name, "annotation", annotations, node, &mut errors),
        }
    });
    match expr {
        Some((query, expr)) if errors.is_empty() => {
            let labels = Labels::with_empty_values(sets.iter().map(|(n, v)| (n, v)));
            Ok(RuleSpec { name, query, expr, labels, sets, line: node.line, alert })
        }
        _ => Err(WrongRule { name, errors }),
    }
}

fn check_kind(yaml: &RuleYaml, node: &Node, options: &ParseOptions, errors: &mut Vec<Error>) {
    match (yaml.record.is_empty(), yaml.alert.is_empty()) {
        (false, false) => errors.push(node.error_at("alert", "only one of 'record' and 'alert' must be set")),
        (true, true) => errors.push(node.error("one of 'record' or 'alert' must be set")),
        (true, false) => return,
        (false, true) => {}
    }
    if yaml.record.is_empty() {
        return;
    }
    let set = [
        ("annotations", !yaml.annotations.is_empty()),
        ("for", yaml.hold.0 != 0),
        ("keep_firing_for", yaml.keep_firing_for.0 != 0),
    ];
    for (key, _) in set.into_iter().filter(|(_, set)| *set) {
        errors.push(node.error_at(key, format!("invalid field '{key}' in recording rule")));
    }
    if !options.names.is_metric_name(&yaml.record) {
        errors.push(node.error_at("record", format!("invalid recording rule name: {}", yaml.record)));
    }
    if yaml.record.contains(['{', '}']) {
        let text = format!("braces present in the recording rule name; should it be in expr?: {}", yaml.record);
        errors.push(node.error_at("record", text));
    }
}

fn check_names(yaml: &RuleYaml, node: &Node, options: &ParseOptions, errors: &mut Vec<Error>) {
    let at = |key: &str, name: &str, text: String| node.get(key).unwrap_or(node).error_at(name, text);
    for name in yaml.labels.keys() {
        if !options.names.is_label_name(name) || name == METRIC_NAME {
            errors.push(at("labels", name, format!("invalid label name: {name}")));
        }
    }
    for name in yaml.annotations.keys() {
        if !options.names.is_label_name(name) {
            errors.push(at("annotations", name, format!("invalid annotation name: {name}")));
        }
    }
}

/// The expression in its printed form, and its tree.
fn read_expr(
    text: &str,
    node: &Node,
    options: &ParseOptions,
    errors: &mut Vec<Error>,
) -> Option<(String, Arc<promql_syntax::Expr>)> {
    if text.is_empty() {
        errors.push(node.error_at("expr", "field 'expr' must be set in rule"));
        return None;
    }
    let parse = |text: &str| promql_syntax::parse_with(text, &options.promql);
    let printed = parse(text).and_then(|expr| {
        let printed = expr.to_string();
        // Places in messages are those of the printed form.
        parse(&printed).map(|expr| (printed, Arc::new(expr)))
    });
    match printed {
        Ok(printed) => Some(printed),
        Err(why) => {
            errors.push(node.error_at("expr", format!("could not parse expression: {why}")));
            None
        }
    }
}

fn templates<'a>(
    alert: &str,
    kind: &str,
    texts: impl Iterator<Item = (&'a str, &'a str)>,
    node: &Node,
    errors: &mut Vec<Error>,
) -> Vec<(String, AlertTemplate)> {
    let mut all = Vec::new();
    for (name, text) in texts {
        match AlertTemplate::parse(&format!("__alert_{alert}"), text) {
            Ok(template) => all.push((name.to_owned(), template)),
            Err(why) => {
                let place = node.get(if kind == "label" { "labels" } else { "annotations" }).unwrap_or(node);
                errors.push(place.error_at(name, format!("{kind} {name:?}: {why}")));
            }
        }
    }
    all
}
