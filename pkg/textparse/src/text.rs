//! The text format, versions 0.0.4 and 1.0.0.

use std::borrow::Cow;

use model::MetricType;

use crate::decimal;
use crate::entry::{Entry, Sample, Series};
use crate::error::ParseError;
use crate::escape::unescape;
use crate::known::Known;
use crate::lexer::{Dialect, Lexer, SeriesParts};
use crate::number::parse_value;
use crate::scan;

type Result<T> = std::result::Result<T, ParseError>;

/// What the last line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    Sample,
    Type,
    Help,
    Comment,
}

#[derive(Debug)]
pub(crate) struct TextParser<'a> {
    lexer: Lexer<'a>,
    line: Line,
    series: SeriesParts,
    value: f64,
    timestamp_ms: Option<i64>,
    family: (usize, usize),
    text: (usize, usize),
    /// Of the last `# TYPE`.
    family_type: MetricType,
}

impl<'a> TextParser<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Result<Self> {
        Ok(Self {
            lexer: Lexer::new(body, Dialect::Text)?,
            line: Line::None,
            series: SeriesParts::default(),
            value: 0.0,
            timestamp_ms: None,
            family: (0, 0),
            text: (0, 0),
            family_type: MetricType::Unknown,
        })
    }

    /// Moves to the next entry; false at the end.
    #[inline]
    pub(crate) fn advance(&mut self, known: &mut impl Known) -> Result<bool> {
        loop {
            self.lexer.skip_blanks();
            self.line = match self.lexer.peek() {
                None => {
                    self.line = Line::None;
                    return Ok(false);
                }
                Some(b'\n') => {
                    self.lexer.at += 1;
                    continue;
                }
                Some(b'#') => self.comment()?,
                Some(b) if b == b'{' || scan::is(b, scan::NAME_START) => self.sample(known)?,
                Some(_) => return Err(self.lexer.expected("a metric name, `{` or `#` at the begin of a line")),
            };
            return Ok(true);
        }
    }

    /// What [`Self::advance`] has moved to.
    pub(crate) fn entry(&self) -> Entry<'_> {
        match self.line {
            Line::Type => Entry::Type { family: self.part(self.family), metric_type: self.family_type },
            Line::Help => Entry::Help { family: self.part(self.family), text: unescape(self.part(self.text), false) },
            Line::Sample => Entry::Sample(Sample {
                series: Series {
                    bytes: self.lexer.bytes.get(self.series.start..self.series.end).unwrap_or_default(),
                    name: self.series.name,
                    labels: &self.series.labels,
                    has_escapes: self.series.has_escapes,
                    family_type: self.family_type,
                },
                value: self.value,
                timestamp_ms: self.timestamp_ms,
                start_ms: 0,
                exemplars: &[],
            }),
            Line::None | Line::Comment => Entry::Comment,
        }
    }

    fn part(&self, (start, end): (usize, usize)) -> Cow<'a, str> {
        String::from_utf8_lossy(self.lexer.bytes.get(start..end).unwrap_or_default())
    }

    fn sample(&mut self, known: &mut impl Known) -> Result<Line> {
        if !self.lexer.known_series(&mut self.series, known) {
            self.lexer.series(&mut self.series)?;
        }
        self.lexer.skip_blanks();
        self.timestamp_ms = None;
        if let Some((value, len)) = decimal::before_newline(self.lexer.rest()) {
            self.value = value;
            self.lexer.at += len + 1;
            return Ok(Line::Sample);
        }
        let start = self.lexer.at;
        let rest = self.lexer.rest();
        let len = rest.iter().position(|b| matches!(b, b' ' | b'\t' | b'\n' | b'{')).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.lexer.expected("a value after the series"));
        }
        let token = rest.get(..len).unwrap_or_default();
        self.lexer.at = start + len;
        self.value = match parse_value(token) {
            Ok(value) => value,
            Err(why) => {
                let message = format!("{why}: value {:?}", crate::error::shown(token));
                return Err(self.lexer.wrong(message));
            }
        };
        self.lexer.skip_blanks();
        if self.lexer.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.timestamp_ms = Some(self.timestamp()?);
            self.lexer.skip_blanks();
        }
        self.line_ends(if self.timestamp_ms.is_none() {
            "a timestamp or the end of the line"
        } else {
            "the end of the line"
        })?;
        Ok(Line::Sample)
    }

    fn timestamp(&mut self) -> Result<i64> {
        let mut time = 0i64;
        while let Some(digit) = self.lexer.peek().filter(u8::is_ascii_digit) {
            let next = time.checked_mul(10).and_then(|t| t.checked_add(i64::from(digit - b'0')));
            time = next.ok_or_else(|| self.lexer.wrong("the timestamp is out of range".to_owned()))?;
            self.lexer.at += 1;
        }
        Ok(time)
    }

    fn line_ends(&mut self, expected: &str) -> Result<()> {
        match self.lexer.peek() {
            None => Ok(()),
            Some(b'\n') => {
                self.lexer.at += 1;
                Ok(())
            }
            Some(_) => Err(self.lexer.expected(expected)),
        }
    }

    /// A line that begins with `#`; only `# HELP` and `# TYPE` say something.
    fn comment(&mut self) -> Result<Line> {
        self.lexer.at += 1;
        let end = self.lexer.line_end();
        let behind_hash = self.lexer.at;
        self.lexer.skip_blanks();
        let is_word = |lexer: &mut Lexer<'_>, word: &[u8]| {
            lexer.at > behind_hash && lexer.eat_all(word) && matches!(lexer.peek(), Some(b' ' | b'\t'))
        };
        let mark = self.lexer;
        let line = if is_word(&mut self.lexer, b"HELP") {
            Line::Help
        } else {
            self.lexer = mark;
            if is_word(&mut self.lexer, b"TYPE") { Line::Type } else { Line::Comment }
        };
        if line == Line::Comment {
            self.lexer.at = end;
            self.lexer.eat(b'\n');
            return Ok(line);
        }
        self.lexer.skip_blanks();
        self.family = self.lexer.family(if line == Line::Help { "HELP" } else { "TYPE" })?;
        let end = self.lexer.line_end();
        self.text = self.text_until(end);
        if line == Line::Type {
            self.family_type = self.metric_type()?;
        } else if !self.lexer.is_text(self.text.0, self.text.1) {
            return Err(self.lexer.wrong("the help text is not valid UTF-8".to_owned()));
        }
        self.lexer.at = end;
        self.lexer.eat(b'\n');
        Ok(line)
    }

    /// The text behind a family's name, from behind the one byte that parts them. Nothing but blanks is no text.
    fn text_until(&self, end: usize) -> (usize, usize) {
        let start = self.lexer.at;
        let text = self.lexer.bytes.get(start..end).unwrap_or_default();
        if text.iter().all(|b| matches!(b, b' ' | b'\t')) { (end, end) } else { (start + 1, end) }
    }

    fn metric_type(&self) -> Result<MetricType> {
        let word = self.lexer.bytes.get(self.text.0..self.text.1).unwrap_or_default();
        Ok(match word {
            b"counter" => MetricType::Counter,
            b"gauge" => MetricType::Gauge,
            b"histogram" => MetricType::Histogram,
            b"summary" => MetricType::Summary,
            b"untyped" => MetricType::Unknown,
            other => {
                return Err(self.lexer.wrong(format!(
                    "invalid metric type {:?}: counter, gauge, histogram, summary and untyped are known",
                    crate::error::shown(other)
                )));
            }
        })
    }
}
