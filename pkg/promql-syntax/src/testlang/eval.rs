//! `eval instant at 5m <query>`, `eval range from 0 to 10m step 1m <query>` and what is expected of them.

use model::Grid;

use super::{Lines, ScriptError, duration, fail, split_word};
use crate::number::parse_number;
use crate::{SeriesDescription, parse, unquote};

/// A query and its expected outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Eval {
    /// The line in the script, counted from 1.
    pub line: usize,
    /// The query, which has been parsed once without error.
    pub query: String,
    /// The time or the steps at which it is evaluated.
    pub time: EvalTime,
    /// What is expected besides series.
    pub expect: Expectations,
    /// Expected series; with a scalar result, or a failure, none.
    pub series: Vec<ExpectedSeries>,
    /// The scalar that is expected as the result.
    pub scalar: Option<f64>,
}

/// When a query runs, ms from the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvalTime {
    /// Once; for a result with many points ([`Expectations::range_vector`]), at the last of them.
    Instant {
        /// The time of evaluation, ms since the epoch.
        at_ms: i64,
    },
    /// At each step of a range query.
    Range(Grid),
}

/// What is expected besides values. Without any of them: success, whatever the annotations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expectations {
    /// The query fails with such a text (without position).
    pub fail: Option<TextMatch>,
    /// The series come in the order listed.
    pub ordered: bool,
    /// Each matches a warning, and each warning matches one.
    pub warn: Vec<TextMatch>,
    /// No warning may come with the result.
    pub no_warn: bool,
    /// Each matches an info, and each info matches one.
    pub info: Vec<TextMatch>,
    /// No info may come with the result.
    pub no_info: bool,
    /// The result is this string.
    pub string: Option<String>,
    /// The instant query's result is a matrix with points at these times.
    pub range_vector: Option<Grid>,
}

/// How a text is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Any text will do.
    Any,
    /// The text must be equal.
    Message(String),
    /// With a regular expression, not anchored.
    Regex(String),
}

/// One series of the expected result.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedSeries {
    /// The line in the script, counted from 1.
    pub line: usize,
    /// Rank for `expect ordered`, from 1.
    pub position: usize,
    /// The series with its values in sequence notation.
    pub description: SeriesDescription,
}

pub(super) fn parse_eval(line: usize, text: &str, lines: &mut Lines<'_>) -> Result<Eval, ScriptError> {
    let (command, rest) = split_word(text);
    let (kind, rest) = split_word(rest);
    let mut expect = Expectations::default();
    match (command, kind) {
        ("eval", _) => {}
        ("eval_fail", _) => expect.fail = Some(TextMatch::Any),
        ("eval_warn", _) => expect.warn.push(TextMatch::Any),
        ("eval_info", _) => expect.info.push(TextMatch::Any),
        ("eval_ordered", "instant") => expect.ordered = true,
        _ => return invalid(line),
    }
    let (time, query) = match kind {
        "instant" => parse_instant(line, rest)?,
        "range" => parse_range(line, rest)?,
        _ => return invalid(line),
    };
    if let Err(e) = parse(query) {
        return fail(line, format!("query {query:?}: {e}"));
    }
    let mut eval = Eval { line, query: query.to_owned(), time, expect, series: Vec::new(), scalar: None };
    let deprecated_fail = command == "eval_fail";
    let mut position = 1;
    while let Some((at, text)) = lines.next_in_block() {
        let error = |message: String| ScriptError {
            line: at,
            message: format!("error in eval {} (line {line}): {message}", eval.query),
        };
        if deprecated_fail && let Some(message) = text.strip_prefix("expected_fail_message") {
            eval.expect.fail = Some(TextMatch::Message(message.trim().to_owned()));
            break;
        }
        if deprecated_fail && let Some(pattern) = text.strip_prefix("expected_fail_regexp") {
            eval.expect.fail = Some(TextMatch::Regex(pattern.trim().to_owned()));
            break;
        }
        if let Some(grid) = text.strip_prefix("expect range vector") {
            let grid = parse_grid(at, grid).map_err(|e| error(e.message))?.0;
            eval.time = EvalTime::Instant { at_ms: grid.end_ms };
            eval.expect.range_vector = Some(grid);
        } else if let Some(literal) = text.strip_prefix("expect string") {
            let value = unquote(literal.trim_start())
                .ok_or_else(|| error("expected string literal not valid: a quoted string is required".into()))?;
            eval.expect.string = Some(value);
        } else if text.split(' ').next() == Some("expect") {
            eval.expect.add(text).map_err(error)?;
            continue;
        } else if let Ok(value) = parse_number(text) {
            eval.scalar = Some(value);
            break;
        } else {
            let description = lines.series(at, text)?;
            let one_point = matches!(eval.time, EvalTime::Instant { .. }) && eval.expect.range_vector.is_none();
            if one_point && description.points() > 1 {
                return Err(error(
                    "many values expected of an instant query; write 'expect range vector' before them".into(),
                ));
            }
            eval.series.push(ExpectedSeries { line: at, position, description });
        }
        position += 1;
    }
    Ok(eval)
}

fn invalid<T>(line: usize) -> Result<T, ScriptError> {
    fail(
        line,
        "invalid evaluation command. Must be either 'eval[_fail|_warn|_ordered] instant [at <offset:duration>] \
         <query>' or 'eval[_fail|_warn] range from <from> to <to> step <step> <query>'",
    )
}

fn parse_instant(line: usize, text: &str) -> Result<(EvalTime, &str), ScriptError> {
    let (word, rest) = split_word(text);
    if word != "at" {
        return invalid(line);
    }
    let (at, query) = split_word(rest);
    Ok((EvalTime::Instant { at_ms: duration(line, "timestamp", at)? }, query))
}

fn parse_range(line: usize, text: &str) -> Result<(EvalTime, &str), ScriptError> {
    let (grid, query) = parse_grid(line, text)?;
    Ok((EvalTime::Range(grid), query))
}

/// `from <t> to <t> step <d>` and the rest.
fn parse_grid(line: usize, text: &str) -> Result<(Grid, &str), ScriptError> {
    let mut rest = text.trim_start();
    let mut value = |name: &str| {
        let (word, after) = split_word(rest);
        let (value, after) = split_word(after);
        rest = after;
        if word == name { Ok(value) } else { fail(line, format!("expected {name:?} and a duration in {text:?}")) }
    };
    let (from, to, step) = (value("from")?, value("to")?, value("step")?);
    let grid = Grid {
        start_ms: duration(line, "start timestamp", from)?,
        end_ms: duration(line, "end timestamp", to)?,
        step_ms: duration(line, "step", step)?,
    };
    if grid.end_ms < grid.start_ms {
        let message = format!("invalid test definition, end timestamp ({to}) is before start timestamp ({from})");
        return fail(line, message);
    }
    Ok((grid, rest))
}

impl Expectations {
    /// Adds a line `expect <kind> [msg: text | regex: pattern]`.
    fn add(&mut self, text: &str) -> Result<(), String> {
        let (_, rest) = split_word(text);
        let (kind, matching) = split_word(rest);
        let text = |s: &str| s.trim().to_owned();
        let matching = if matching.is_empty() {
            TextMatch::Any
        } else if let Some(message) = matching.strip_prefix("msg:") {
            TextMatch::Message(text(message))
        } else if let Some(pattern) = matching.strip_prefix("regex:") {
            TextMatch::Regex(text(pattern))
        } else {
            return Err(INVALID_EXPECT.to_owned());
        };
        match kind {
            "ordered" => self.ordered = true,
            "fail" if self.fail.is_some() => {
                return Err("invalid expect lines, multiple expect fail lines are not allowed".to_owned());
            }
            "fail" => self.fail = Some(matching),
            "warn" => self.warn.push(matching),
            "no_warn" => self.no_warn = true,
            "info" => self.info.push(matching),
            "no_info" => self.no_info = true,
            _ => return Err(INVALID_EXPECT.to_owned()),
        }
        if self.no_info && !self.info.is_empty() {
            return Err("invalid expect lines, info and no_info cannot be used together".to_owned());
        }
        if self.no_warn && !self.warn.is_empty() {
            return Err("invalid expect lines, warn and no_warn cannot be used together".to_owned());
        }
        Ok(())
    }
}

const INVALID_EXPECT: &str = "invalid expect statement, must match `expect <type> <match_type>: <string>` format";
