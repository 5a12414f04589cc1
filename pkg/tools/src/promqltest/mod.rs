//! Runs PromQL test scripts (`promql/promqltest`'s language) against this engine: `aion tools promqltest FILE…`.

mod case;
mod compare;
mod custom_buckets;
mod store;

use std::fmt;
use std::path::Path;

use promql::{Engine, EngineOptions};
use promql_syntax::testlang::{Command, ScriptError, parse_script};

use store::Store;

/// The most points one described series may have.
const MAX_POINTS: usize = 1 << 20;

/// What became of a script.
#[derive(Debug, Default)]
pub struct Report {
    /// Evals that gave what was expected, in all their variants.
    pub passed: usize,
    /// Evals that did not.
    pub failed: Vec<Finding>,
}

/// An eval worth a line.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The script.
    pub file: String,
    /// The eval's line, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What went wrong; may have several lines.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n    {}", self.file, self.line, self.query, self.text.replace('\n', "\n    "))
    }
}

impl Report {
    /// Adds what another script gave.
    pub fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
    }

    /// All findings and, last, `N passed, N failed`.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for finding in &self.failed {
            out.push_str(&format!("FAIL {finding}\n"));
        }
        out.push_str(&format!("{} passed, {} failed\n", self.passed, self.failed.len()));
        out
    }
}

/// The engine's settings that the scripts presume.
pub fn engine_options() -> EngineOptions {
    EngineOptions {
        max_samples: 10_000,
        timeout_ms: 100_000,
        max_concurrent: 0,
        delayed_name_removal: true,
        use_start_timestamps: true,
        parse: promql_syntax::ParseOptions::ALL,
        ..EngineOptions::default()
    }
}

/// Runs one script; `file` is for messages.
///
/// # Errors
/// When the text is no script.
pub async fn run_script(file: &str, text: &str, engine: &Engine) -> Result<Report, ScriptError> {
    let mut report = Report::default();
    let mut store = Store::default();
    for command in parse_script(text, MAX_POINTS)? {
        match command {
            Command::Clear { .. } => store = Store::default(),
            Command::Load(load) => {
                store.load(&load).map_err(|message| ScriptError { line: load.line, message })?;
            }
            Command::Store(scope) => store.enter(scope),
            Command::Eval(eval) => {
                let finding =
                    |text: String| Finding { file: file.to_owned(), line: eval.line, query: eval.query.clone(), text };
                match case::run(&eval, &store, engine).await {
                    Ok(()) => report.passed += 1,
                    Err(text) => report.failed.push(finding(text)),
                }
            }
        }
    }
    Ok(report)
}

/// Runs script files.
///
/// # Errors
/// When a file cannot be read or is no script; names it.
pub async fn run_files(files: &[impl AsRef<Path>]) -> anyhow::Result<Report> {
    let engine = Engine::new(engine_options());
    let mut report = Report::default();
    for file in files {
        let name = file.as_ref().display().to_string();
        let text =
            tokio::fs::read_to_string(file.as_ref()).await.map_err(|e| anyhow::anyhow!("reading {name}: {e}"))?;
        let one = run_script(&name, &text, &engine).await.map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
        report.merge(one);
    }
    Ok(report)
}

/// The command: runs the files and writes the findings to `out`. True when nothing failed: exit code 0.
///
/// # Errors
/// As [`run_files`], or when `out` cannot be written.
pub async fn command(files: &[impl AsRef<Path>], out: &mut dyn std::io::Write) -> anyhow::Result<bool> {
    let report = run_files(files).await?;
    out.write_all(report.render().as_bytes())?;
    Ok(report.failed.is_empty())
}
