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
    let all = [
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
