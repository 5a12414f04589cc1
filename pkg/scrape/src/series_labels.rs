//! The labels of a series as they are stored: those of the body, the target's over them, then relabelling.

use std::borrow::Cow;

use labels::{Builder, Labels, METRIC_NAME};
use relabel::Rule;
use textparse::Series;

use crate::config::{ScrapeConfig, ValidationScheme};

const EXPORTED: &str = "exported_";

/// What is done to labels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LabelRules<'a> {
    /// The target's labels that series get.
    pub(crate) target: &'a Labels,
    pub(crate) honors_labels: bool,
    pub(crate) rules: &'a [Rule],
    pub(crate) names: ValidationScheme,
    pub(crate) limits: LabelLimits,
}

/// Limits on labels; 0 = none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LabelLimits {
    labels: u64,
    name_bytes: u64,
    value_bytes: u64,
}

impl LabelLimits {
    pub(crate) fn of(config: &ScrapeConfig) -> Self {
        Self {
            labels: config.label_limit,
            name_bytes: config.label_name_length_limit,
            value_bytes: config.label_value_length_limit,
        }
    }
}

/// Why the labels of a series are not taken. The scrape fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Limit(String),
}

/// The labels of `series`, with `extra` ones over those of the body; `None` if relabelling drops it.
pub(crate) fn series_labels(
    series: &Series<'_>,
    extra: &[(&str, &str)],
    with: LabelRules<'_>,
) -> Result<Option<Labels>, LabelError> {
    let name = series.name();
    let mut exposed: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::with_capacity(series.label_count() + 4);
    exposed.push((METRIC_NAME.into(), name));
    exposed.extend(series.labels().filter(|(name, _)| !extra.iter().any(|(other, _)| name == other)));
    exposed.extend(extra.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    for (i, (name, _)) in exposed.iter().enumerate() {
        if exposed[..i].iter().any(|(other, _)| other == name) {
            let why = format!("label name {name:?} is not unique: invalid sample: series {}", shown(&exposed));
            return Err(LabelError::Invalid(why));
        }
    }
    let mut labels = Builder::new();
    for (name, value) in &exposed {
        labels.set(name, value);
    }
    merge(&mut labels, &exposed, with);
    if !relabel::apply_to(with.rules, &mut labels) {
        return Ok(None);
    }
    let labels = labels.build();
    if labels.is_empty() {
        return Ok(None);
    }
    check(&labels, with)?;
    Ok(Some(labels))
}

/// Puts the target's labels over or below those of the body.
fn merge(labels: &mut Builder, exposed: &[(Cow<'_, str>, Cow<'_, str>)], with: LabelRules<'_>) {
    if with.honors_labels {
        for (name, value) in with.target {
            // An exposed label without a value wins too: the series has no such label then.
            if !exposed.iter().any(|(other, _)| other == name) {
                labels.set(name, value);
            }
        }
        return;
    }
    let mut moved = Vec::new();
    for (name, value) in with.target {
        let before = labels.value(name);
        if !before.is_empty() {
            moved.push((name, before.to_owned()));
        }
        labels.set(name, value);
    }
    // Shorter names first, so that `exported_a` of the body makes room for `a`.
    moved.sort_by_key(|(name, _)| name.len());
    for (name, value) in moved {
        let mut free = format!("{EXPORTED}{name}");
        while !labels.value(&free).is_empty() {
            free.insert_str(0, EXPORTED);
        }
        labels.set(&free, &value);
    }
}

fn check(labels: &Labels, with: LabelRules<'_>) -> Result<(), LabelError> {
    let metric = labels.metric_name();
    if metric.is_empty() {
        return Err(LabelError::Invalid(format!("missing metric name (__name__ label): series {labels}")));
    }
    let is_metric = with.names == ValidationScheme::Utf8 || labels::is_legacy_metric_name(metric);
    if !is_metric || !labels.iter().all(|(name, _)| with.names.is_label_name(name)) {
        return Err(LabelError::Invalid(format!("invalid metric name or label names: {labels}")));
    }
    let limits = with.limits;
    let over = |is: usize, limit: u64| limit > 0 && is as u64 > limit;
    let metric: String = metric.chars().take(50).collect();
    if limits.labels > 0 && over(labels.len(), limits.labels) {
        return Err(LabelError::Limit(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            limits.labels
        )));
    }
    if limits.name_bytes == 0 && limits.value_bytes == 0 {
        return Ok(());
    }
    for (name, value) in labels {
        let place = || {
            let cut: String = name.chars().take(50).collect();
            format!("metric: {metric}, label name: {cut}")
        };
        if over(name.len(), limits.name_bytes) {
            let (is, limit) = (name.len(), limits.name_bytes);
            let why = format!("label_name_length_limit exceeded ({}, length: {is}, limit: {limit})", place());
            return Err(LabelError::Limit(why));
        }
        if over(value.len(), limits.value_bytes) {
            let (is, limit) = (value.len(), limits.value_bytes);
            let value: String = value.chars().take(50).collect();
            let why = format!(
                "label_value_length_limit exceeded ({}, value: {value:?}, length: {is}, limit: {limit})",
                place()
            );
            return Err(LabelError::Limit(why));
        }
    }
    Ok(())
}

fn shown(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    let pairs: Vec<String> = pairs.iter().take(8).map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use textparse::{Entry, Format, Options, Parser};

    fn outcome(line: &str, target: &[(&str, &str)], honors_labels: bool, rules: &str, limits: LabelLimits) -> String {
        let mut parser = Parser::new(line.as_bytes(), Format::Text, Options::default()).unwrap();
        let Some(Entry::Sample(sample)) = parser.next().unwrap() else { panic!("a sample") };
        let target = Labels::from_pairs(target.iter().copied());
        let rules = relabel::parse_rules(rules).unwrap();
        let names = ValidationScheme::Legacy;
        let with = LabelRules { target: &target, honors_labels, rules: &rules, names, limits };
        match series_labels(&sample.series, &[], with) {
            Ok(Some(labels)) => labels.to_string(),
            Ok(None) => "dropped".to_owned(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn exposed_and_target_labels() {
        for (line, target, honors, want) in [
            ("m 1", &[("a", "t")][..], false, r#"{__name__="m", a="t"}"#),
            (r#"m{a="1"} 1"#, &[("a", "t")], false, r#"{__name__="m", a="t", exported_a="1"}"#),
            (r#"m{a="1"} 1"#, &[("a", "t")], true, r#"{__name__="m", a="1"}"#),
            // An empty label of the body.
            (r#"m{a=""} 1"#, &[("a", "t")], false, r#"{__name__="m", a="t"}"#),
            (r#"m{a=""} 1"#, &[("a", "t")], true, r#"{__name__="m"}"#),
            // The new name is taken.
            (
                r#"m{a="1",exported_a="2"} 1"#,
                &[("a", "t")],
                false,
                r#"{__name__="m", a="t", exported_a="2", exported_exported_a="1"}"#,
            ),
            (
                r#"m{a="1",exported_a="2"} 1"#,
                &[("a", "t"), ("exported_a", "u")],
                false,
                r#"{__name__="m", a="t", exported_a="u", exported_exported_a="1", exported_exported_exported_a="2"}"#,
            ),
            (
                r#"m{a="1",a="2"} 1"#,
                &[],
                false,
                "label name \"a\" is not unique: invalid sample: series {__name__=\"m\", a=\"1\", a=\"2\"}",
            ),
            (r#"{"m.n"} 1"#, &[], false, r#"invalid metric name or label names: {__name__="m.n"}"#),
            (r#"m{"a.b"="1"} 1"#, &[], false, r#"invalid metric name or label names: {__name__="m", "a.b"="1"}"#),
        ] {
            assert_eq!(outcome(line, target, honors, "", LabelLimits::default()), want, "{line} {target:?} {honors}");
        }
    }

    #[test]
    fn relabelling_and_limits() {
        let drop = "[{action: drop, source_labels: [a], regex: '1'}]";
        let rename = "[{source_labels: [a], target_label: __name__}]";
        let nameless = "[{target_label: __name__, replacement: ''}]";
        let empty = "[{action: labeldrop, regex: '.*'}]";
        let limits = LabelLimits { labels: 2, name_bytes: 8, value_bytes: 3 };
        for (line, rules, want) in [
            (r#"m{a="1"} 1"#, drop, "dropped"),
            (r#"m{a="2"} 1"#, drop, r#"{__name__="m", a="2"}"#),
            (r#"m{a="n"} 1"#, rename, r#"{__name__="n", a="n"}"#),
            // Names are checked behind the rules.
            (r#"m{a="x.y"} 1"#, rename, r#"invalid metric name or label names: {__name__="x.y", a="x.y"}"#),
            (r#"m{a="2"} 1"#, nameless, r#"missing metric name (__name__ label): series {a="2"}"#),
            (r#"m{a="2"} 1"#, empty, "dropped"),
            (r#"m{a="2",b="3"} 1"#, "", "label_limit exceeded (metric: m, number of labels: 3, limit: 2)"),
            (
                r#"m{long_name="1"} 1"#,
                "",
                "label_name_length_limit exceeded (metric: m, label name: long_name, length: 9, limit: 8)",
            ),
            (
                r#"m{a="long"} 1"#,
                "",
                "label_value_length_limit exceeded (metric: m, label name: a, value: \"long\", length: 4, limit: 3)",
            ),
        ] {
            assert_eq!(outcome(line, &[], false, rules, limits), want, "{line} {rules}");
        }
    }
}
