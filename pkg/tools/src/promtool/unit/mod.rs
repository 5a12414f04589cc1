//! `aion tools test rules`: unit tests of rules, in promtool's language.

mod compare;
mod file;
mod histogram_text;
mod junit;
mod run;
mod series;

use std::path::Path;

use flags::{Flag, Parsed};
use service::tool::Deps;

use self::file::TestFile;
use self::junit::{Case, Suite};
use super::common::Outcome;
use crate::Error;

pub(super) const FLAGS: &[Flag] = &[
    Flag::text(
        "run",
        "",
        "If set, will only run test groups whose names match the regular expression. Can be specified multiple times.",
    )
    .repeated(),
    Flag::switch("diff", "Print colored differential output between expected & received output."),
    Flag::switch("debug", "Enable unit test debugging: the values of all series at the end of each test group."),
    Flag::switch(
        "ignore-unknown-fields",
        "Ignore unknown fields in the test files. This is useful when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as it performs strict checks by default.",
    ),
    Flag::text("junit", "", "File path to store JUnit XML test results.").placeholder("<file>"),
];

/// What the flags say.
#[derive(Debug)]
pub(super) struct Options {
    /// Only groups whose names match one of them; none = all.
    only: Vec<re2::Regex>,
    diff: bool,
    debug: bool,
    ignore_unknown_fields: bool,
    delayed_name_removal: bool,
}

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let only = parsed.list("run");
    let only = only
        .iter()
        .filter(|pattern| !pattern.is_empty())
        .map(|pattern| re2::Regex::new(pattern).map_err(|e| Error::Usage(format!("--run: {e}"))));
    let options = Options {
        only: only.collect::<Result<_, _>>()?,
        diff: parsed.switch("diff"),
        debug: parsed.switch("debug"),
        ignore_unknown_fields: parsed.switch("ignore-unknown-fields"),
        delayed_name_removal: parsed
            .list("enable-feature")
            .iter()
            .flat_map(|names| names.split(','))
            .any(|name| name == "promql-delayed-name-removal"),
    };
    let (mut failed, mut suites) = (false, Vec::new());
    for name in parsed.args() {
        deps.print(&format!("Unit Testing:  {name}\n"))?;
        let suite = test_file(name, &options, deps).await?;
        let errors: Vec<&String> =
            suite.cases.iter().flat_map(|case| case.failures.iter().chain(&case.error)).collect();
        if errors.is_empty() {
            deps.print("  SUCCESS\n")?;
        } else {
            failed = true;
            deps.print_error("  FAILED:\n")?;
        }
        for error in errors {
            deps.print_error(&format!("{error}\n"))?;
            deps.print("\n")?;
        }
        deps.print("\n")?;
        suites.push(suite);
    }
    if let Some(path) = parsed.text_opt("junit") {
        let xml = junit::document(&suites, deps.clock.now_ms());
        std::fs::write(path, xml).map_err(|e| Error::Failed(format!("--junit: {path}: {e}")))?;
    }
    Ok(u8::from(failed))
}

async fn test_file(name: &str, options: &Options, deps: &mut Deps<'_>) -> Result<Suite, Error> {
    let mut suite = Suite { name: name.to_owned(), cases: Vec::new() };
    let file = match TestFile::read(Path::new(name), options.ignore_unknown_fields) {
        Ok(file) => file,
        Err(why) => {
            let error = Some(format!("{name}: {why}"));
            suite.cases.push(Case { name: "unknown".to_owned(), failures: Vec::new(), error });
            return Ok(suite);
        }
    };
    for pattern in &file.patterns_without_files {
        deps.print_error(&format!("  WARNING: no file match pattern {pattern}\n"))?;
    }
    for (at, group) in file.tests.iter().enumerate() {
        let called = match group.name.as_str() {
            "" => format!("unnamed#{at}"),
            called => called.to_owned(),
        };
        if !options.only.is_empty() && !options.only.iter().any(|regex| regex.is_match(&group.name)) {
            continue;
        }
        let began_ms = deps.clock.now_ms();
        if options.debug {
            deps.print_error(&format!("DEBUG: Starting test {called}\n"))?;
        }
        let outcome = run::run(&file, group, options).await;
        if options.debug {
            let took = model::format_duration(deps.clock.now_ms() - began_ms);
            deps.print_error(&format!("{}DEBUG: Test {called} finished, took {took}\n", outcome.debug))?;
        }
        suite.cases.push(Case { name: called, failures: outcome.errors, error: None });
    }
    Ok(suite)
}
