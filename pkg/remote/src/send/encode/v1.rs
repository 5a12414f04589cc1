//! `prometheus.WriteRequest`.

use bytes::Bytes;
use model::MetricMetadata;

use super::block::Block;
use super::put::{double, label, number, part};
use super::repeats::Repeats;
use super::{Snappy, histogram, type_number, type_of};
use crate::send::rewrite::Rewrites;
use crate::send::rows::{Row, Value};
use crate::send::series::Known;

#[derive(Debug, Default)]
pub(super) struct Buffers {
    block: Block,
    repeats: Repeats,
    plain: Plain,
    labels: Vec<u32>,
}

impl Buffers {
    /// A request with the rows of each series together, compressed. Series that have other rows than floats come last.
    pub fn encode<'r, G>(
        &mut self,
        groups: impl Iterator<Item = G>,
        rewrites: &Rewrites,
        known: &Known,
        snappy: &mut Snappy,
    ) -> Bytes
    where
        G: Iterator<Item = &'r Row> + Clone,
    {
        self.block.clear();
        self.repeats.clear();
        self.plain.out.clear();
        let mut in_turn = known.in_turn();
        for group in groups {
            let Some(first) = group.clone().next() else { continue };
            let own = in_turn.labels(first.series);
            let Some(labels) = rewrites.labels(known, first.series, own, &mut self.labels) else { continue };
            let floats = group.clone().filter_map(|row| match row.value {
                Value::Float(value) => Some((value, row.time_ms)),
                _ => None,
            });
            if group.clone().all(|row| matches!(row.value, Value::Float(_))) {
                self.repeats.series(&mut self.block, known, labels.as_chunks::<2>().0, floats);
            } else {
                self.plain.series(known, labels, group);
            }
        }
        if !self.plain.out.is_empty() {
            self.block.append(self.plain.out.len(), snappy.compress(&self.plain.out));
        }
        self.block.finish()
    }
}

/// Writes messages out.
#[derive(Debug, Default)]
struct Plain {
    out: Vec<u8>,
    series: Vec<u8>,
    row: Vec<u8>,
}

impl Plain {
    fn series<'r>(&mut self, known: &Known, labels: &[u32], rows: impl Iterator<Item = &'r Row>) {
        self.series.clear();
        for (name, value) in known.pairs(labels) {
            label(&mut self.series, 1, name, value);
        }
        for row in rows {
            self.row(row);
        }
        part(&mut self.out, 1, &self.series);
    }

    fn row(&mut self, row: &Row) {
        self.row.clear();
        let field = match &row.value {
            Value::Float(value) => {
                double(&mut self.row, 1, *value);
                number(&mut self.row, 2, row.time_ms as u64);
                2
            }
            Value::Exemplar(exemplar) => {
                for (name, value) in &exemplar.1 {
                    label(&mut self.row, 1, name, value);
                }
                double(&mut self.row, 2, exemplar.0);
                number(&mut self.row, 3, row.time_ms as u64);
                3
            }
            Value::Histogram(value) => {
                histogram::put(&mut self.row, value, row.time_ms, 0);
                4
            }
        };
        part(&mut self.series, field, &self.row);
    }
}

/// A request with metadata of metric families.
pub(in crate::send) fn metadata_request<'m>(all: impl Iterator<Item = (&'m str, &'m MetricMetadata)>) -> Vec<u8> {
    let (mut out, mut one) = (Vec::new(), Vec::new());
    for (family, metadata) in all {
        one.clear();
        number(&mut one, 1, type_number(type_of(&metadata.metric_type)));
        part(&mut one, 2, family.as_bytes());
        part(&mut one, 4, metadata.help.as_bytes());
        part(&mut one, 5, metadata.unit.as_bytes());
        part(&mut out, 3, &one);
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use labels::Labels;
    use proptest::prelude::*;
    use storage::append::HistogramValue;

    use super::*;
    use crate::send::series::SeriesTable;

    /// A series' labels by the numbers of texts, and what comes of it.
    type Given = (Vec<(u8, u8)>, Vec<Sent>);

    #[derive(Debug, Clone)]
    enum Sent {
        Float(f64, i64),
        Exemplar(f64, i64),
        Histogram(i64),
    }

    fn float() -> impl Strategy<Value = Sent> {
        let value = prop_oneof![Just(0.0), Just(-0.0), (0u32..70_000).prop_map(f64::from), any::<f64>()];
        let time_ms =
            prop_oneof![8 => 1_700_000_000_000i64..1_700_000_000_300, 1 => Just(0), 1 => -9i64..300, 1 => any::<i64>()];
        (value, time_ms).prop_map(|(value, time_ms)| Sent::Float(value, time_ms))
    }

    fn sent() -> impl Strategy<Value = Vec<Sent>> {
        let other = prop_oneof![
            8 => float(),
            1 => any::<i64>().prop_map(|time_ms| Sent::Exemplar(1.5, time_ms)),
            1 => any::<i64>().prop_map(Sent::Histogram),
        ];
        prop_oneof![
            4 => prop::collection::vec(float(), 1..2),
            1 => prop::collection::vec(float(), 1..5),
            1 => prop::collection::vec(other, 1..4),
        ]
    }

    fn text(number: u8) -> String {
        match number {
            0..=99 => format!("{}{number}", "text".repeat(usize::from(number) % 7)),
            100..=199 => "ä".repeat(usize::from(number) - 100),
            _ => format!("{}{number}", "long".repeat(usize::from(number) * 3)),
        }
    }

    /// The labels of series 0, 1, … in a table, and the rows.
    fn world(given: &[Given]) -> (Arc<SeriesTable>, Vec<Row>) {
        let table = Arc::new(SeriesTable::default());
        let mut rows = Vec::new();
        for (number, (labels, sent)) in (0..).zip(given) {
            let mut texts: Vec<_> = labels.iter().map(|(name, value)| (text(*name), text(*value))).collect();
            texts.sort();
            texts.dedup_by(|a, b| a.0 == b.0);
            let pairs: Vec<_> = texts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            table.add(number, &pairs, 0);
            for sent in sent {
                let (value, time_ms) = match sent {
                    Sent::Float(value, time_ms) => (Value::Float(*value), *time_ms),
                    Sent::Exemplar(value, time_ms) => {
                        (Value::Exemplar(Box::new((*value, Labels::from_pairs([("trace_id", "x")])))), *time_ms)
                    }
                    Sent::Histogram(time_ms) => (Value::Histogram(HistogramValue::Int(Arc::default())), *time_ms),
                };
                rows.push(Row { series: number, time_ms, start_ms: 0, value, index: 0 });
            }
        }
        (table, rows)
    }

    fn groups(rows: &[Row]) -> impl Iterator<Item = std::slice::Iter<'_, Row>> {
        rows.chunk_by(|a, b| a.series == b.series).map(<[Row]>::iter)
    }

    /// What is sent, and the text of it written out: floats first.
    fn both(buffers: &mut Buffers, table: &Arc<SeriesTable>, rows: &[Row]) -> (Bytes, Vec<u8>) {
        let rewrites = Rewrites::new(table.clone(), Arc::default(), &Labels::default());
        let known = table.read();
        let quick = buffers.encode(groups(rows), &rewrites, &known, &mut Snappy::default());
        let (mut slow, mut ids) = (Plain::default(), Vec::new());
        let are_floats =
            |group: &std::slice::Iter<'_, Row>| group.clone().all(|row| matches!(row.value, Value::Float(_)));
        let (floats, others): (Vec<_>, Vec<_>) = groups(rows).partition(are_floats);
        for group in floats.into_iter().chain(others) {
            let number = group.as_slice()[0].series;
            let labels = rewrites.labels(&known, number, known.labels(number), &mut ids).unwrap();
            slow.series(&known, labels, group);
        }
        (quick, slow.out)
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_would_be_written_out(
            requests in prop::collection::vec(
                prop::collection::vec((prop::collection::vec((0u8..12, any::<u8>()), 0..8), sent()), 0..40),
                1..3,
            ),
        ) {
            let mut buffers = Buffers::default();
            for given in requests {
                let (table, rows) = world(&given);
                let (sent, plain) = both(&mut buffers, &table, &rows);
                prop_assert_eq!(snap::raw::Decoder::new().decompress_vec(&sent).unwrap(), plain);
            }
        }
    }

    /// A series of a service: labels that differ from instance to instance, and from series to series.
    fn labels_of(instance: usize, series: usize) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("cluster", "eu-1".to_owned()),
            ("instance", format!("10.0.{}.{}:8080", instance / 256, instance % 256)),
            ("job", "checkout".to_owned()),
            ("namespace", format!("ns-{}", instance % 12)),
            ("pod", format!("checkout-{:08x}-{:05x}", instance.wrapping_mul(0x9e37_79b1) as u32, instance * 7919)),
        ];
        if series < 20 {
            labels.push(("__name__", "http_requests_total".to_owned()));
            labels.push(("code", ["200", "204", "400", "404", "500"][series % 5].to_owned()));
            labels.push(("method", ["GET", "POST", "PUT", "DELETE"][series / 5].to_owned()));
        } else if series < 80 {
            labels.push(("__name__", "http_request_duration_seconds_bucket".to_owned()));
            labels
                .push(("handler", ["/", "/api/v1/items", "/login", "/search", "/health"][series / 12 % 5].to_owned()));
            labels.push(("le", ["0.005", "0.01", "0.05", "0.1", "1", "+Inf"][series % 6].to_owned()));
        } else {
            labels
                .push(("__name__", format!("process_{}_{series}", ["open", "resident_bytes", "seconds"][series % 3])));
        }
        labels.sort();
        labels
    }

    /// What is sent is larger than a search for repeats makes it, but not by much: that finds values of some series before
    /// too. It is largest for series in an order that no target has.
    #[test]
    fn it_is_about_as_small_as_a_search_makes_it() {
        let (instances, series, mut random) = (40, 100, 1u64);
        let by_instance = (0..instances).flat_map(|i| (0..series).map(move |s| (i, s)));
        let by_series = (0..series).flat_map(|s| (0..instances).map(move |i| (i, s)));
        let mut mixed: Vec<_> = by_series.clone().collect();
        mixed.sort_by_key(|(i, s)| (i * 7919 + s * 104_729) % 4001);
        let orders: [(&str, Vec<_>, usize); 3] = [
            ("by instance", by_instance.collect(), 125),
            ("by series", by_series.collect(), 110),
            ("mixed", mixed, 150),
        ];
        for (what, order, percent_max) in orders {
            let table = Arc::new(SeriesTable::default());
            let mut rows = Vec::new();
            for (number, (instance, series)) in order.into_iter().take(2000).enumerate() {
                let labels = labels_of(instance, series);
                let pairs: Vec<_> = labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
                table.add(number as u64, &pairs, 0);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = match series % 4 {
                    0 => (random >> 48) as f64,
                    1 => (random >> 44) as f64 / 100.0,
                    2 => (random >> 63) as f64,
                    _ => (random >> 32) as f64,
                };
                let time_ms = 1_700_000_000_000 + instance as i64 * 377;
                rows.push(Row { series: number as u64, time_ms, start_ms: 0, value: Value::Float(value), index: 0 });
            }
            let (sent, plain) = both(&mut Buffers::default(), &table, &rows);
            let searched = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
            let (sent, searched) = (sent.len(), searched.len());
            assert!(sent * 100 <= searched * percent_max, "{what}: {sent} bytes, {searched} by searching");
        }
    }
}
