//! `aion tools check config`.

use std::path::Path;

use config::{LoadOptions, Loaded};
use flags::{Flag, Parsed};
use service::tool::Deps;

use super::check_rules::{Checked, check_files, options};
use super::check_targets;
use super::common::Outcome;
use super::lint::{self, Lint};
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[
    Flag::switch(
        "syntax-only",
        "Only check the config file syntax, ignoring file and content validation referenced in the config.",
    ),
    lint::flag(
        "Linting checks to apply to the rules/scrape configs specified in the config. Available options are: all, duplicate-rules, none, too-long-scrape-interval. Use --lint=none to disable linting.",
    ),
    lint::FATAL,
    Flag::duration("query.lookback-delta", "5m", "The server's maximum query lookback duration."),
    lint::IGNORE_UNKNOWN,
    Flag::switch("agent", "Check config file for Prometheus in Agent mode."),
];

pub(super) fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let lint = Lint::of(parsed, deps, &["all", "duplicate-rules", "none", "too-long-scrape-interval"])?;
    let syntax_only = parsed.switch("syntax-only");
    let load = LoadOptions { agent: parsed.switch("agent"), ..LoadOptions::default() };
    let lookback_ms = parsed.duration_ms("query.lookback-delta");
    let rules = options(parsed.switch("ignore-unknown-fields"));
    let mut all = Checked::default();
    for file in parsed.args() {
        deps.print(&format!("Checking {file}\n"))?;
        let env = deps.env.clone();
        let checked = config::check(Path::new(file), load, &*env).map_err(|e| e.to_string());
        let checked = checked.and_then(|loaded| {
            let mut warnings = Vec::new();
            let files = if syntax_only { Vec::new() } else { referred(&loaded, &mut warnings)? };
            Ok((loaded, files, warnings))
        });
        let (loaded, rule_files, warnings) = match checked {
            Ok(found) => found,
            Err(why) => {
                deps.print_error(&format!("  FAILED: {why}\n"))?;
                deps.print("\n")?;
                all = all.and(Checked { failed: true, wrong: true });
                continue;
            }
        };
        for warning in warnings {
            deps.print(&format!("  WARNING: {warning}\n"))?;
        }
        if !rule_files.is_empty() {
            deps.print(&format!("  SUCCESS: {} rule files found\n", rule_files.len()))?;
        }
        deps.print(&format!(" SUCCESS: {file} is valid prometheus config file syntax\n\n"))?;
        if syntax_only {
            continue;
        }
        if lint.long_interval {
            all = all.and(lint_intervals(deps, &loaded, lookback_ms)?);
        }
        all = all.and(check_files(deps, &rule_files, &rules, lint)?);
    }
    Ok(all.code(lint))
}

/// The rule files. Other files that the configuration names must be there too; lists of targets that may still come are
/// told as `warnings`.
fn referred(loaded: &Loaded, warnings: &mut Vec<String>) -> Result<Vec<String>, String> {
    for path in loaded.config.rule_files.iter().filter(|path| !path.contains(['*', '?', '['])) {
        if !Path::new(path).exists() {
            return Err(format!("{path:?} does not point to an existing file"));
        }
    }
    for job in &loaded.jobs {
        check_targets::job(job, warnings)?;
    }
    for set in &loaded.config.alerting.alertmanagers {
        check_targets::alertmanagers(set, warnings)?;
    }
    let paths = loaded.config.rule_paths().map_err(|e| e.to_string())?;
    Ok(paths.iter().map(|path| path.display().to_string()).collect())
}

/// Samples of jobs that are scraped less often than queries look back have gaps between them.
fn lint_intervals(deps: &mut Deps<'_>, loaded: &Loaded, lookback_ms: i64) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    for job in loaded.jobs.iter().filter(|job| job.scrape.scrape_interval.0 >= lookback_ms) {
        checked.failed = true;
        deps.print_error(&format!(
            "  FAILED: too long scrape interval found, data point will be marked as stale - job: {}, interval: {}\n",
            job.scrape.job_name, job.scrape.scrape_interval
        ))?;
    }
    Ok(checked)
}
