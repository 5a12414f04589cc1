//! The language of PromQL tests: a script of `clear`, `load` and `eval` commands with expected results.
//!
//! Here is the text's structure only; who runs a script brings storage and engine. Times count from the Unix epoch,
//! where every load starts. Documented in Prometheus' `promql/promqltest`.

mod eval;
mod load;

pub use eval::{Eval, EvalTime, Expectations, ExpectedSeries, TextMatch};
pub use load::{Load, LoadSeries, StartOffsets};

/// One command of a script.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// `clear`: forget all series loaded so far.
    Clear {
        /// The line in the script, counted from 1.
        line: usize,
    },
    /// Put series into the storage.
    Load(Load),
    /// `store {…} <from> <to>`, of Thanos' scripts: what is loaded from here on is one store's.
    Store(StoreScope),
    /// Run a query and compare.
    Eval(Box<Eval>),
}

/// The data that a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreScope {
    /// Labels that all its series get.
    pub labels: labels::Labels,
    /// Its earliest sample, ms.
    pub min_ms: i64,
    /// Its latest sample, ms.
    pub max_ms: i64,
}

/// A script that is not well-formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// The line in the script, counted from 1.
    pub line: usize,
    /// What is wrong in that line.
    pub message: String,
}

/// Parses a script; a described series may have `max_points` points.
///
/// # Errors
/// The first [`ScriptError`].
pub fn parse_script(text: &str, max_points: usize) -> Result<Vec<Command>, ScriptError> {
    let mut lines = Lines::new(text, max_points);
    let mut commands = Vec::new();
    while let Some((line, text)) = lines.next_line() {
        if text.is_empty() {
            continue;
        }
        let word = text.split([' ', '\t']).next().unwrap_or("").to_ascii_lowercase();
        commands.push(match word.as_str() {
            "clear" => Command::Clear { line },
            "store" => Command::Store(parse_store(line, text, &lines)?),
            w if w.starts_with("load") => Command::Load(load::parse_load(line, text, &mut lines)?),
            w if w.starts_with("eval") => Command::Eval(Box::new(eval::parse_eval(line, text, &mut lines)?)),
            _ => return fail(line, format!("invalid command {text:?}")),
        });
    }
    Ok(commands)
}

fn parse_store(line: usize, text: &str, lines: &Lines<'_>) -> Result<StoreScope, ScriptError> {
    let rest = text["store".len()..].trim();
    let parts = rest.rsplit_once([' ', '\t']).and_then(|(rest, max)| {
        let (labels, min) = rest.trim_end().rsplit_once([' ', '\t'])?;
        Some((labels.trim_end(), min, max))
    });
    let Some((labels, min, max)) = parts else {
        return fail(line, "invalid store command. (store <labels> <from:duration> <to:duration>)");
    };
    let labels = lines.series(line, labels)?.labels;
    Ok(StoreScope { labels, min_ms: duration(line, "store", min)?, max_ms: duration(line, "store", max)? })
}

fn fail<T>(line: usize, message: impl Into<String>) -> Result<T, ScriptError> {
    Err(ScriptError { line, message: message.into() })
}

/// The lines of a script, trimmed, comments empty.
#[derive(Debug)]
struct Lines<'a> {
    lines: std::iter::Enumerate<std::str::Split<'a, char>>,
    max_points: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str, max_points: usize) -> Self {
        Self { lines: text.split('\n').enumerate(), max_points }
    }

    fn next_line(&mut self) -> Option<(usize, &'a str)> {
        let (i, line) = self.lines.next()?;
        let line = line.trim();
        Some((i + 1, if line.starts_with('#') { "" } else { line }))
    }

    /// The next line of a block, which an empty line or the end of the text closes.
    fn next_in_block(&mut self) -> Option<(usize, &'a str)> {
        self.next_line().filter(|(_, line)| !line.is_empty())
    }

    fn series(&self, line: usize, text: &str) -> Result<crate::SeriesDescription, ScriptError> {
        crate::parse_series_description(text, self.max_points)
            .map_err(|e| ScriptError { line, message: format!("{e} in series {text:?}") })
    }
}

/// A word of a command line and what follows the spaces behind it.
fn split_word(text: &str) -> (&str, &str) {
    match text.split_once([' ', '\t']) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (text, ""),
    }
}

fn duration(line: usize, what: &str, text: &str) -> Result<i64, ScriptError> {
    model::parse_duration(text)
        .map_err(|e| ScriptError { line, message: format!("invalid {what} definition {text:?}: {e}") })
}
