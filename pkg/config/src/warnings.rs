//! What is read and has no effect.

use std::fmt;

use crate::main_file::Config;

/// A part of the configuration that is correct and not in force, or that an operator may not have meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The key, for instance `remote_write`; empty where it is none. Whoever does serve the section leaves the warning out.
    pub section: &'static str,
    /// What follows, and what to do.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

pub(crate) fn warning(section: &'static str, text: impl Into<String>) -> Warning {
    Warning { section, text: text.into() }
}

/// What the main file asks for that is not in force.
pub(crate) fn not_in_force(config: &Config) -> Vec<Warning> {
    let rules = !config.rule_files.is_empty();
    let alerting = !config.alerting.alertmanagers.is_empty() || !config.alerting.alert_relabel_configs.is_empty();
    let all = [
        (rules, "rule_files", "rule files are checked by name only: no rule is evaluated"),
        (alerting, "alerting", "alerting is not in force: no alert is sent"),
        (!config.remote_write.is_empty(), "remote_write", "remote_write is not in force: no sample is sent"),
        (!config.remote_read.is_empty(), "remote_read", "remote_read is not in force: no server is asked"),
        (config.otlp != crate::OtlpConfig::default(), "otlp", "otlp is not in force: OTLP is not received"),
        (config.tracing.is_some(), "tracing", "tracing is not in force: no trace is sent"),
        (
            config.global.query_log_file.is_some(),
            "query_log_file",
            "query_log_file is not in force: no query is logged there",
        ),
        (
            config.runtime.gogc.is_some(),
            "runtime",
            "runtime.gogc has no effect: there is no garbage collector. Remove the key",
        ),
    ];
    all.into_iter().filter(|(is, ..)| *is).map(|(_, section, text)| warning(section, text)).collect()
}
