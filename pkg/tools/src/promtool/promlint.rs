//! Conventions of metrics: names, units, help texts, as Prometheus' documentation has them. What is looked for, and the
//! texts, are those of Prometheus' own check.

use std::collections::{BTreeMap, HashSet};

use model::MetricType;

/// A metric family of a body.
#[derive(Debug)]
pub(super) struct Family {
    pub metric_type: MetricType,
    pub help: Option<String>,
    pub series: usize,
    /// How many series have each label.
    labels: BTreeMap<String, usize>,
    /// Names and labels of the series.
    seen: HashSet<(String, Vec<(String, String)>)>,
    /// Series that were there before.
    doubles: usize,
}

impl Default for Family {
    fn default() -> Self {
        Self {
            metric_type: MetricType::Unknown,
            help: None,
            series: 0,
            labels: BTreeMap::new(),
            seen: HashSet::new(),
            doubles: 0,
        }
    }
}

impl Family {
    /// Notes a series.
    pub fn add(&mut self, name: String, mut labels: Vec<(String, String)>) {
        self.series += 1;
        labels.sort();
        for (label, _) in &labels {
            *self.labels.entry(label.clone()).or_default() += 1;
        }
        self.doubles += usize::from(!self.seen.insert((name, labels)));
    }

    fn with_label(&self, name: &str) -> usize {
        self.labels.get(name).copied().unwrap_or(0)
    }
}

/// Units, and those to use in their place.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega", "mibi", "giga", "gibi",
    "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] = ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

const TYPES: [(&str, MetricType); 4] = [
    ("counter", MetricType::Counter),
    ("gauge", MetricType::Gauge),
    ("histogram", MetricType::Histogram),
    ("summary", MetricType::Summary),
];

/// What is odd about a family, in the order of the texts.
pub(super) fn problems(name: &str, family: &Family) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |times: usize, text: String| found.extend(std::iter::repeat_n(text, times));
    add(usize::from(family.help.is_none()), "no help text".to_owned());
    add(family.doubles, "metric not unique".to_owned());
    let known = family.metric_type != MetricType::Unknown;
    let counter = family.metric_type == MetricType::Counter;
    match (counter, name.ends_with("_total")) {
        (true, false) => add(1, "counter metrics should have \"_total\" suffix".to_owned()),
        (false, true) if known => add(1, "non-counter metrics should not have \"_total\" suffix".to_owned()),
        _ => {}
    }
    let (histogram, summary) = (family.metric_type == MetricType::Histogram, family.metric_type == MetricType::Summary);
    for (suffix, kind, allowed) in [
        ("_bucket", "non-histogram", histogram),
        ("_count", "non-histogram and non-summary", histogram || summary),
        ("_sum", "non-histogram and non-summary", histogram || summary),
    ] {
        let odd = known && name.ends_with(suffix) && !allowed;
        add(usize::from(odd), format!("{kind} metrics should not have \"{suffix}\" suffix"));
    }
    for (label, kind, allowed) in [("le", "non-histogram", histogram), ("quantile", "non-summary", summary)] {
        let times = if known && !allowed { family.with_label(label) } else { 0 };
        add(times, format!("{kind} metrics should not have \"{label}\" label"));
    }
    add(usize::from(name.contains(':')), "metric names should not contain ':'".to_owned());
    add(usize::from(is_camel_case(name)), "metric names should be written in 'snake_case' not 'camelCase'".to_owned());
    let odd: usize = family.labels.iter().filter(|(label, _)| is_camel_case(label)).map(|(_, times)| times).sum();
    add(odd, "label names should be written in 'snake_case' not 'camelCase'".to_owned());
    if let Some((unit, base)) = odd_unit(name) {
        add(1, format!("use base unit \"{base}\" instead of \"{unit}\""));
    }
    let lower = name.to_ascii_lowercase();
    let has_word = |word: &str| lower.contains(&format!("_{word}_")) || lower.ends_with(&format!("_{word}"));
    let short = ABBREVIATIONS.iter().filter(|word| has_word(word)).count();
    add(short, "metric names should not contain abbreviated units".to_owned());
    for (word, metric_type) in TYPES {
        let odd = family.metric_type == metric_type && has_word(word);
        add(usize::from(odd), format!("metric name should not include type '{word}'"));
    }
    found.sort();
    found
}

/// A lower-case letter with an upper-case one behind it.
fn is_camel_case(name: &str) -> bool {
    name.as_bytes().windows(2).any(|w| w[0].is_ascii_lowercase() && w[1].is_ascii_uppercase())
}

/// The first unit of a name, if it is no base unit, and the base unit.
fn odd_unit(name: &str) -> Option<(&str, &'static str)> {
    let base_of = |word: &str| {
        let plain = |word: &str| UNITS.iter().find(|(unit, _)| *unit == word).map(|(_, base)| *base);
        plain(word).or_else(|| PREFIXES.iter().find_map(|prefix| plain(word.strip_prefix(prefix)?)))
    };
    let (unit, base) = name.split('_').find_map(|word| Some((word, base_of(word)?)))?;
    (unit != base).then_some((unit, base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oddities() {
        let problems_of = |name: &str, metric_type, help: &str| {
            let help = (!help.is_empty()).then(|| help.to_owned());
            problems(name, &Family { metric_type, help, ..Family::default() })
        };
        for (name, metric_type, help, want) in [
            ("http_requests_total", MetricType::Counter, "x", &[][..]),
            ("http_requests", MetricType::Counter, "x", &["counter metrics should have \"_total\" suffix"]),
            ("temperature_celsius", MetricType::Gauge, "", &["no help text"]),
            ("wait_milliseconds", MetricType::Gauge, "x", &["use base unit \"seconds\" instead of \"milliseconds\""]),
            ("age_days", MetricType::Gauge, "x", &["use base unit \"seconds\" instead of \"days\""]),
            ("wait_ms", MetricType::Gauge, "x", &["metric names should not contain abbreviated units"]),
            ("a:b", MetricType::Gauge, "x", &["metric names should not contain ':'"]),
            ("fooBar", MetricType::Gauge, "x", &["metric names should be written in 'snake_case' not 'camelCase'"]),
            ("size_histogram", MetricType::Histogram, "x", &["metric name should not include type 'histogram'"]),
            (
                "x_count",
                MetricType::Gauge,
                "x",
                &["non-histogram and non-summary metrics should not have \"_count\" suffix"],
            ),
        ] {
            assert_eq!(problems_of(name, metric_type, help), want, "{name}");
        }
    }
}
