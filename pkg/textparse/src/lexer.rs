//! What the two text formats have in common: names, quoted strings, labels.

use crate::entry::{LabelSpan, Span};
use crate::error::ParseError;
use crate::known::Known;
use crate::scan;

type Result<T> = std::result::Result<T, ParseError>;

/// Whether blanks may stand between the parts of a line, and commas be left out: the old text format is lenient, OpenMetrics
/// strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Text,
    OpenMetrics,
}

/// A position in a body of lines. Positions fit 32 bits: [`Lexer::new`] refuses larger bodies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lexer<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
    dialect: Dialect,
    /// The whole body is UTF-8, so that no part of it has to be checked.
    is_utf8: bool,
}

/// The parts of a series, relative to its first byte.
#[derive(Debug, Default)]
pub(crate) struct SeriesParts {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) name: Span,
    pub(crate) labels: Vec<LabelSpan>,
    pub(crate) has_escapes: bool,
}

/// A quoted string without its quotes, and whether there are backslashes in it.
struct Quoted {
    start: usize,
    end: usize,
    has_escapes: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(bytes: &'a [u8], dialect: Dialect) -> Result<Self> {
        if u32::try_from(bytes.len()).is_err() {
            let message = format!("a body of {} bytes: at most {} can be read", bytes.len(), u32::MAX);
            return Err(ParseError { line: 1, offset: 0, message });
        }
        Ok(Self { bytes, at: 0, dialect, is_utf8: std::str::from_utf8(bytes).is_ok() })
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes behind `byte` if it comes next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Goes behind `text` if it comes next.
    pub(crate) fn eat_all(&mut self, text: &[u8]) -> bool {
        let is_next = self.rest().starts_with(text);
        self.at += if is_next { text.len() } else { 0 };
        is_next
    }

    #[inline]
    pub(crate) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Between the parts of a line.
    #[inline]
    fn skip_free_blanks(&mut self) {
        if self.dialect == Dialect::Text {
            self.skip_blanks();
        }
    }

    /// The end of the line, without its newline.
    pub(crate) fn line_end(&self) -> usize {
        scan::find2(self.rest(), b'\n', b'\n').map_or(self.bytes.len(), |found| self.at + found)
    }

    #[cold]
    pub(crate) fn expected(&self, what: &str) -> ParseError {
        ParseError::in_line(self.bytes, self.at, what)
    }

    #[cold]
    pub(crate) fn wrong(&self, message: String) -> ParseError {
        ParseError::whole(self.bytes, self.at, message)
    }

    /// Whether these bytes of the body are UTF-8.
    #[inline]
    pub(crate) fn is_text(&self, start: usize, end: usize) -> bool {
        self.is_utf8 || self.bytes.get(start..end).is_some_and(|part| std::str::from_utf8(part).is_ok())
    }

    /// A run of bytes of a class.
    #[inline]
    fn word(&mut self, class: u8) -> (usize, usize) {
        let start = self.at;
        self.at += scan::run(self.rest(), class);
        (start, self.at)
    }

    /// A string in quotes, of which the first comes next.
    #[inline]
    fn quoted(&mut self, what: &str, newlines: bool) -> Result<Quoted> {
        let start = self.at + 1;
        let (mut end, mut has_escapes) = (start, false);
        loop {
            let found = self.bytes.get(end..).and_then(|rest| scan::find2(rest, b'"', b'\\'));
            let Some(found) = found else {
                self.at = self.bytes.len();
                return Err(self.expected(&format!("the closing quote of {what}")));
            };
            end += found;
            if self.bytes.get(end) == Some(&b'"') {
                break;
            }
            has_escapes = true;
            if matches!(self.bytes.get(end + 1), None | Some(b'\n')) {
                self.at = end + 1;
                return Err(self.expected(&format!("a character behind the backslash in {what}")));
            }
            end += 2;
        }
        if !newlines && let Some(newline) = self.bytes.get(start..end).and_then(|s| scan::find2(s, b'\n', b'\n')) {
            self.at = start + newline;
            return Err(self.expected(&format!("the closing quote of {what}")));
        }
        if !self.is_text(start, end) {
            return Err(self.wrong(format!("invalid UTF-8 in {what}")));
        }
        self.at = end + 1;
        Ok(Quoted { start, end, has_escapes })
    }

    /// A metric name behind `HELP` and the like: where it begins and ends, and whether it has escapes.
    pub(crate) fn family(&mut self, keyword: &str) -> Result<(usize, usize)> {
        match self.peek() {
            Some(b'"') => self.quoted("the metric name", true).map(|q| (q.start, q.end)),
            Some(b) if scan::is(b, scan::NAME_START) => Ok(self.word(scan::NAME)),
            _ => Err(self.expected(&format!("a metric name after {keyword}"))),
        }
    }

    /// Where the series that begins here ends, without a look at its parts: the same place as [`Self::series`] finds, if that
    /// finds nothing wrong. `None` where the end is not plain to see.
    #[inline]
    pub(crate) fn series_end(&self) -> Option<usize> {
        let mut at = self.at;
        if self.bytes.get(at) != Some(&b'{') {
            at += scan::run(self.bytes.get(at..)?, scan::NAME);
            match self.bytes.get(at) {
                Some(b'{') => {}
                Some(b' ' | b'\t') if self.dialect == Dialect::Text => {
                    let behind = self.bytes.get(at..)?.iter().find(|b| !matches!(b, b' ' | b'\t'));
                    return (behind != Some(&b'{')).then_some(at);
                }
                _ => return Some(at),
            }
        }
        at += 1;
        loop {
            at += scan::find2(self.bytes.get(at..)?, b'"', b'}')?;
            if self.bytes.get(at) == Some(&b'}') {
                return Some(at + 1);
            }
            at += 1;
            loop {
                at += scan::find2(self.bytes.get(at..)?, b'"', b'\\')?;
                if self.bytes.get(at) == Some(&b'"') {
                    break;
                }
                at += 2;
            }
            at += 1;
        }
    }

    /// Where the series ends that the caller expects here, if it is this one. Its end is not looked for: the same bytes end
    /// where they ended before, unless they are a name behind which labels follow now.
    #[inline]
    fn expected_end(&self, known: &mut impl Known) -> Option<usize> {
        let end = self.at + known.expected_bytes();
        let is_end = matches!(self.bytes.get(end..)?, [b' ', behind, ..] if !matches!(behind, b' ' | b'\t' | b'{'));
        let key = self.bytes.get(self.at..end).filter(|key| is_end && !key.is_empty())?;
        known.is_expected(key).then_some(end)
    }

    /// A series that the caller knows by its bytes: nothing but its end is read. False if it does not know it.
    #[inline]
    pub(crate) fn known_series(&mut self, out: &mut SeriesParts, known: &mut impl Known) -> bool {
        let end = match self.expected_end(known) {
            Some(end) => end,
            None => {
                let Some(end) = self.series_end() else { return false };
                if !self.bytes.get(self.at..end).is_some_and(|key| known.is_known(key)) {
                    return false;
                }
                end
            }
        };
        out.start = self.at;
        out.end = end;
        out.name = Span::default();
        out.labels.clear();
        self.at = end;
        true
    }

    /// A series: a name, labels in braces, or a quoted name among the labels.
    pub(crate) fn series(&mut self, out: &mut SeriesParts) -> Result<()> {
        let start = self.at;
        out.start = start;
        out.has_escapes = false;
        out.labels.clear();
        let mut name = None;
        if self.peek() != Some(b'{') {
            let (from, to) = self.word(scan::NAME);
            name = Some(span(start, from, to));
            out.end = to;
            self.skip_free_blanks();
        }
        if self.eat(b'{') {
            self.labels(start, Some(&mut name), &mut out.labels, &mut out.has_escapes)?;
            out.end = self.at;
        }
        match name {
            Some(name) => {
                out.name = name;
                Ok(())
            }
            None => Err(self.wrong(format!(
                "metric name not set: {} has labels only",
                crate::error::shown(self.bytes.get(start..self.at).unwrap_or_default())
            ))),
        }
    }

    /// Labels behind an opening brace, with the closing one. `metric` is where the name of a series goes; exemplars have
    /// none.
    pub(crate) fn labels(
        &mut self,
        base: usize,
        mut metric: Option<&mut Option<Span>>,
        out: &mut Vec<LabelSpan>,
        has_escapes: &mut bool,
    ) -> Result<()> {
        loop {
            self.skip_free_blanks();
            let (quoted, name) = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'"') => {
                    let name = self.quoted("a name", metric.is_some())?;
                    *has_escapes |= name.has_escapes;
                    (true, span(base, name.start, name.end))
                }
                Some(b) if scan::is(b, scan::LABEL_START) => {
                    let (from, to) = self.word(scan::LABEL);
                    (false, span(base, from, to))
                }
                _ => return Err(self.expected("a label name")),
            };
            self.skip_free_blanks();
            if quoted
                && matches!(self.peek(), Some(b',' | b'}'))
                && let Some(metric) = &mut metric
            {
                if metric.replace(name).is_some() {
                    return Err(self.wrong("metric name already set: it stands twice in this series".to_owned()));
                }
                self.eat(b',');
                continue;
            }
            if !self.eat(b'=') {
                return Err(self.expected("`=` after the label name"));
            }
            self.skip_free_blanks();
            if self.peek() != Some(b'"') {
                return Err(self.expected("a label value in quotes"));
            }
            let value = self.quoted("a label value", self.dialect == Dialect::Text)?;
            *has_escapes |= value.has_escapes;
            out.push(LabelSpan { name, value: span(base, value.start, value.end) });
            self.skip_free_blanks();
            if !self.eat(b',') && self.dialect == Dialect::OpenMetrics && self.peek() != Some(b'}') {
                return Err(self.expected("a comma or the closing brace"));
            }
        }
    }
}

/// Positions fit, since bodies of more than 4 GiB are refused.
#[inline]
fn span(base: usize, start: usize, end: usize) -> Span {
    Span { start: (start - base) as u32, end: (end - base) as u32 }
}
