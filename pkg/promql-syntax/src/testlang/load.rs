//! `load 1m` and the series below it.

use super::{Lines, ScriptError, duration, fail, split_word};
use crate::{SeriesDescription, SeriesItem};

/// Series to put into the storage: point i of each at i × step.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The line in the script, counted from 1.
    pub line: usize,
    /// The distance of two points, ms.
    pub step_ms: i64,
    /// Also make native histograms with custom buckets from the classic ones (`load_with_nhcb`).
    pub with_nhcb: bool,
    /// In the order written; of two with the same labels the later one counts.
    pub series: Vec<LoadSeries>,
}

/// One series of a `load` command.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadSeries {
    /// The line in the script, counted from 1.
    pub line: usize,
    /// The series with its values in sequence notation.
    pub description: SeriesDescription,
    /// From the `@st` line before: as many points as the description has.
    pub start_offsets: Option<StartOffsets>,
}

/// Start timestamps of a series' points, relative to each point's own time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartOffsets {
    runs: Vec<Run>,
}

/// `points` offsets; `None`: no start timestamp.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    start_ms: Option<i64>,
    step_ms: i64,
    points: usize,
}

impl StartOffsets {
    /// The offsets in ms, point by point; `None` where the start is unknown.
    pub fn iter(&self) -> impl Iterator<Item = Option<i64>> {
        self.runs.iter().flat_map(|run| {
            (0..run.points).map(|i| run.start_ms.map(|s| s.wrapping_add(run.step_ms.wrapping_mul(i as i64))))
        })
    }

    fn points(&self) -> usize {
        self.runs.iter().fold(0, |sum, run| sum.saturating_add(run.points))
    }
}

pub(super) fn parse_load(line: usize, text: &str, lines: &mut Lines<'_>) -> Result<Load, ScriptError> {
    let (command, step) = split_word(text);
    let with_nhcb = match command {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return fail(line, "invalid load command. (load[_with_nhcb] <step:duration>)"),
    };
    let step_ms = duration(line, "step", step)?;
    let mut series = Vec::new();
    let mut pending: Option<(usize, labels::Labels, StartOffsets)> = None;
    while let Some((at, text)) = lines.next_in_block() {
        if let Some((metric, offsets)) = start_line(text) {
            if let Some((before, ..)) = pending {
                return fail(before, "@st line has no following sample line");
            }
            pending = Some((at, lines.series(at, metric)?.labels, parse_start_offsets(at, offsets)?));
            continue;
        }
        let description = lines.series(at, text)?;
        let mut start_offsets = None;
        if let Some((st_line, metric, offsets)) = pending.take() {
            if metric != description.labels {
                return fail(st_line, "@st metric does not match the following sample line metric");
            }
            let (got, want) = (offsets.points(), description.points());
            if got != want {
                return fail(st_line, format!("@st line has {got} values but sample line has {want}"));
            }
            start_offsets = Some(offsets);
        }
        series.push(LoadSeries { line: at, description, start_offsets });
    }
    match pending {
        Some((before, ..)) => fail(before, "@st line has no following sample line"),
        None => Ok(Load { line, step_ms, with_nhcb, series }),
    }
}

/// `metric@st offsets`: both parts.
fn start_line(text: &str) -> Option<(&str, &str)> {
    let (metric, offsets) = text.split_once([' ', '\t'])?;
    Some((metric.strip_suffix("@st")?, offsets))
}

fn parse_start_offsets(line: usize, text: &str) -> Result<StartOffsets, ScriptError> {
    let runs = text
        .split_whitespace()
        .map(|item| {
            start_run(item).map_err(|e| ScriptError {
                line,
                message: format!("invalid @st sequence: invalid ST item {item:?}: {e}"),
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(StartOffsets { runs })
}

fn start_run(item: &str) -> Result<Run, String> {
    let count = |digits: &str| digits.parse::<usize>().map_err(|_| "invalid repeat count".to_owned());
    if item == "_" {
        return Ok(Run { start_ms: None, step_ms: 0, points: 1 });
    }
    if let Some(digits) = item.strip_prefix("_x") {
        let points = count(digits).ok().filter(|n| *n > 0).ok_or("invalid repeat count")?;
        return Ok(Run { start_ms: None, step_ms: 0, points });
    }
    let (start, rest) = signed_duration(item)?;
    let start_ms = Some(start);
    if rest.is_empty() {
        return Ok(Run { start_ms, step_ms: 0, points: 1 });
    }
    if let Some(digits) = rest.strip_prefix('x') {
        return Ok(Run { start_ms, step_ms: 0, points: count(digits)?.saturating_add(1) });
    }
    let negative = rest.starts_with('-');
    let Some(step) = rest.strip_prefix(['+', '-']) else {
        return Err("unexpected character after duration".to_owned());
    };
    let (step_ms, rest) = signed_duration(step)?;
    let digits = rest.strip_prefix('x').ok_or("expected 'x<count>' after step duration")?;
    let step_ms = if negative { -step_ms } else { step_ms };
    Ok(Run { start_ms, step_ms, points: count(digits)?.saturating_add(1) })
}

/// One number with one unit, with or without a sign, in ms; and the rest.
fn signed_duration(text: &str) -> Result<(i64, &str), String> {
    let negative = text.starts_with('-');
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    // `x` is no unit: it starts the number of repetitions.
    let unit = body[digits..].bytes().take_while(|b| b.is_ascii_alphabetic() && *b != b'x').count();
    let (word, rest) = body.split_at(digits + unit);
    let ms = model::parse_duration(word).map_err(|e| format!("invalid duration {word:?}: {e}"))?;
    Ok((if negative { -ms } else { ms }, rest))
}

impl LoadSeries {
    /// Whether any of the values is a histogram.
    pub fn has_histograms(&self) -> bool {
        self.description
            .items
            .iter()
            .any(|item| matches!(item, SeriesItem::Histograms { .. } | SeriesItem::HistogramSteps { .. }))
    }
}
