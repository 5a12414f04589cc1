//! Series descriptions of tests: a metric and its values, `name{l="v"} 1+2x10 _x3 stale {{schema:0 sum:5}}`.

use histogram::FloatHistogram;
use labels::Labels;

use crate::error::ParseError;
use crate::number::parse_number;
use crate::series_histogram::parse_histogram;
use crate::{ParseOptions, Span};

/// One point of a described series.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// No sample at this point (`_`).
    Missing,
    /// A float; the stale marker too.
    Float(f64),
    /// A native histogram sample.
    Histogram {
        /// The histogram at this point.
        histogram: FloatHistogram,
        /// The description names a counter reset hint: it is to be compared.
        hint_given: bool,
    },
}

/// A run of points as written, not yet spelled out.
#[derive(Debug, Clone, PartialEq)]
pub enum SeriesItem {
    /// Points without a sample, `_` or `_xN`.
    Missing {
        /// The number of points.
        points: usize,
    },
    /// Floats: `v`, `vxN`, `a+bxN` or `stale`.
    Floats {
        /// The value of the first point.
        start: f64,
        /// What each next one has more.
        step: f64,
        /// How many points: N + 1.
        points: usize,
    },
    /// The same native histogram at each point, `{{…}}` or `{{…}}xN`.
    Histograms {
        /// The histogram at each point.
        histogram: FloatHistogram,
        /// Whether the text names a counter reset hint.
        hint_given: bool,
        /// How many points: N + 1.
        points: usize,
    },
    /// Native histograms that grow or shrink from point to point, `{{…}}+{{…}}xN` or `{{…}}-{{…}}xN`.
    HistogramSteps {
        /// The value of the first point.
        start: FloatHistogram,
        /// What is added to or taken from the value before.
        step: FloatHistogram,
        /// True for `-`, false for `+`.
        negative: bool,
        /// Whether the second histogram names a counter reset hint.
        hint_given: bool,
        /// How many points: N + 1.
        points: usize,
    },
}

impl SeriesItem {
    /// How many points the item stands for.
    pub fn points(&self) -> usize {
        match self {
            Self::Missing { points }
            | Self::Floats { points, .. }
            | Self::Histograms { points, .. }
            | Self::HistogramSteps { points, .. } => *points,
        }
    }
}

/// A metric and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesDescription {
    /// The labels of the series, its name among them.
    pub labels: Labels,
    /// The values as they are written, runs not expanded.
    pub items: Vec<SeriesItem>,
}

impl SeriesDescription {
    /// How many points the items stand for.
    pub fn points(&self) -> usize {
        self.items.iter().map(SeriesItem::points).sum()
    }

    /// All points. `combine(a, b, negative)` gives a + b, or a − b: histogram arithmetic lives elsewhere.
    ///
    /// # Errors
    /// Those of `combine`, and steps whose schema is finer than the histogram before.
    pub fn expand(
        &self,
        mut combine: impl FnMut(&FloatHistogram, &FloatHistogram, bool) -> Result<FloatHistogram, String>,
    ) -> Result<Vec<SequenceValue>, String> {
        let mut out = Vec::with_capacity(self.points());
        for item in &self.items {
            match item {
                SeriesItem::Missing { points } => out.extend((0..*points).map(|_| SequenceValue::Missing)),
                SeriesItem::Floats { start, step, points } => {
                    let mut value = *start;
                    for i in 0..*points {
                        // By repeated addition, so that rounding errors are those of the reference; a single value
                        // keeps its bits (the stale marker is a NaN of its own).
                        if i > 0 && *step != 0.0 {
                            value += step;
                        }
                        out.push(SequenceValue::Float(value));
                    }
                }
                SeriesItem::Histograms { histogram, hint_given, points } => {
                    for _ in 0..*points {
                        let histogram = histogram.clone();
                        out.push(SequenceValue::Histogram { histogram, hint_given: *hint_given });
                    }
                }
                SeriesItem::HistogramSteps { start, step, negative, hint_given, points } => {
                    let mut value = start.clone();
                    for i in 0..*points {
                        if i > 0 {
                            if value.schema > step.schema {
                                return Err(format!(
                                    "error combining histograms: cannot merge from schema {} to {}",
                                    step.schema, value.schema
                                ));
                            }
                            value = combine(&value, step, *negative)?;
                        }
                        out.push(SequenceValue::Histogram { histogram: value.clone(), hint_given: *hint_given });
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Parses a series description; at most `max_points` points.
///
/// # Errors
/// A [`ParseError`] with the place in `text`.
pub fn parse_series_description(text: &str, max_points: usize) -> Result<SeriesDescription, ParseError> {
    let (labels, end) = crate::parser::parse_metric_prefix(text, &ParseOptions::ALL)?;
    let mut cursor = Cursor { text, pos: end };
    let mut items = Vec::new();
    let mut points = 0usize;
    loop {
        let blank = cursor.skip_spaces();
        if cursor.at_end() {
            return Ok(SeriesDescription { labels, items });
        }
        if !blank {
            return cursor.fail("unexpected text in series values, expected a space before the next value");
        }
        let item = cursor.item()?;
        points = points.saturating_add(item.points());
        if points > max_points {
            return cursor.fail(format!("series of more than {max_points} points"));
        }
        items.push(item);
    }
}

/// A place in a description.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pos: usize,
}

pub(crate) type Read<T> = Result<T, ParseError>;

impl<'a> Cursor<'a> {
    pub fn fail<T>(&self, message: impl Into<String>) -> Read<T> {
        Err(ParseError::new(self.text, Span { start: self.pos, end: self.text.len() }, message))
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    pub fn at_end(&self) -> bool {
        self.pos == self.text.len()
    }

    /// Whether there was a space.
    pub fn skip_spaces(&mut self) -> bool {
        !self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).is_empty()
    }

    pub fn accept(&mut self, text: &str) -> bool {
        let hit = self.rest().starts_with(text);
        self.pos += if hit { text.len() } else { 0 };
        hit
    }

    pub fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(|c| !keep(c)).unwrap_or(rest.len())];
        self.pos += taken.len();
        taken
    }

    fn item(&mut self) -> Read<SeriesItem> {
        if self.accept("{{") {
            return self.histograms();
        }
        if self.rest().starts_with('_') {
            self.pos += 1;
            return Ok(SeriesItem::Missing { points: self.repetition()?.unwrap_or(1) });
        }
        if self.rest().starts_with("stale") {
            self.pos += "stale".len();
            if self.rest().starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                return self.fail("unexpected identifier in series values, expected number or \"stale\"");
            }
            return Ok(SeriesItem::Floats { start: model::stale_nan(), step: 0.0, points: 1 });
        }
        let start = self.signed_number()?;
        let step = if self.rest().starts_with(['+', '-']) { Some(self.signed_number()?) } else { None };
        match (self.repetition()?, step) {
            (Some(times), step) => {
                Ok(SeriesItem::Floats { start, step: step.unwrap_or(0.0), points: times.saturating_add(1) })
            }
            (None, None) => Ok(SeriesItem::Floats { start, step: 0.0, points: 1 }),
            (None, Some(_)) => self.fail("unexpected end of series value, expected x and a number of repetitions"),
        }
    }

    fn histograms(&mut self) -> Read<SeriesItem> {
        let (start, hint_given) = parse_histogram(self)?;
        let negative = self.rest().starts_with('-');
        if negative || self.rest().starts_with('+') {
            self.pos += 1;
            if !self.accept("{{") {
                return self.fail("unexpected text in series values, expected a histogram");
            }
            let (step, hint_given) = parse_histogram(self)?;
            let Some(times) = self.repetition()? else {
                return self.fail("unexpected end of series value, expected x and a number of repetitions");
            };
            return Ok(SeriesItem::HistogramSteps {
                start,
                step,
                negative,
                hint_given,
                points: times.saturating_add(1),
            });
        }
        let points = self.repetition()?.map_or(1, |times| times.saturating_add(1));
        Ok(SeriesItem::Histograms { histogram: start, hint_given, points })
    }

    /// `xN`.
    fn repetition(&mut self) -> Read<Option<usize>> {
        if !self.accept("x") {
            return Ok(None);
        }
        let digits = self.take_while(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(times) => Ok(Some(times)),
            Err(_) => self.fail(format!("invalid repetition in series values: {:?}", digits)),
        }
    }

    /// A number with or without a sign; `Inf` and `NaN` too, hexadecimal not (`0x5` is six zeros).
    pub fn signed_number(&mut self) -> Read<f64> {
        let negative = self.accept("-");
        if !negative {
            self.accept("+");
        }
        let from = self.pos;
        if self.rest().starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            if !word.eq_ignore_ascii_case("inf") && !word.eq_ignore_ascii_case("nan") {
                self.pos = from;
                return self
                    .fail(format!("unexpected identifier {word:?} in series values, expected number or \"stale\""));
            }
        } else {
            self.take_while(|c| c.is_ascii_digit() || c == '.' || c == '_');
            if self.rest().starts_with(['e', 'E']) {
                self.pos += 1;
                if self.rest().starts_with(['+', '-']) {
                    self.pos += 1;
                }
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        match parse_number(&self.text[from..self.pos]) {
            Ok(value) => Ok(if negative { -value } else { value }),
            Err(why) => self.fail(format!("error parsing number: {why}")),
        }
    }

    /// A whole number with or without a minus.
    pub fn integer(&mut self) -> Read<i32> {
        let from = self.pos;
        self.accept("-");
        self.take_while(|c| c.is_ascii_digit());
        match self.text[from..self.pos].parse() {
            Ok(value) => Ok(value),
            Err(_) => self.fail("unexpected text in histogram description, expected a whole number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(text: &str) -> String {
        let series = parse_series_description(text, 1000).unwrap();
        let values = series.expand(|_, _, _| Err("no histograms here".into())).unwrap();
        let shown: Vec<String> = values
            .iter()
            .map(|v| match v {
                SequenceValue::Missing => "_".to_owned(),
                SequenceValue::Float(f) if model::is_stale(*f) => "stale".to_owned(),
                SequenceValue::Float(f) => f.to_string(),
                SequenceValue::Histogram { .. } => "histogram".to_owned(),
            })
            .collect();
        format!("{} {}", series.labels, shown.join(" "))
    }

    #[test]
    fn values() {
        for (text, points) in [
            ("up 1 2 3", r#"{__name__="up"} 1 2 3"#),
            (r#"up{a="x y", b='z'} 1"#, r#"{__name__="up", a="x y", b="z"} 1"#),
            (r#"{"my.name", l="v"} -1.5"#, r#"{__name__="my.name", l="v"} -1.5"#),
            (r#"{l="v"} _x3 1"#, r#"{l="v"} _ _ _ 1"#),
            ("sum 1+2x3", r#"{__name__="sum"} 1 3 5 7"#),
            ("m -2-4x3 5", r#"{__name__="m"} -2 -6 -10 -14 5"#),
            ("m 7x2", r#"{__name__="m"} 7 7 7"#),
            ("m 1e3 1e-3x1 Inf -Inf +Inf NaN", r#"{__name__="m"} 1000 0.001 0.001 inf -inf inf NaN"#),
            ("m stale 1 _", r#"{__name__="m"} stale 1 _"#),
            ("m 0x2", r#"{__name__="m"} 0 0 0"#),
            ("m", r#"{__name__="m"} "#),
        ] {
            assert_eq!(floats(text), points, "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "m 1+2",
            "m 1x",
            "m 1x-2",
            "m foo",
            "m 1,2",
            "m stalex3",
            "m {1}",
            "m{a=} 1",
            "m {{",
            "m 1x2000",
            "m 18446744073709551616x18446744073709551616",
            "m _x",
            "m é",
            "m {{}}+1x2",
            "m {{}}+{{}}",
        ] {
            assert!(parse_series_description(text, 1000).is_err(), "{text}");
        }
    }
}
