//! `aion tools check rules`.

use flags::{Flag, Parsed};
use rules::{GroupSpec, ParseOptions};
use service::tool::Deps;

use super::common::{LINT, Outcome, standard_input};
use super::lint::{self, Lint, duplicates, duplicates_text};
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[
    lint::flag(
        "Linting checks to apply. Available options are: all, duplicate-rules, none. Use --lint=none to disable linting.",
    ),
    lint::FATAL,
    lint::IGNORE_UNKNOWN,
];

/// How the checks of some files went.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Checked {
    /// A file is wrong, or a lint found something.
    pub failed: bool,
    /// A file is wrong.
    pub wrong: bool,
}

pub(super) fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let lint = Lint::of(parsed, deps, &["all", "duplicate-rules", "none"])?;
    let options = options(parsed.switch("ignore-unknown-fields"));
    let checked = match parsed.args() {
        [] => {
            deps.print("Checking standard input\n")?;
            check(deps, "standard input", Ok(standard_input()?), &options, lint)?
        }
        files => check_files(deps, files, &options, lint)?,
    };
    Ok(checked.code(lint))
}

pub(super) fn options(ignore_unknown_fields: bool) -> ParseOptions {
    // What a feature flag of the server allows is no mistake of the file.
    let promql = promql_syntax::ParseOptions::ALL;
    ParseOptions { promql, ignore_unknown_fields, ..ParseOptions::default() }
}

impl Checked {
    /// The code that the process ends with.
    pub fn code(self, lint: Lint) -> u8 {
        match self {
            Self { wrong: true, .. } => 1,
            Self { failed: true, .. } if lint.fatal => LINT,
            _ => 0,
        }
    }

    pub fn and(self, other: Self) -> Self {
        Self { failed: self.failed || other.failed, wrong: self.wrong || other.wrong }
    }
}

/// Checks rule files one by one.
///
/// # Errors
/// The output cannot be written.
pub(super) fn check_files(
    deps: &mut Deps<'_>,
    files: &[String],
    options: &ParseOptions,
    lint: Lint,
) -> Result<Checked, Error> {
    let mut all = Checked::default();
    for file in files {
        deps.print(&format!("Checking {file}\n"))?;
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string());
        all = all.and(check(deps, file, text, options, lint)?);
    }
    Ok(all)
}

fn check(
    deps: &mut Deps<'_>,
    file: &str,
    text: Result<String, String>,
    options: &ParseOptions,
    lint: Lint,
) -> Result<Checked, Error> {
    let parsed: Result<Vec<GroupSpec>, Vec<String>> = match text {
        Err(why) => Err(vec![why]),
        Ok(text) => {
            rules::parse(file, &text, options).map_err(|wrong| wrong.0.iter().map(ToString::to_string).collect())
        }
    };
    let groups = match parsed {
        Ok(groups) => groups,
        Err(errors) => {
            let lines: Vec<String> = errors.iter().map(|error| format!("{file}: {error}\n")).collect();
            deps.print_error(&format!("  FAILED:\n{}", lines.concat()))?;
            return Ok(Checked { failed: true, wrong: true });
        }
    };
    let found = if lint.duplicate_rules { duplicates(&groups) } else { Vec::new() };
    if !found.is_empty() {
        deps.print_error(&format!("  FAILED:\n{}\n", duplicates_text(&found)))?;
        deps.print("\n")?;
        return Ok(Checked { failed: true, wrong: false });
    }
    let rules: usize = groups.iter().map(|group| group.rules.len()).sum();
    deps.print(&format!("  SUCCESS: {rules} rules found\n\n"))?;
    Ok(Checked::default())
}
