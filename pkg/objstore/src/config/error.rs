//! Why a configuration is refused.

/// Why a configuration was refused. Texts hold no values: they may be secrets.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `$(NAME)` with nothing of that name in the environment.
    #[error("{}environment variable {name:?} is not set", at(*.line))]
    Env {
        /// Line of the YAML, from 1.
        line: u64,
        /// The variable's name.
        name: String,
    },
    /// Not YAML, not of the right shape, or an unknown key.
    #[error("{}{text}", at(*.line))]
    Yaml {
        /// Line of the YAML, from 1; 0 where it is not known.
        line: u64,
        /// What is wrong there.
        text: String,
    },
    /// A key or value that is understood and not supported.
    #[error("{}{key}: {why}", at(*.line))]
    Refused {
        /// Line of the YAML, from 1; 0 where it is not known.
        line: u64,
        /// The key, with its parents.
        key: String,
        /// The reason, and what to use instead.
        why: String,
    },
    /// The client could not be made.
    #[error("{what}: {source}")]
    Open {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Where an error is, if that is known.
fn at(line: u64) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

impl ConfigError {
    pub(crate) fn refused(line: u64, key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { line, key: key.into(), why: why.into() }
    }

    pub(super) fn open(what: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Open { what: what.into(), source: source.into() }
    }
}
