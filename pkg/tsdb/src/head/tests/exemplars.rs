//! Exemplars that come late, and what is logged before them.

use std::sync::Arc;

use ::model::{Exemplar, FakeClock, TimeRange};
use futures::future::{BoxFuture, ready};
use labels::{Labels, Matcher};
use parking_lot::Mutex;
use storage::append::{Appender, Exemplars, Refusal, Refused, SeriesRef};
use storage::{Ctx, ExemplarsQuery, ExemplarsSource, PartialResponse};
use telemetry::Metrics;
use wal::record::Kind;

use super::common::{START_MS as T, begin, floats, resolve};
use crate::head::{Head, HeadOptions, HeadParts, Journal, JournalError, LogBatch, MemoryChunks, NoJournal};

fn head(window_ms: i64, journal: Arc<dyn Journal>) -> Head {
    let parts = HeadParts {
        clock: Arc::new(FakeClock::at(T)),
        metrics: Metrics::new(),
        journal,
        chunks: Arc::new(MemoryChunks::default()),
        seed: 7,
    };
    Head::new(parts, HeadOptions { exemplars_max: 10, out_of_order_window_ms: window_ms, ..HeadOptions::default() })
}

fn exemplar(time_ms: i64, value: f64) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", "1")]), value, timestamp_ms: time_ms }
}

fn add(appender: &mut dyn Appender, series: SeriesRef, exemplars: &[Exemplar]) -> Vec<Refused> {
    let refused = appender.exemplars(Exemplars { series: &vec![series; exemplars.len()], exemplars });
    refused.unwrap()
}

async fn times(head: &Head) -> Vec<(i64, f64)> {
    let query = ExemplarsQuery {
        query: "a".to_owned(),
        selectors: vec![vec![Matcher::equal("__name__", "a")]],
        range: TimeRange::ALL,
        partial_response: PartialResponse::Abort,
    };
    let found = head.exemplars(&Ctx::background(), query).await.unwrap().value;
    found.into_iter().flat_map(|s| s.exemplars).map(|e| (e.timestamp_ms - T, e.value)).collect()
}

#[tokio::test]
async fn late_exemplars_within_the_window_are_taken_and_shown_by_time() {
    for (window_ms, right) in
        [(0, vec![(0, 1.0), (100, 2.0), (100, 3.0)]), (60, vec![(0, 1.0), (41, 7.0), (100, 2.0), (100, 3.0)])]
    {
        let head = head(window_ms, Arc::new(NoJournal));
        let mut appender = begin(&head);
        let a = resolve(&mut *appender, &[("__name__", "a")]);
        assert_eq!(floats(&mut *appender, &[(a, T, 1.0)]), []);
        // The buckets of a native histogram have one time and ascending values.
        assert_eq!(add(&mut *appender, a, &[exemplar(T, 1.0), exemplar(T + 100, 2.0), exemplar(T + 100, 3.0)]), []);
        let late = |row| Refused { row, why: Refusal::ExemplarOutOfOrder };
        // They come with the next scrape again.
        assert_eq!(add(&mut *appender, a, &[exemplar(T + 100, 2.0)]), [late(0)]);
        appender.commit().await.unwrap();
        let mut appender = begin(&head);
        let refused = add(&mut *appender, a, &[exemplar(T + 41, 7.0), exemplar(T + 40, 8.0)]);
        assert_eq!(refused, if window_ms == 0 { vec![late(0), late(1)] } else { vec![late(1)] });
        appender.commit().await.unwrap();
        let mut appender = begin(&head);
        assert_eq!(add(&mut *appender, a, &[exemplar(T + 41, 7.0)]).is_empty(), window_ms > 0, "it is there");
        appender.commit().await.unwrap();
        assert_eq!(times(&head).await, right, "window {window_ms}");
    }
}

/// Notes the kinds of records.
#[derive(Debug, Default)]
struct Kinds(Mutex<Vec<Kind>>);

impl Journal for Kinds {
    fn log(&self, batch: LogBatch) -> BoxFuture<'static, Result<(), JournalError>> {
        self.0.lock().extend(batch.wal.iter().filter_map(Kind::of));
        Box::pin(ready(Ok(())))
    }
}

#[tokio::test]
async fn a_sample_is_logged_before_its_exemplar() {
    let kinds = Arc::new(Kinds::default());
    let head = head(0, kinds.clone());
    let mut appender = begin(&head);
    let a = resolve(&mut *appender, &[("__name__", "a")]);
    assert_eq!(add(&mut *appender, a, &[exemplar(T, 1.0)]), []);
    assert_eq!(floats(&mut *appender, &[(a, T, 1.0)]), []);
    appender.commit().await.unwrap();
    assert_eq!(*kinds.0.lock(), [Kind::Series, Kind::Samples, Kind::Exemplars]);
}
