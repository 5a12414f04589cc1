//! What a configuration says of targets, as far as it can be checked without asking anybody: lists, the files of lists,
//! credentials.

use std::path::Path;

use config::{AlertmanagerConfig, Job, ProviderConfig};
use labels::{Builder, Labels};
use model::{ADDRESS_LABEL, TargetGroup};
use relabel::Rule;
use scrape::preview;
use serde_json::Value;

/// Checks files and targets of a job.
///
/// # Errors
/// A file is missing or wrong, or an address is none.
pub(super) fn job(job: &Job, warnings: &mut Vec<String>) -> Result<(), String> {
    let name = &job.scrape.job_name;
    files_exist(&serde_json::to_value(&job.scrape.http).unwrap_or_default())?;
    job.scrape.http.clone().build().map_err(|e| format!("job {name:?}: {e}"))?;
    let is_valid = |group: &TargetGroup| {
        let wrong = preview(&job.scrape, group).into_iter().find_map(|target| target.error);
        wrong.map_or(Ok(()), |why| Err(format!("job {name:?}, {}: {why}", group.source)))
    };
    groups(&job.discovery.providers(), &format!("scrape job {name:?}"), warnings, is_valid)
}

/// Checks the addresses of Alertmanagers, as relabelling leaves them.
///
/// # Errors
/// As of [`job`].
pub(super) fn alertmanagers(set: &AlertmanagerConfig, warnings: &mut Vec<String>) -> Result<(), String> {
    let is_valid = |group: &TargetGroup| group.targets.iter().try_for_each(|target| address(set, group, target));
    groups(&set.discovery.providers(), "alertmanager config", warnings, is_valid)
}

fn address(set: &AlertmanagerConfig, group: &TargetGroup, target: &Labels) -> Result<(), String> {
    let mut labels = Builder::new();
    for (name, value) in group.labels.iter().chain(target.iter()) {
        labels.set(name, value);
    }
    let rules: &[Rule] = &set.relabel_configs;
    if relabel::apply_to(rules, &mut labels) && labels.value(ADDRESS_LABEL).contains('/') {
        return Err(format!("{:?} is not a valid hostname", labels.value(ADDRESS_LABEL)));
    }
    Ok(())
}

/// All groups that lists and files have.
fn groups(
    providers: &[ProviderConfig],
    of: &str,
    warnings: &mut Vec<String>,
    is_valid: impl Fn(&TargetGroup) -> Result<(), String>,
) -> Result<(), String> {
    for provider in providers {
        match provider {
            ProviderConfig::Static(lists) => {
                for (at, list) in lists.iter().enumerate() {
                    let targets = list.targets.iter().map(|target| Labels::from_pairs([(ADDRESS_LABEL, target)]));
                    is_valid(&TargetGroup {
                        source: format!("list {}", at + 1),
                        targets: targets.collect(),
                        labels: Labels::from_pairs(&list.labels),
                    })?;
                }
            }
            ProviderConfig::File(files) => {
                for pattern in &files.files {
                    let found = config::glob(pattern).map_err(|e| e.to_string())?;
                    if found.is_empty() {
                        warnings.push(format!("file {pattern:?} for file_sd in {of} does not exist"));
                    }
                    for path in found {
                        for group in read(&path).map_err(|why| format!("checking SD file {pattern:?}: {why}"))? {
                            is_valid(&group)?;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    discovery::file::parse_groups(path, &text)
}

/// Files of credentials, which are read with each request only.
fn files_exist(http: &Value) -> Result<(), String> {
    let of = |section: &str, key: &str| http.get(section).and_then(|section| section.get(key)).and_then(Value::as_str);
    for (what, path) in [
        ("authorization credentials or bearer token file", of("authorization", "credentials_file")),
        ("authorization credentials or bearer token file", http.get("bearer_token_file").and_then(Value::as_str)),
        ("client cert file", of("tls_config", "cert_file")),
        ("client key file", of("tls_config", "key_file")),
    ] {
        let Some(path) = path.filter(|path| !path.is_empty()) else { continue };
        std::fs::metadata(path).map_err(|e| format!("error checking {what} {path:?}: {e}"))?;
    }
    Ok(())
}
