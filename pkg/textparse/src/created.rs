//! Start times of OpenMetrics: a `_created` series behind the others of its metric says since when they count.

use crate::entry::LabelSpan;
use crate::lexer::{Lexer, SeriesParts};
use crate::openmetrics::SampleLine;

const CREATED: &[u8] = b"_created";
const SUFFIXES: [&[u8]; 8] = [CREATED, b"_count", b"_sum", b"_bucket", b"_total", b"_gcount", b"_gsum", b"_info"];

/// Looks ahead for `_created` lines. Each line is looked at once, whatever the body.
#[derive(Debug, Default)]
pub(crate) struct Created {
    /// Series before this place have been looked up: they have `found` or no start.
    until: usize,
    /// A `_created` line was found: it is in `ahead`.
    is_found: bool,
    start_ms: i64,
    ahead: SampleLine,
}

impl Created {
    /// Whether a series of a counter, histogram or summary is a `_created` one.
    pub(crate) fn is_created(body: &[u8], series: &SeriesParts) -> bool {
        name(body, series).ends_with(CREATED)
    }

    /// The start of `series`, whose line `lexer` is behind; 0 = unknown.
    pub(crate) fn start_of(&mut self, lexer: Lexer<'_>, series: &SeriesParts) -> i64 {
        let body = lexer.bytes;
        if series.start >= self.until {
            self.look_ahead(lexer);
        }
        if self.is_found && is_same(body, series, &self.ahead.series) { self.start_ms } else { 0 }
    }

    /// Finds the next `_created` line before the next line that begins with `#`.
    fn look_ahead(&mut self, mut lexer: Lexer<'_>) {
        self.is_found = false;
        // A line that is wrong ends the look ahead; whoever reads it in its turn tells what is wrong.
        while lexer.peek().is_some_and(|b| b != b'#') && self.ahead.read(&mut lexer, &mut |_: &[u8]| false).is_ok() {
            if Self::is_created(lexer.bytes, &self.ahead.series) {
                self.is_found = true;
                self.start_ms = (self.ahead.value * 1000.0) as i64;
                break;
            }
        }
        self.until = lexer.at;
    }
}

fn name<'a>(body: &'a [u8], series: &SeriesParts) -> &'a [u8] {
    series.name.of(body.get(series.start..).unwrap_or_default())
}

/// Whether two series are of one metric: the same name but for suffixes, the same labels but for bounds.
fn is_same(body: &[u8], a: &SeriesParts, b: &SeriesParts) -> bool {
    let base = |name| SUFFIXES.iter().find_map(|suffix| <[u8]>::strip_suffix(name, *suffix)).unwrap_or(name);
    base(name(body, a)) == base(name(body, b)) && labels(body, a).eq(labels(body, b))
}

fn labels<'a>(body: &'a [u8], series: &'a SeriesParts) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let bytes = body.get(series.start..).unwrap_or_default();
    let parts = move |label: &'a LabelSpan| (label.name.of(bytes), label.value.of(bytes));
    series.labels.iter().map(parts).filter(|(name, _)| *name != b"le" && *name != b"quantile")
}
