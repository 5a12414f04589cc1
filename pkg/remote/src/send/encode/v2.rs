//! `io.prometheus.write.v2.Request`: each text once, in a table of symbols.

use hashbrown::HashMap;
use labels::METRIC_NAME;

use super::put::{double, number, part, varint};
use super::{Families, histogram, type_number, type_of};
use crate::send::rewrite::Rewrites;
use crate::send::rows::{Row, Value};
use crate::send::series::Known;

/// What is cut off a series' name to find its family.
const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_created"];

#[derive(Debug, Default)]
pub(super) struct Buffers {
    symbols: Symbols,
    all_series: Vec<u8>,
    series: Vec<u8>,
    row: Vec<u8>,
    refs: Vec<u8>,
    labels: Vec<u32>,
}

/// The table of one request.
#[derive(Debug, Default)]
struct Symbols {
    out: Vec<u8>,
    count: u64,
    /// By the numbers of all queues' table.
    by_number: HashMap<u32, u64>,
    /// Texts that are not in it.
    by_text: HashMap<String, u64>,
}

impl Symbols {
    fn clear(&mut self) {
        self.out.clear();
        self.by_number.clear();
        self.by_text.clear();
        // The first one is always empty.
        part(&mut self.out, 4, b"");
        self.count = 1;
    }

    fn of_number(&mut self, known: &Known, number: u32) -> u64 {
        if let Some(symbol) = self.by_number.get(&number) {
            return *symbol;
        }
        let text = known.symbols.text(number);
        let symbol = if text.is_empty() { 0 } else { self.add(text) };
        self.by_number.insert(number, symbol);
        symbol
    }

    fn of_text(&mut self, known: &Known, text: &str) -> u64 {
        if text.is_empty() {
            return 0;
        }
        if let Some(number) = known.symbols.find(text) {
            return self.of_number(known, number);
        }
        if let Some(symbol) = self.by_text.get(text) {
            return *symbol;
        }
        let symbol = self.add(text);
        self.by_text.insert(text.to_owned(), symbol);
        symbol
    }

    fn add(&mut self, text: &str) -> u64 {
        part(&mut self.out, 4, text.as_bytes());
        self.count += 1;
        self.count - 1
    }
}

impl Buffers {
    /// A request with the rows of each series together, and how many rows go without metadata.
    pub fn encode<'r, G>(
        &mut self,
        groups: impl Iterator<Item = G>,
        rewrites: &Rewrites,
        known: &Known,
        families: &Families,
    ) -> (&[u8], u64)
    where
        G: Iterator<Item = &'r Row> + Clone,
    {
        self.symbols.clear();
        self.all_series.clear();
        let mut without_metadata = 0;
        let mut in_turn = known.in_turn();
        for group in groups {
            let Some(first) = group.clone().next() else { continue };
            let own = in_turn.labels(first.series);
            let mut memory = std::mem::take(&mut self.labels);
            let Some(labels) = rewrites.labels(known, first.series, own, &mut memory) else { continue };
            self.series.clear();
            self.refs.clear();
            for number in labels {
                varint(&mut self.refs, self.symbols.of_number(known, *number));
            }
            part(&mut self.series, 1, &self.refs);
            let rows = group.clone().count() as u64;
            for row in group {
                self.row(known, row);
            }
            if !self.metadata(known, first.series, labels, families) {
                without_metadata += rows;
            }
            self.labels = memory;
            part(&mut self.all_series, 5, &self.series);
        }
        self.symbols.out.extend_from_slice(&self.all_series);
        (&self.symbols.out, without_metadata)
    }

    fn row(&mut self, known: &Known, row: &Row) {
        self.row.clear();
        let field = match &row.value {
            Value::Float(value) => {
                double(&mut self.row, 1, *value);
                number(&mut self.row, 2, row.time_ms as u64);
                number(&mut self.row, 3, row.start_ms as u64);
                2
            }
            Value::Histogram(value) => {
                histogram::put(&mut self.row, value, row.time_ms, row.start_ms);
                3
            }
            Value::Exemplar(exemplar) => {
                self.refs.clear();
                for text in exemplar.1.iter().flat_map(|(name, value)| [name, value]) {
                    varint(&mut self.refs, self.symbols.of_text(known, text));
                }
                part(&mut self.row, 1, &self.refs);
                double(&mut self.row, 2, exemplar.0);
                number(&mut self.row, 3, row.time_ms as u64);
                4
            }
        };
        part(&mut self.series, field, &self.row);
    }

    /// Type, help and unit of a series' metric: those of the log, or else those of its family. Whether there are any.
    fn metadata(&mut self, known: &Known, number_in_log: u64, labels: &[u32], families: &Families) -> bool {
        let [kind, help, unit] = match known.metadata(number_in_log) {
            Some(of_log) => {
                let texts = [of_log.help, of_log.unit].map(|text| self.symbols.of_number(known, text));
                [type_number(of_log.metric_type), texts[0], texts[1]]
            }
            None => {
                let Some(found) = family(known, labels, families) else { return false };
                let texts = [&found.help, &found.unit].map(|text| self.symbols.of_text(known, text));
                [type_number(type_of(&found.metric_type)), texts[0], texts[1]]
            }
        };
        self.row.clear();
        number(&mut self.row, 1, kind);
        number(&mut self.row, 3, help);
        number(&mut self.row, 4, unit);
        part(&mut self.series, 5, &self.row);
        true
    }
}

fn family<'f>(known: &Known, labels: &[u32], families: &'f Families) -> Option<&'f model::MetricMetadata> {
    if families.is_empty() {
        return None;
    }
    let name = known.pairs(labels).find(|(name, _)| *name == METRIC_NAME)?.1;
    families.get(name).or_else(|| {
        let base = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?;
        families.get(base)
    })
}
