//! The configuration with all of its files.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use discovery::glob;
use scrape::config::FeatureDefaults;
use serde::Deserialize;

use crate::files::checksum;
use crate::main_file::{Config, Job, jobs};
use crate::targets::BUILT;
use crate::warnings::{Warning, not_in_force, warning};

/// A configuration, ready to be put in force.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the main file says. Names of files count from its folder.
    pub config: Config,
    /// All jobs: those of the main file, then those of `scrape_config_files`. No two have one name.
    pub jobs: Vec<Job>,
    /// See [`checksum`]: as the files were just before they were read.
    pub hash: String,
    /// What has no effect.
    pub warnings: Vec<Warning>,
}

/// Why a configuration is not put in force.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is wrong.
    #[error("{}: {error}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: yaml::Error,
    },
    /// Jobs find their targets in ways that are not built.
    #[error("{}", _0.join("; "))]
    Unsupported(Vec<String>),
}

impl Config {
    /// The rule files that are there, each once.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn rule_paths(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let mut all = Vec::new();
        for pattern in &self.rule_files {
            let found = glob(pattern).map_err(|source| ConfigError::Read { path: pattern.into(), source })?;
            for path in found {
                if !all.contains(&path) {
                    all.push(path);
                }
            }
        }
        Ok(all)
    }
}

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoadOptions {
    /// The server only sends samples on.
    pub agent: bool,
    /// What feature flags change.
    pub features: FeatureDefaults,
}

/// Reads a configuration for running. `env` gives variables of the environment for the external labels.
///
/// # Errors
/// [`ConfigError`] for what [`check`] refuses, and for jobs whose targets cannot be discovered.
pub fn load(path: &Path, options: LoadOptions, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let loaded = check(path, options, env)?;
    let jobs = loaded.jobs.iter().map(|job| (format!("job {:?}", job.scrape.job_name), &job.discovery));
    let sets = loaded.config.alerting.alertmanagers.iter().map(|set| ("alertmanagers".to_owned(), &set.discovery));
    let mut missing = Vec::new();
    for (whose, discovery) in jobs.chain(sets) {
        for (mechanism, line) in discovery.unsupported() {
            missing.push(format!(
                "{whose}, line {line}: {mechanism}_sd_configs is not supported, use one of {}; a tool that writes the \
                 targets to a file or serves them by HTTP works with file_sd_configs or http_sd_configs",
                BUILT.join(", "),
            ));
        }
    }
    if missing.is_empty() { Ok(loaded) } else { Err(ConfigError::Unsupported(missing)) }
}

/// Reads and checks a configuration with all files that it names but rules.
///
/// # Errors
/// Files that cannot be read, and what Prometheus refuses.
pub fn check(path: &Path, options: LoadOptions, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigError> {
    let read = |path: &Path, source| ConfigError::Read { path: path.to_owned(), source };
    let hash = checksum(path).map_err(|e| read(path, e))?;
    let text = read_text(path)?;
    let wrong = |error| ConfigError::Wrong { path: path.to_owned(), error };
    let node = yaml::parse(&text).map_err(wrong)?;
    let unset = RefCell::new(BTreeSet::new());
    let noted = |name: &str| {
        let value = env(name).filter(|value| !value.is_empty());
        if value.is_none() {
            unset.borrow_mut().insert(name.to_owned());
        }
        value
    };
    let mut config = Config::from_node(&node, &noted, options.features).map_err(wrong)?;
    if options.agent {
        check_agent(&config, &node).map_err(wrong)?;
    }
    config.resolve_paths(path.parent().unwrap_or(Path::new("")));
    let mut warnings = Vec::new();
    if node.is_null() {
        let text = format!("{} is empty: nothing is scraped", path.display());
        warnings.push(warning("", text));
    }
    warnings.extend(unset.take().iter().map(|name| {
        let text = format!("external_labels name the variable {name}, which is empty or not set in the environment");
        warning("external_labels", text)
    }));
    for pattern in &config.rule_files {
        if glob(pattern).is_ok_and(|files| files.is_empty()) {
            warnings.push(warning("rule_files", format!("rule_files: {pattern} matches no file")));
        }
    }
    warnings.extend(not_in_force(&config));
    let jobs = all_jobs(&config, &mut warnings)?;
    Ok(Loaded { config, jobs, hash, warnings })
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let error = yaml::Error::at(u32::try_from(line).unwrap_or(0), 0, "not valid UTF-8");
        ConfigError::Wrong { path: path.to_owned(), error }
    })
}

fn check_agent(config: &Config, node: &yaml::Node) -> Result<(), yaml::Error> {
    let alerting = &config.alerting;
    let set = [
        ("alerting", !alerting.alertmanagers.is_empty() || !alerting.alert_relabel_configs.is_empty()),
        ("rule_files", !config.rule_files.is_empty()),
        ("remote_read", !config.remote_read.is_empty()),
    ];
    match set.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(node.error_at(key, format!("field {key} is not allowed in agent mode"))),
        None => Ok(()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ScrapeConfigFile {}

/// The jobs of the main file and of all others.
fn all_jobs(config: &Config, warnings: &mut Vec<Warning>) -> Result<Vec<Job>, ConfigError> {
    let mut all = config.scrape_configs.clone();
    let mut places: std::collections::BTreeMap<String, String> =
        all.iter().map(|job| (job.scrape.job_name.clone(), "the main file".to_owned())).collect();
    for pattern in &config.scrape_config_files {
        let files = glob(pattern).map_err(|source| ConfigError::Read { path: pattern.into(), source })?;
        if files.is_empty() {
            let text = format!("scrape_config_files: {pattern} matches no file");
            warnings.push(warning("scrape_config_files", text));
        }
        for path in files {
            let wrong = |error| ConfigError::Wrong { path: path.clone(), error };
            let node = yaml::parse(&read_text(&path)?).map_err(wrong)?;
            let (lists, rest) = node.split(|key| key == "scrape_configs").map_err(wrong)?;
            let ScrapeConfigFile {} = rest.decode().map_err(wrong)?;
            let Some(list) = lists.get("scrape_configs") else { continue };
            let found = jobs(list, &config.global).map_err(wrong)?;
            let nodes = list.list().map_err(wrong)?;
            let folder = path.parent().unwrap_or(Path::new(""));
            for (mut job, node) in found.into_iter().zip(nodes) {
                let name = &job.scrape.job_name;
                if let Some(first) = places.insert(name.clone(), path.display().to_string()) {
                    let why = format!("found multiple scrape configs with job name {name:?}, first found in {first}");
                    return Err(wrong(node.error_at("job_name", why)));
                }
                job.resolve_paths(folder);
                all.push(job);
            }
        }
    }
    Ok(all)
}
