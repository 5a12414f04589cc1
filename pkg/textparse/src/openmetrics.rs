//! OpenMetrics text, versions 0.0.1 and 1.0.0.

use std::borrow::Cow;

use labels::Builder;
use model::MetricType;

use crate::created::Created;
use crate::decimal;
use crate::entry::{Entry, Exemplar, LabelSpan, Sample, Series};
use crate::error::{ParseError, shown};
use crate::escape::unescape;
use crate::known::Known;
use crate::lexer::{Dialect, Lexer, SeriesParts};
use crate::number::parse_value;
use crate::parser::Options;
use crate::scan;

type Result<T> = std::result::Result<T, ParseError>;

const NO_EOF: &str = "data does not end with # EOF";

/// What the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    Sample,
    Type,
    Help,
    Unit,
}

/// The parts of a sample's line.
#[derive(Debug, Default)]
pub(crate) struct SampleLine {
    pub(crate) series: SeriesParts,
    pub(crate) value: f64,
    timestamp_ms: Option<i64>,
    has_exemplar: bool,
    exemplar_start: usize,
    exemplar_labels: Vec<LabelSpan>,
    exemplar_escapes: bool,
    exemplar_value: f64,
    exemplar_ms: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct OpenMetricsParser<'a> {
    lexer: Lexer<'a>,
    line: Line,
    sample: SampleLine,
    start_ms: i64,
    family: (usize, usize),
    text: (usize, usize),
    /// Of the last `# TYPE`.
    family_type: MetricType,
    wants_exemplars: bool,
    exemplars: Vec<Exemplar>,
    /// Looks start times up, if they are wanted.
    created: Option<Created>,
}

impl<'a> OpenMetricsParser<'a> {
    pub(crate) fn new(body: &'a [u8], options: Options) -> Result<Self> {
        Ok(Self {
            lexer: Lexer::new(body, Dialect::OpenMetrics)?,
            line: Line::None,
            sample: SampleLine::default(),
            start_ms: 0,
            family: (0, 0),
            text: (0, 0),
            family_type: MetricType::Unknown,
            wants_exemplars: options.exemplars,
            exemplars: Vec::new(),
            created: options.start_timestamps.then(Created::default),
        })
    }

    /// Moves to the next entry; false behind `# EOF`.
    pub(crate) fn advance(&mut self, known: &mut impl Known) -> Result<bool> {
        loop {
            self.line = match self.lexer.peek() {
                Some(b'#') => match self.hash()? {
                    Some(line) => line,
                    None => {
                        self.line = Line::None;
                        return Ok(false);
                    }
                },
                Some(b) if b == b'{' || scan::is(b, scan::NAME_START) => {
                    // Start times are found by names and labels.
                    match self.created {
                        None => self.sample.read(&mut self.lexer, known)?,
                        Some(_) => self.sample.read(&mut self.lexer, &mut |_: &[u8]| false)?,
                    }
                    if !self.look_up_start() {
                        continue;
                    }
                    self.keep_exemplar();
                    Line::Sample
                }
                None => return Err(self.lexer.wrong(NO_EOF.to_owned())),
                Some(_) => return Err(self.lexer.expected("a metric name, `{` or `# ` at the begin of a line")),
            };
            return Ok(true);
        }
    }

    /// What [`Self::advance`] has moved to.
    pub(crate) fn entry(&self) -> Entry<'_> {
        let family = self.part(self.family);
        match self.line {
            Line::None => Entry::Comment,
            Line::Type => Entry::Type { family, metric_type: self.family_type },
            Line::Help => Entry::Help { family, text: unescape(self.part(self.text), true) },
            Line::Unit => Entry::Unit { family, unit: self.part(self.text) },
            Line::Sample => Entry::Sample(Sample {
                series: Series {
                    bytes: self.lexer.bytes.get(self.sample.series.start..self.sample.series.end).unwrap_or_default(),
                    name: self.sample.series.name,
                    labels: &self.sample.series.labels,
                    has_escapes: self.sample.series.has_escapes,
                    family_type: self.family_type,
                },
                value: self.sample.value,
                timestamp_ms: self.sample.timestamp_ms,
                start_ms: self.start_ms,
                exemplars: &self.exemplars,
            }),
        }
    }

    fn part(&self, (start, end): (usize, usize)) -> Cow<'a, str> {
        String::from_utf8_lossy(self.lexer.bytes.get(start..end).unwrap_or_default())
    }

    /// False for a `_created` series that says the start of others and is none itself.
    fn look_up_start(&mut self) -> bool {
        self.start_ms = 0;
        let has_start = matches!(self.family_type, MetricType::Counter | MetricType::Histogram | MetricType::Summary);
        let Some(created) = self.created.as_mut().filter(|_| has_start) else { return true };
        if Created::is_created(self.lexer.bytes, &self.sample.series) {
            return false;
        }
        self.start_ms = created.start_of(self.lexer, &self.sample.series);
        true
    }

    fn keep_exemplar(&mut self) {
        self.exemplars.clear();
        if !self.wants_exemplars || !self.sample.has_exemplar {
            return;
        }
        let bytes = self.lexer.bytes.get(self.sample.exemplar_start..).unwrap_or_default();
        let mut labels = Builder::new();
        for label in &self.sample.exemplar_labels {
            let text = |part: &'a [u8]| {
                let text = String::from_utf8_lossy(part);
                if self.sample.exemplar_escapes { unescape(text, true) } else { text }
            };
            labels.set(&text(label.name.of(bytes)), &text(label.value.of(bytes)));
        }
        self.exemplars.push(Exemplar {
            labels: labels.build(),
            value: self.sample.exemplar_value,
            timestamp_ms: self.sample.exemplar_ms,
        });
    }

    /// A line that begins with `#`; `None` for `# EOF`.
    fn hash(&mut self) -> Result<Option<Line>> {
        let mark = self.lexer.at;
        if self.lexer.eat_all(b"# EOF") {
            self.lexer.eat(b'\n');
            return match self.lexer.peek() {
                None => {
                    // Whoever asks once more is told the same.
                    self.lexer.at = mark;
                    Ok(None)
                }
                Some(_) => Err(self.lexer.wrong("unexpected data after # EOF".to_owned())),
            };
        }
        let words =
            [(&b"# HELP "[..], Line::Help, "HELP"), (b"# TYPE ", Line::Type, "TYPE"), (b"# UNIT ", Line::Unit, "UNIT")];
        let Some((_, line, keyword)) = words.into_iter().find(|(word, ..)| self.lexer.eat_all(word)) else {
            return Err(self.lexer.expected("`# HELP `, `# TYPE `, `# UNIT ` or `# EOF`"));
        };
        self.family = self.lexer.family(keyword)?;
        if !self.lexer.eat(b' ') {
            return Err(self.lexer.expected(&format!("a space and text in {keyword}")));
        }
        let end = self.lexer.line_end();
        self.text = (self.lexer.at, end);
        if end == self.lexer.bytes.len() {
            self.lexer.at = end;
            return Err(self.lexer.expected(&format!("the end of the line in {keyword}")));
        }
        self.check_text(line)?;
        self.lexer.at = end + 1;
        Ok(Some(line))
    }

    fn check_text(&mut self, line: Line) -> Result<()> {
        let bytes = |(start, end): (usize, usize)| self.lexer.bytes.get(start..end).unwrap_or_default();
        let (family, text) = (bytes(self.family), bytes(self.text));
        match line {
            Line::Type => self.family_type = self.metric_type(text)?,
            Line::Help | Line::Unit if !self.lexer.is_text(self.text.0, self.text.1) => {
                return Err(self.lexer.wrong("the text is not valid UTF-8".to_owned()));
            }
            Line::Unit if !text.is_empty() && !family.strip_suffix(text).is_some_and(|front| front.ends_with(b"_")) => {
                let (unit, family) = (shown(text), shown(family));
                return Err(self.lexer.wrong(format!("unit {unit:?} is not a suffix of metric {family:?}")));
            }
            _ => {}
        }
        Ok(())
    }

    fn metric_type(&self, word: &[u8]) -> Result<MetricType> {
        Ok(match word {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"gaugehistogram" => MetricType::GaugeHistogram,
            b"summary" => MetricType::Summary,
            b"info" => MetricType::Info,
            b"stateset" => MetricType::StateSet,
            b"unknown" => MetricType::Unknown,
            other => return Err(self.lexer.wrong(format!("invalid metric type {:?}", shown(other)))),
        })
    }
}

impl SampleLine {
    /// Reads a line with its newline.
    pub(crate) fn read(&mut self, lexer: &mut Lexer<'_>, known: &mut impl Known) -> Result<()> {
        if !lexer.known_series(&mut self.series, known) {
            lexer.series(&mut self.series)?;
        }
        self.timestamp_ms = None;
        self.has_exemplar = false;
        if let [b' ', rest @ ..] = lexer.rest()
            && let Some((value, len)) = decimal::before_newline(rest)
        {
            self.value = value;
            lexer.at += 1 + len + 1;
            return Ok(());
        }
        self.value = float(lexer, "a space and a value after the series")?;
        if lexer.peek() == Some(b' ') && !lexer.rest().starts_with(b" # {") {
            self.timestamp_ms = Some(seconds(lexer, "timestamp")?);
        }
        if lexer.eat_all(b" # {") {
            self.read_exemplar(lexer)?;
        }
        line_ends(lexer)
    }

    fn read_exemplar(&mut self, lexer: &mut Lexer<'_>) -> Result<()> {
        self.has_exemplar = true;
        self.exemplar_start = lexer.at;
        self.exemplar_escapes = false;
        self.exemplar_labels.clear();
        lexer.labels(self.exemplar_start, None, &mut self.exemplar_labels, &mut self.exemplar_escapes)?;
        self.exemplar_value = float(lexer, "a space and a value after the exemplar's labels")?;
        self.exemplar_ms = match lexer.peek() {
            Some(b' ') => Some(seconds(lexer, "exemplar timestamp")?),
            _ => None,
        };
        Ok(())
    }
}

fn line_ends(lexer: &mut Lexer<'_>) -> Result<()> {
    match lexer.peek() {
        Some(b'\n') => {
            lexer.at += 1;
            Ok(())
        }
        None => Err(lexer.wrong(NO_EOF.to_owned())),
        Some(_) => Err(lexer.expected("the end of the line")),
    }
}

/// One space and what stands behind it, up to a space or the end of the line.
fn token<'a>(lexer: &mut Lexer<'a>, expected: &str) -> Result<&'a [u8]> {
    let rest = match lexer.rest() {
        [b' ', rest @ ..] => rest,
        _ => return Err(lexer.expected(expected)),
    };
    let len = rest.iter().position(|b| matches!(b, b' ' | b'\n')).unwrap_or(rest.len());
    if len == 0 {
        lexer.at += 1;
        return Err(lexer.expected(expected));
    }
    lexer.at += 1 + len;
    Ok(rest.get(..len).unwrap_or_default())
}

fn float(lexer: &mut Lexer<'_>, expected: &str) -> Result<f64> {
    let token = token(lexer, expected)?;
    parse_value(token).map_err(|why| lexer.wrong(format!("{why}: value {:?}", shown(token))))
}

/// Seconds with a fraction as ms; what is finer is cut off.
fn seconds(lexer: &mut Lexer<'_>, what: &str) -> Result<i64> {
    let token = token(lexer, &format!("a space and the {what}"))?;
    let seconds = parse_value(token).map_err(|why| lexer.wrong(format!("{why}: {what} {:?}", shown(token))))?;
    if !seconds.is_finite() {
        return Err(lexer.wrong(format!("invalid {what} {seconds}")));
    }
    Ok((seconds * 1000.0) as i64)
}
