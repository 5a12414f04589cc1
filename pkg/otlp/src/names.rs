//! Names of metrics and labels.
//!
//! Source: the compatibility rules of OpenTelemetry with Prometheus, and where these leave it open Prometheus' own
//! translator, whose test tables are restated below.

use crate::settings::{Settings, Strategy};
use crate::units::{clean, suffixes};

/// What a name depends on beside the metric's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    /// A sum that only rises.
    Counter,
    /// A sum that may fall.
    Sum,
    Histogram,
    ExponentialHistogram,
    Summary,
}

/// The name of a metric's family.
///
/// # Errors
/// A metric of whose name nothing is left.
pub(crate) fn metric_name(strategy: Strategy, name: &str, unit: &str, kind: Kind) -> Result<String, String> {
    if !strategy.escapes() {
        return match with_suffixes_as_it_is(strategy, name, unit, kind) {
            empty if empty.is_empty() => Err("a metric has no name".to_owned()),
            built => Ok(built),
        };
    }
    let built = match strategy.adds_suffixes() {
        true => escaped_with_suffixes(name, unit, kind),
        false => with_digit_prefix(tokens(name, |c| is_metric_char(c) || c == '_').join("_")),
    };
    if built.is_empty() {
        return Err(format!("normalization for metric {name:?} resulted in empty name"));
    }
    if built != name && built.chars().all(|c| c == '_') {
        return Err(format!("normalization for metric {name:?} resulted in invalid name {built:?}"));
    }
    Ok(built)
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn tokens(name: &str, keep: impl Fn(char) -> bool) -> Vec<&str> {
    name.split(|c| !keep(c)).filter(|token| !token.is_empty()).collect()
}

fn with_digit_prefix(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn escaped_with_suffixes(name: &str, unit: &str, kind: Kind) -> String {
    let (main, per) = suffixes(unit);
    let (mut main, mut per) = (clean(&main), clean(&per));
    let mut parts = tokens(name, is_metric_char);
    if parts.contains(&main.as_str()) {
        main.clear();
    }
    if per == "per_" {
        per.clear();
    } else {
        per.truncate(per.strip_suffix('_').unwrap_or(&per).len());
        if parts.contains(&per.as_str()) {
            per.clear();
        }
    }
    if !per.is_empty() {
        main.truncate(main.strip_suffix('_').unwrap_or(&main).len());
    }
    parts.extend([main.as_str(), per.as_str()].into_iter().filter(|suffix| !suffix.is_empty()));
    let mut last = |suffix: &'static str| {
        parts.retain(|part| *part != suffix);
        parts.push(suffix);
    };
    if kind == Kind::Counter {
        last("total");
    }
    // Counters of things often have this unit, too, and are no ratios.
    if unit == "1" && kind == Kind::Gauge {
        last("ratio");
    }
    with_digit_prefix(parts.join("_"))
}

/// Suffixes behind a name that stays as it is.
fn with_suffixes_as_it_is(strategy: Strategy, name: &str, unit: &str, kind: Kind) -> String {
    if !strategy.adds_suffixes() {
        return name.to_owned();
    }
    let (main, per) = suffixes(unit);
    let mut behind = Vec::new();
    let mut name = name;
    for (suffix, is_wanted) in [
        ("ratio", unit == "1" && kind == Kind::Gauge),
        ("total", kind == Kind::Counter),
        (per.as_str(), !per.is_empty()),
    ] {
        if is_wanted {
            name = without_suffix(name, suffix);
            behind.push(suffix);
        }
    }
    let mut out = name.to_owned();
    let main = (!main.is_empty() && !name.ends_with(&main)).then_some(main.as_str());
    for suffix in main.into_iter().chain(behind.into_iter().rev()) {
        out.push('_');
        out.push_str(suffix);
    }
    out
}

/// Without the suffix and the character before it, whichever it is.
fn without_suffix<'a>(name: &'a str, suffix: &str) -> &'a str {
    match name.strip_suffix(suffix).and_then(|rest| rest.char_indices().next_back()) {
        Some((end, _)) if end > 0 => &name[..end],
        _ => name,
    }
}

/// The name of a label.
///
/// # Errors
/// An attribute of whose name nothing is left.
pub(crate) fn label_name(settings: &Settings, name: &str) -> Result<String, String> {
    let only_underscores = |text: &str| text.chars().all(|c| c == '_');
    if name.is_empty() {
        return Err("label name is empty".to_owned());
    }
    if !settings.strategy.escapes() {
        return match only_underscores(name) {
            true => Err(format!("label name {name:?} contains only underscores")),
            false => Ok(name.to_owned()),
        };
    }
    let mut built = escaped_label(name, settings.label_name_preserve_multiple_underscores);
    if built.starts_with(|c: char| c.is_ascii_digit()) {
        built.insert_str(0, "key_");
    } else if settings.label_name_underscore_sanitization && built.starts_with('_') && !built.starts_with("__") {
        built.insert_str(0, "key");
    }
    match only_underscores(&built) {
        true => Err(format!("normalization for label name {name:?} resulted in invalid name {built:?}")),
        false => Ok(built),
    }
}

fn escaped_label(name: &str, keep_underscores: bool) -> String {
    let escape = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    if keep_underscores {
        return name.chars().map(escape).collect();
    }
    let reserved = name.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let mut out = String::with_capacity(name.len());
    for c in reserved.unwrap_or(name).chars().map(escape) {
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    match reserved {
        Some(_) => format!("__{out}__"),
        None => out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Strategy = Strategy::UnderscoreEscapingWithSuffixes;
    const PLAIN: Strategy = Strategy::UnderscoreEscapingWithoutSuffixes;
    const UTF8: Strategy = Strategy::NoUtf8EscapingWithSuffixes;
    const NONE: Strategy = Strategy::NoTranslation;

    #[test]
    fn names_of_metrics() {
        use Kind::{Counter, ExponentialHistogram, Gauge, Histogram, Sum, Summary};
        for (strategy, name, unit, kind, wanted) in [
            (PLAIN, "simple_metric", "", Gauge, "simple_metric"),
            (PLAIN, "metric@with#special$chars", "", Gauge, "metric_with_special_chars"),
            (PLAIN, "123metric", "", Gauge, "_123metric"),
            (PLAIN, "metric@@##$$name", "", Gauge, "metric_name"),
            (PLAIN, "___", "", Gauge, "___"),
            (PLAIN, "a__b", "By", Gauge, "a__b"),
            (FULL, "requests", "", Counter, "requests_total"),
            (FULL, "cpu_usage", "1", Gauge, "cpu_usage_ratio"),
            (FULL, "items", "1", Counter, "items_total"),
            (FULL, "response_time", "ms", Gauge, "response_time_milliseconds"),
            (FULL, "memory_usage", "By", Gauge, "memory_usage_bytes"),
            (FULL, "requests", "1/s", Gauge, "requests_per_second"),
            (FULL, "throughput", "By/s", Gauge, "throughput_bytes_per_second"),
            (FULL, "custom_metric", "custom_unit", Gauge, "custom_metric_custom_unit"),
            (FULL, "custom_metric", "{custom}", Gauge, "custom_metric"),
            (FULL, "custom_metric", "By/{custom}", Gauge, "custom_metric_bytes"),
            (FULL, "requests_total", "", Counter, "requests_total"),
            (FULL, "total_requests", "", Counter, "requests_total"),
            (FULL, "cpu_usage_ratio", "1", Gauge, "cpu_usage_ratio"),
            (FULL, "response_time_seconds", "s", Gauge, "response_time_seconds"),
            (FULL, "123_requests", "", Counter, "_123_requests_total"),
            (
                FULL,
                "metric__with__multiple__underscores",
                "unit__multiple__underscores",
                Gauge,
                "metric_with_multiple_underscores_unit_multiple_underscores",
            ),
            (FULL, "custom_metric", "unit@with#special/chars", Gauge, "custom_metric_unit_with_special_per_chars"),
            (FULL, "request_duration", "s", Histogram, "request_duration_seconds"),
            (FULL, "http.server.duration", "s", ExponentialHistogram, "http_server_duration_seconds"),
            (FULL, "rpc.latency", "us", Summary, "rpc_latency_microseconds"),
            (FULL, "queue.length", "", Sum, "queue_length"),
            (FULL, "a", "m/__", Gauge, "a_meters"),
            (FULL, "a", "_/s", Gauge, "a_per_second"),
            (FULL, "system.network.io.by-direction.total", "By", Counter, "system_network_io_by_direction_bytes_total"),
            (UTF8, "requests_total", "", Counter, "requests_total"),
            (UTF8, "cpu_usage_ratio", "1", Gauge, "cpu_usage_ratio"),
            (UTF8, "response_time_seconds", "s", Gauge, "response_time_seconds"),
            (UTF8, "cpu_seconds_total", "s", Counter, "cpu_seconds_total"),
            (UTF8, "otelcol_process_cpu_seconds", "s", Counter, "otelcol_process_cpu_seconds_total"),
            (UTF8, "requêsts", "1/s", Counter, "requêsts_per_second_total"),
            (UTF8, "cpu_usagé", "1", Gauge, "cpu_usagé_ratio"),
            (UTF8, "respønse_time", "ms", Gauge, "respønse_time_milliseconds"),
            (UTF8, "@#$%", "", Counter, "@#$%_total"),
            (UTF8, "total", "", Counter, "total_total"),
            (UTF8, "ßtotal", "", Counter, "ßtotal_total"),
            (UTF8, "test.histogram", "By", Histogram, "test.histogram_bytes"),
            (NONE, "métric_with_ñ_chars", "By", Counter, "métric_with_ñ_chars"),
            (NONE, "___", "", Gauge, "___"),
        ] {
            assert_eq!(metric_name(strategy, name, unit, kind), Ok(wanted.to_owned()), "{strategy:?} {name} {unit}");
        }
        for (strategy, name, wanted) in [
            (PLAIN, "", "normalization for metric \"\" resulted in empty name"),
            (PLAIN, "@#$%", "normalization for metric \"@#$%\" resulted in empty name"),
            (PLAIN, "@_#_$_%", "normalization for metric \"@_#_$_%\" resulted in invalid name \"_____\""),
            (FULL, "@#$%", "normalization for metric \"@#$%\" resulted in empty name"),
            (NONE, "", "a metric has no name"),
        ] {
            assert_eq!(metric_name(strategy, name, "", Kind::Gauge), Err(wanted.to_owned()));
        }
    }

    #[test]
    fn names_of_labels() {
        let settings = |keep, key| Settings {
            label_name_preserve_multiple_underscores: keep,
            label_name_underscore_sanitization: key,
            ..Settings::default()
        };
        // The name; with runs of underscores made one, and kept; each without and with the prefix.
        for (name, wanted) in [
            ("label:with:colons", ["label_with_colons"; 4]),
            ("LabelWithCapitalLetters", ["LabelWithCapitalLetters"; 4]),
            ("label!with&special$chars)", ["label_with_special_chars_"; 4]),
            ("label.with.dots", ["label_with_dots"; 4]),
            ("123label", ["key_123label"; 4]),
            (".foo", ["_foo", "key_foo", "_foo", "key_foo"]),
            ("_started", ["_started", "key_started", "_started", "key_started"]),
            ("__started", ["_started", "key_started", "__started", "__started"]),
            ("字符s", ["_s", "key_s", "__s", "__s"]),
            ("a__b", ["a_b", "a_b", "a__b", "a__b"]),
            (
                "a.name__with&&special##b",
                [
                    "a_name_with_special_b",
                    "a_name_with_special_b",
                    "a_name__with__special__b",
                    "a_name__with__special__b",
                ],
            ),
            (
                "__reserved__name__",
                ["__reserved_name__", "__reserved_name__", "__reserved__name__", "__reserved__name__"],
            ),
            ("trailing___", ["trailing_", "trailing_", "trailing___", "trailing___"]),
        ] {
            let built = [(false, false), (false, true), (true, false), (true, true)]
                .map(|(keep, key)| label_name(&settings(keep, key), name).unwrap());
            assert_eq!(built, wanted.map(str::to_owned), "{name}");
        }
        let refused = |keep, name: &str| label_name(&settings(keep, false), name).unwrap_err();
        assert_eq!(refused(false, "字符"), "normalization for label name \"字符\" resulted in invalid name \"_\"");
        assert_eq!(refused(true, "字符"), "normalization for label name \"字符\" resulted in invalid name \"__\"");
        assert_eq!(refused(true, ""), "label name is empty");
        let utf8 = Settings { strategy: NONE, ..Settings::default() };
        assert_eq!(label_name(&utf8, "字符.a"), Ok("字符.a".to_owned()));
        assert_eq!(label_name(&utf8, "__"), Err("label name \"__\" contains only underscores".to_owned()));
        assert_eq!(label_name(&utf8, ""), Err("label name is empty".to_owned()));
    }

    #[test]
    fn units_of_metadata() {
        for (unit, wanted) in [
            ("", ""),
            ("s", "seconds"),
            ("By/s", "bytes_per_second"),
            ("requests/s", "requests_per_second"),
            ("1", ""),
            ("1/s", "per_second"),
            ("{packet}", ""),
            ("unit@with#special/chars", "unit_with_special_per_chars"),
            ("_a_", "a"),
            (" ms ", "milliseconds"),
        ] {
            assert_eq!(crate::units::metadata_unit(unit), wanted, "{unit:?}");
        }
    }
}
