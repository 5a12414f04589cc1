//! Queries under way and those that ended last, with what they took, for people who look for what is dear.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::Clock;
use promql::{QueryError, QueryResult, QueryStats, Times};
use tokio_util::sync::CancellationToken;

/// What is kept of a query's text, bytes; and of what else a client says of itself.
const TEXT_BYTES_MAX: usize = 600;
const NAME_BYTES_MAX: usize = 100;

/// A query as it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub text: String,
    pub times: Times,
    pub tenant: String,
    /// Grafana's `X-Dashboard-Uid` and `X-Panel-Id`, empty without.
    pub dashboard: String,
    pub panel: String,
}

impl Asked {
    /// With texts that are not longer than what is kept.
    fn cut(mut self) -> Self {
        cut(&mut self.text, TEXT_BYTES_MAX);
        for name in [&mut self.tenant, &mut self.dashboard, &mut self.panel] {
            cut(name, NAME_BYTES_MAX);
        }
        self
    }
}

/// Cuts a text to `bytes_max` bytes and says so.
fn cut(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let at = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(at);
        text.push('…');
    }
}

/// A query under way.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub id: u64,
    pub asked: Asked,
    /// ms since the epoch.
    pub began_ms: i64,
    cancel: CancellationToken,
}

/// A query that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub asked: Asked,
    /// ms since the epoch.
    pub began_ms: i64,
    /// How long it took; of one that was given up, until then.
    pub took_ms: i64,
    /// The type of its error; `None` = it was answered.
    pub error: Option<&'static str>,
    pub series: u64,
    pub samples: u64,
    pub chunk_bytes: u64,
    pub peak_bytes: u64,
}

/// All of one API.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    inner: Arc<Mutex<Inner>>,
    /// How many ended queries are kept.
    kept_max: usize,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    active: BTreeMap<u64, Active>,
    /// The latest is the last.
    ended: VecDeque<Ended>,
}

impl Ledger {
    pub fn new(kept_max: usize, clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::default(), kept_max, clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a query that begins; `cancel` ends it.
    pub fn begin(&self, asked: Asked, cancel: CancellationToken) -> Entry {
        let mut inner = self.lock();
        inner.next += 1;
        let id = inner.next;
        inner.active.insert(id, Active { id, asked: asked.cut(), began_ms: self.clock.now_ms(), cancel });
        Entry { ledger: self.clone(), id }
    }

    /// The queries under way, the oldest first.
    pub fn active(&self) -> Vec<Active> {
        self.lock().active.values().cloned().collect()
    }

    /// The queries that ended last, the latest first.
    pub fn ended(&self) -> Vec<Ended> {
        self.lock().ended.iter().rev().cloned().collect()
    }

    /// Ends the query `id` if `may` says so; whether there was one.
    pub fn cancel(&self, id: u64, may: impl Fn(&Asked) -> bool) -> bool {
        let found = self.lock().active.get(&id).filter(|active| may(&active.asked)).map(|active| active.cancel.clone());
        found.inspect(CancellationToken::cancel).is_some()
    }

    fn end(&self, id: u64, error: Option<&'static str>, stats: Option<&QueryStats>) {
        let now_ms = self.clock.now_ms();
        let mut inner = self.lock();
        let Some(Active { asked, began_ms, .. }) = inner.active.remove(&id) else { return };
        if self.kept_max == 0 {
            return;
        }
        while inner.ended.len() >= self.kept_max {
            inner.ended.pop_front();
        }
        let of = |part: fn(&QueryStats) -> u64| stats.map_or(0, part);
        inner.ended.push_back(Ended {
            asked,
            began_ms,
            took_ms: now_ms.saturating_sub(began_ms).max(0),
            error,
            series: of(|s| s.series),
            samples: of(|s| s.decoded_samples),
            chunk_bytes: of(|s| s.chunk_bytes),
            peak_bytes: of(|s| s.peak_bytes),
        });
    }
}

/// A query's entry; of one that is dropped before its end the client has gone away.
#[derive(Debug)]
pub(crate) struct Entry {
    ledger: Ledger,
    id: u64,
}

impl Entry {
    /// Notes the end.
    pub fn end(self, outcome: &Result<QueryResult, QueryError>) {
        match outcome {
            Ok(result) => self.ledger.end(self.id, None, Some(&result.stats)),
            Err(e) => self.ledger.end(self.id, Some(e.error_type()), None),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.ledger.end(self.id, Some("canceled"), None);
    }
}

#[cfg(test)]
mod tests {
    use model::FakeClock;

    use super::*;

    fn asked(text: &str) -> Asked {
        let (tenant, dashboard, panel) = ("t".to_owned(), "d".repeat(300), "1".to_owned());
        Asked { text: text.to_owned(), times: Times::Instant(0), tenant, dashboard, panel }
    }

    fn ledger(kept_max: usize) -> (Ledger, Arc<FakeClock>) {
        let clock = Arc::new(FakeClock::at(1000));
        (Ledger::new(kept_max, clock.clone()), clock)
    }

    #[test]
    fn queries_begin_and_end_and_few_are_kept() {
        let (ledger, clock) = ledger(2);
        let begin = |i| ledger.begin(asked(&format!("q{i}")), CancellationToken::new());
        let mut entries: Vec<_> = (0..4).map(begin).collect();
        assert_eq!(ledger.active().iter().map(|a| a.asked.text.as_str()).collect::<Vec<_>>(), ["q0", "q1", "q2", "q3"]);
        clock.advance(8);
        let given_up = entries.pop();
        for entry in entries {
            entry.end(&Err(QueryError::Bad("no".to_owned())));
        }
        clock.advance(1);
        drop(given_up);
        assert!(ledger.active().is_empty());
        let ended: Vec<_> =
            ledger.ended().into_iter().map(|e| (e.asked.text, e.error, e.began_ms, e.took_ms)).collect();
        let expected = [("q3", Some("canceled"), 1000, 9), ("q2", Some("bad_data"), 1000, 8)];
        assert_eq!(ended, expected.map(|(text, error, at, took)| (text.to_owned(), error, at, took)));
    }

    #[test]
    fn none_are_kept_where_none_are_wanted() {
        let (ledger, _) = ledger(0);
        drop(ledger.begin(asked("q"), CancellationToken::new()));
        assert!(ledger.active().is_empty() && ledger.ended().is_empty());
    }

    #[test]
    fn one_query_is_cancelled() {
        let (ledger, _) = ledger(9);
        let (token, other) = (CancellationToken::new(), CancellationToken::new());
        let _entries = (ledger.begin(asked("a"), token.clone()), ledger.begin(asked("b"), other.clone()));
        assert!(!ledger.cancel(1, |asked| asked.tenant == "u") && !token.is_cancelled());
        assert!(ledger.cancel(1, |asked| asked.tenant == "t") && token.is_cancelled() && !other.is_cancelled());
        assert!(!ledger.cancel(77, |_| true));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let (ledger, _) = ledger(1);
        let _entry = ledger.begin(asked(&"ä".repeat(1000)), CancellationToken::new());
        let asked = ledger.active().remove(0).asked;
        assert_eq!((asked.text.chars().count(), asked.dashboard.len()), (301, NAME_BYTES_MAX + "…".len()));
    }
}
