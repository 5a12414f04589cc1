//! Floats that are plainly newer than what their series has take a short way through the head. Where it leads is where the
//! long way leads.

use std::sync::Arc;

use ::model::stale_nan;
use histogram::FloatHistogram;
use proptest::prelude::*;
use storage::append::{Column, Floats, HistogramValue, Histograms, Refusal, SeriesRef};

use super::common::{START_MS as T, begin, parts, read, resolve};
use crate::head::{Head, HeadOptions, MemoryChunks};

const SERIES: u8 = 6;

/// A sample of a transaction: series, time, value.
type Row = (u8, i64, f64);

fn row() -> impl Strategy<Value = Row> {
    let value = prop_oneof![
        6 => (0u8..9).prop_map(f64::from),
        1 => Just(stale_nan()),
        1 => Just(f64::NAN),
    ];
    (0..SERIES, prop_oneof![8 => 0i64..40, 1 => -3_000i64..0, 1 => 0i64..3_000], value)
}

struct Twin {
    head: Head,
    series: Vec<SeriesRef>,
    chunks: Arc<MemoryChunks>,
}

impl Twin {
    /// The first series has a histogram, the last one no sample at all.
    fn new(window_ms: i64) -> Self {
        let options =
            HeadOptions { chunk_range_ms: 4_000, out_of_order_window_ms: window_ms, ..HeadOptions::default() };
        let chunks = Arc::new(MemoryChunks::default());
        let head = Head::new(parts(chunks.clone()), options);
        let mut appender = begin(&head);
        let series: Vec<SeriesRef> = (0..SERIES).map(|n| resolve(&mut *appender, &[("s", &n.to_string())])).collect();
        let values = [HistogramValue::Float(FloatHistogram::default().into())];
        let first = Histograms { series: &series[..1], times_ms: &[T], values: &values, starts_ms: &[] };
        assert_eq!(appender.histograms(first).unwrap(), []);
        futures::executor::block_on(appender.commit()).unwrap();
        Self { head, series, chunks }
    }

    /// Writes rows in one transaction; those that are refused, by their place in `rows`, at once and by the commit.
    fn write(&self, rows: &[(usize, Row)], starts_ms: &[i64]) -> [Vec<(usize, Refusal)>; 2] {
        let mut appender = begin(&self.head);
        let columns = Floats {
            series: &rows.iter().map(|(_, (series, ..))| self.series[usize::from(*series)]).collect::<Vec<_>>(),
            times_ms: &rows.iter().map(|(_, (_, time, _))| *time).collect::<Vec<_>>(),
            values: &rows.iter().map(|(_, (.., value))| *value).collect::<Vec<_>>(),
            starts_ms,
        };
        let refused = appender.floats(columns).unwrap().into_iter().map(|r| (rows[r.row].0, r.why)).collect();
        let committed = futures::executor::block_on(appender.commit()).unwrap();
        let late = committed.refused.into_iter().map(|(column, r)| {
            assert_eq!(column, Column::Floats);
            (rows[r.row].0, r.why)
        });
        let mut both = [refused, late.collect()];
        both.iter_mut().for_each(|refused: &mut Vec<_>| refused.sort_by_key(|(row, _)| *row));
        both
    }

    fn counts(&self) -> [usize; 5] {
        let head = &self.head;
        [head.series(), head.chunks(), head.stale_series(), head.memory_bytes(), head.core.count_chunks()]
    }
}

fn check(window_ms: i64, transactions: &[Vec<Row>], maps: bool) {
    let (short, long) = (Twin::new(window_ms), Twin::new(window_ms));
    let mut now = T;
    for rows in transactions {
        // A sample of each series at most, so that the order of rows makes no difference.
        let mut rows: Vec<Row> = rows.iter().map(|(series, step, value)| (*series, now + step, *value)).collect();
        rows.sort_by_key(|(series, ..)| *series);
        rows.dedup_by_key(|(series, ..)| *series);
        now += 40;
        let mut rows: Vec<(usize, Row)> = rows.into_iter().enumerate().collect();
        let refused = short.write(&rows, &[]);
        rows.reverse();
        // The chunks have no place for start times.
        let starts_ms = vec![1; rows.len()];
        assert_eq!(refused, long.write(&rows, &starts_ms));
        for twin in [&short, &long].into_iter().filter(|_| maps) {
            futures::executor::block_on(twin.head.map_full_chunks(&*twin.chunks)).unwrap();
        }
        assert_eq!(short.counts(), long.counts());
        let [short, long] = [&short, &long].map(|twin| futures::executor::block_on(read(&twin.head)));
        assert_eq!(short, long);
    }
}

proptest! {
    #[test]
    fn short_and_long_ways_lead_to_the_same(
        transactions in prop::collection::vec(prop::collection::vec(row(), 0..8), 1..60),
        late: bool,
        maps: bool,
    ) {
        // Wide enough that no sample is too old, which the order of rows would decide.
        check(if late { 100_000 } else { 0 }, &transactions, maps);
    }
}
