//! Queries at work, noted in a file: after a crash the log tells which may have been the reason.
//!
//! The file is Prometheus' `queries.active`: `[`, then places of 1000 bytes, each with a JSON object and a comma, or zeros.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use model::Clock;
use parking_lot::Mutex;
use promql::{Answers, Evaluate, Query, QueryError, QueryResult};
use serde_json::{Value, json};
use storage::Ctx;

const FILE: &str = "queries.active";
const PLACE_BYTES: usize = 1000;
/// Queries that are noted at least and at most: as many as may run at a time.
const PLACES: (usize, usize) = (64, 1024);
/// What is read of a file that somebody else wrote.
const READ_MAX: u64 = 4 << 20;
/// Unfinished queries that the log shows.
const SHOWN: usize = 20;

/// The file of queries at work.
#[derive(Debug)]
pub struct ActiveQueries {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query in the file, until it is dropped.
#[derive(Debug)]
struct Place {
    of: Arc<ActiveQueries>,
    number: usize,
}

impl ActiveQueries {
    /// Begins a file with so many places in `dir`. Also gives the queries that the one before has: they did not finish.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(dir: &Path, places: usize) -> io::Result<(Arc<Self>, Vec<String>)> {
        let path = dir.join(FILE);
        let mut before = Vec::new();
        match File::open(&path) {
            Ok(file) => drop(file.take(READ_MAX).read_to_end(&mut before)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
        file.set_len((1 + places * PLACE_BYTES) as u64)?;
        file.write_all_at(b"[", 0)?;
        let free = Mutex::new((0..places).rev().collect());
        Ok((Arc::new(Self { file, free }), unfinished(&before)))
    }

    /// Notes a query. `None` where there is no place for it or the disk refuses: then it goes on without.
    fn begin(self: &Arc<Self>, query: &str, now_s: i64) -> Option<Place> {
        let entry = entry(query, now_s)?;
        let number = self.free.lock().pop()?;
        let place = Place { of: self.clone(), number };
        self.file.write_all_at(&entry, place.offset()).ok()?;
        Some(place)
    }
}

impl Place {
    fn offset(&self) -> u64 {
        (1 + self.number * PLACE_BYTES) as u64
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Where that fails the query is told after the next crash, too often and no worse.
        let _ = self.of.file.write_all_at(&[0; PLACE_BYTES], self.offset());
        self.of.free.lock().push(self.number);
    }
}

/// What a place holds: of a long query the begin.
fn entry(query: &str, now_s: i64) -> Option<Vec<u8>> {
    let mut end = query.len().min(PLACE_BYTES);
    loop {
        end = query.floor_char_boundary(end);
        let json = format!("{{\"query\":{},\"timestamp_sec\":{now_s}}},", json!(query.get(..end)?)).into_bytes();
        if json.len() <= PLACE_BYTES {
            return Some(json);
        }
        end = end.checked_sub((json.len() - PLACE_BYTES).min(end).max(1))?;
    }
}

/// The queries of a file.
fn unfinished(file: &[u8]) -> Vec<String> {
    let query = |place: &[u8]| -> Option<String> {
        let end = place.iter().position(|byte| *byte == 0).unwrap_or(place.len());
        let entry: Value = serde_json::from_slice(place.get(..end)?.strip_suffix(b",")?).ok()?;
        Some(entry.get("query")?.as_str()?.to_owned())
    };
    file.get(1..).unwrap_or_default().chunks(PLACE_BYTES).filter_map(query).collect()
}

/// An evaluator whose queries are noted in the file of a data directory.
#[derive(Debug)]
pub struct Noting {
    inside: Arc<dyn Evaluate>,
    active: Arc<ActiveQueries>,
    clock: Arc<dyn Clock>,
}

impl Noting {
    /// `inside`, noted in `dir`, and the log tells of queries that the last process did not finish. Where that cannot be,
    /// the log says so and nothing is noted.
    pub fn over(inside: Arc<dyn Evaluate>, dir: &Path, concurrent: usize, clock: Arc<dyn Clock>) -> Arc<dyn Evaluate> {
        match ActiveQueries::open(dir, concurrent.clamp(PLACES.0, PLACES.1)) {
            Ok((active, unfinished)) => {
                if !unfinished.is_empty() {
                    let (count, shown) = (unfinished.len(), unfinished.into_iter().take(SHOWN).collect::<Vec<_>>());
                    tracing::warn!(count, queries = ?shown, "queries did not finish before the last end of the server");
                }
                Arc::new(Self { inside, active, clock })
            }
            Err(error) => {
                tracing::warn!(%error, file = FILE, "queries at work are not noted");
                inside
            }
        }
    }
}

impl Evaluate for Noting {
    fn evaluate(&self, ctx: &Ctx, query: Query) -> BoxFuture<'static, Result<QueryResult, QueryError>> {
        let place = self.active.begin(&query.text, self.clock.now_ms() / 1000);
        let work = self.inside.evaluate(ctx, query);
        Box::pin(async move {
            let _place = place;
            work.await
        })
    }

    fn evaluate_all(&self, ctx: &Ctx, queries: Vec<Query>) -> BoxFuture<'static, Answers> {
        let now_s = self.clock.now_ms() / 1000;
        let places: Vec<_> = queries.iter().map(|query| self.active.begin(&query.text, now_s)).collect();
        let work = self.inside.evaluate_all(ctx, queries);
        Box::pin(async move {
            let _places = places;
            work.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_that_did_not_finish_are_found_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let (active, before) = ActiveQueries::open(dir.path(), 2).unwrap();
        assert_eq!(before, [""; 0]);
        let long = "\"ä\n".repeat(1000);
        let done = active.begin("done", 7).unwrap();
        let stays = active.begin(&long, 8).unwrap();
        assert!(active.begin("no place", 9).is_none());
        drop(done);
        let again = active.begin("up{job=\"x\"}", 10).unwrap();
        let text = std::fs::read(dir.path().join(FILE)).unwrap();
        assert_eq!((text[0], text.len()), (b'[', 2001));
        let texts: Vec<u8> = text.into_iter().filter(|byte| *byte != 0).collect();
        let json = format!("{}]", std::str::from_utf8(&texts).unwrap().trim_end_matches(','));
        assert_eq!(serde_json::from_str::<Vec<Value>>(&json).unwrap().len(), 2, "as Prometheus reads it");
        let (_, before) = ActiveQueries::open(dir.path(), 2).unwrap();
        assert_eq!(before[0], "up{job=\"x\"}");
        assert!(long.starts_with(&before[1]) && before[1].len() > 300, "{before:?}");
        drop((stays, again));
    }

    #[test]
    fn an_end_in_good_order_leaves_nothing_and_any_bytes_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (active, _) = ActiveQueries::open(dir.path(), 3).unwrap();
        for _ in 0..10 {
            drop(active.begin("up", 1).unwrap());
        }
        assert_eq!(ActiveQueries::open(dir.path(), 3).unwrap().1, [""; 0]);
        let mut torn = [b"[".to_vec(), entry("a", 1).unwrap()].concat();
        torn.resize(1 + PLACE_BYTES, 0);
        torn.extend(b"{\"que\0\xff\xfe,\0");
        for (bytes, found) in [(&torn[..], 1), (b"", 0), (b"[", 0), (b"\0[,]", 0)] {
            std::fs::write(dir.path().join(FILE), bytes).unwrap();
            assert_eq!(ActiveQueries::open(dir.path(), 3).unwrap().1.len(), found, "{bytes:?}");
        }
    }
}
