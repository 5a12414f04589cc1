//! Making a transaction durable and visible.

use std::sync::atomic::Ordering;

use storage::append::{Column, CommitError, Committed, Refusal, Refused, SeriesRef, Visible};

use super::append::Step;
use super::appender::Transaction;
use super::core::Core;
use super::encode::Row;
use super::isolation::Commit;
use super::judge::{Before, Judged, Verdict, judge};
use super::parts::Value;
use super::records::{put_late, put_transaction};
use super::rows::{Batch, Columns};
use super::seams::{JournalError, LogBatch};
use super::series::Series;

/// What a commit has done so far.
#[derive(Default)]
struct Done {
    committed: Committed,
    floats: u64,
    histograms: u64,
    late: [u64; 2],
    chunks: i64,
    stale: i64,
    heap_bytes: i64,
    /// Slots with a chunk that became full.
    full: Vec<u32>,
    /// Late samples, by the series' number in the log.
    late_rows: Vec<(u64, Row)>,
    /// Series that readers do not find yet.
    unindexed: Vec<SeriesRef>,
    newest_ms: i64,
    oldest_ms: i64,
}

pub(crate) async fn commit(transaction: Box<Transaction>) -> Result<Committed, CommitError> {
    let core = transaction.core.clone();
    transaction.ctx.check().map_err(|error| CommitError { error, visible: Visible::Nothing })?;
    let mut log = LogBatch::default();
    put_transaction(&core, &transaction, &mut log.wal);
    let in_flight = core.in_flight.begin();
    if !log.wal.is_empty() {
        core.journal.log(log).await.map_err(failed)?;
    }
    let (committed, late) = apply(&core, &transaction);
    drop(in_flight);
    if let Some(late) = late {
        // These samples are in the log already. What this log adds is that they are found after a restart.
        late.await.map_err(|e| failed(JournalError { nothing_written: false, ..e }))?;
    }
    Ok(committed)
}

fn failed(e: JournalError) -> CommitError {
    let visible = if e.nothing_written { Visible::Nothing } else { Visible::Unknown };
    CommitError { error: storage::Error::Unavailable(format!("write-ahead log: {}", e.message)), visible }
}

type Logged = futures::future::BoxFuture<'static, Result<(), JournalError>>;

/// Writes all rows into their series; readers see them when it returns.
fn apply(core: &Core, transaction: &Transaction) -> (Committed, Option<Logged>) {
    let commit = core.isolation.begin();
    let settled = core.isolation.settled();
    let mut done = Done { newest_ms: i64::MIN, oldest_ms: i64::MAX, ..Done::default() };
    for series in &transaction.unlogged {
        if let Some(mut series) = core.slab.find(*series) {
            series.logged = true;
        }
    }
    // Late samples are applied and logged in one order.
    let window_ms = transaction.bounds.window_ms;
    let late_log = (window_ms > 0).then(|| core.late.lock());
    for Batch { floats, histograms } in &transaction.batches {
        apply_floats(core, transaction, floats, (&commit, settled), &mut done);
        for (row, value) in histograms.values.iter().enumerate() {
            let value = Value::Histogram(value.clone());
            apply_row(core, transaction, (histograms, row), value, (&commit, settled), &mut done);
        }
    }
    let late = (!done.late_rows.is_empty()).then(|| {
        let mut log = LogBatch::default();
        put_late(&done.late_rows, &mut log.wbl);
        core.journal.log(log)
    });
    drop(late_log);
    core.add_to_index(&done.unindexed);
    core.apply_exemplars(&transaction.exemplars, &mut done.committed);
    core.apply_metadata(&transaction.metadata);
    core.finish(&mut done);
    drop(commit);
    (done.committed, late)
}

/// Most floats are newer than all that their series has, whose open chunk goes on with them: little is to be looked at.
fn apply_floats(
    core: &Core,
    transaction: &Transaction,
    rows: &Columns<f64>,
    (commit, settled): (&Commit, u64),
    done: &mut Done,
) {
    let has_starts = !rows.starts_ms.is_empty();
    let rules = core.rules();
    for (row, ((series, time_ms), value)) in rows.series.iter().zip(&rows.times_ms).zip(&rows.values).enumerate() {
        let is_plain = !has_starts && !model::is_stale(*value) && *time_ms >= transaction.bounds.floor_ms;
        let grown = core.slab.find(*series).filter(|_| is_plain).and_then(|mut series| {
            let is_newer = *time_ms > series.last_time && series.indexed && !series.stale;
            if !is_newer || core.replaying.load(Ordering::Acquire) {
                return None;
            }
            let grown = series.append_plain(rules, *time_ms, *value)?;
            series.wrote(commit.id, settled);
            Some(grown)
        });
        match grown {
            None => apply_row(core, transaction, (rows, row), Value::Float(*value), (commit, settled), done),
            Some(bytes) => {
                done.floats += 1;
                done.heap_bytes += bytes as i64;
                done.took(*time_ms);
            }
        }
    }
}

fn apply_row<T>(
    core: &Core,
    transaction: &Transaction,
    (rows, row): (&Columns<T>, usize),
    value: Value,
    (commit, settled): (&Commit, u64),
    done: &mut Done,
) {
    // What was inside the window when it was taken is not too old now.
    let before = Before { newest: None, taken_newest_ms: i64::MIN };
    let encodings = core.options.encodings();
    let (time_ms, start_ms) = (rows.times_ms[row], rows.start_ms(row));
    let verdict = match core.slab.find(rows.series[row]) {
        None => Err(Refusal::UnknownSeries),
        Some(mut series) => {
            let sample = Judged { time_ms, start_ms, value: &value };
            let verdict = judge(&transaction.bounds, &series, &before, sample, || None);
            verdict.and_then(|verdict| {
                let slot = rows.series[row].0 as u32;
                if !series.indexed {
                    done.unindexed.push(rows.series[row]);
                }
                let start_ms = if encodings.keep_start(&value) { start_ms } else { 0 };
                match verdict {
                    Verdict::Same => return Ok(Verdict::Same),
                    Verdict::InOrder => {
                        core.append(&mut series, slot, (time_ms, start_ms), &value, done)?;
                        series.wrote(commit.id, settled);
                    }
                    Verdict::Late => {
                        core.append_late(&mut series, slot, (time_ms, start_ms), &value, done);
                        series.wrote_late(time_ms, commit.id, settled);
                    }
                }
                Ok(verdict)
            })
        }
    };
    let histogram = matches!(value, Value::Histogram(_));
    match verdict {
        Ok(Verdict::Same) => return,
        Ok(Verdict::InOrder) if histogram => done.histograms += 1,
        Ok(Verdict::InOrder) => done.floats += 1,
        Ok(Verdict::Late) => done.late[usize::from(histogram)] += 1,
        Err(why) => {
            let number = rows.rows[row];
            done.committed.refused.push((number.column(), Refused { row: number.row(), why }));
            return;
        }
    }
    done.took(time_ms);
}

impl Done {
    fn took(&mut self, time_ms: i64) {
        self.committed.samples += 1;
        self.newest_ms = self.newest_ms.max(time_ms);
        self.oldest_ms = self.oldest_ms.min(time_ms);
    }
}

impl Core {
    fn append(
        &self,
        series: &mut Series,
        slot: u32,
        (time_ms, start_ms): (i64, i64),
        value: &Value,
        done: &mut Done,
    ) -> Result<(), Refusal> {
        if self.replaying.load(Ordering::Acquire) {
            series.begin_present();
        }
        let stale = series.stale;
        let bytes = series.heap_bytes();
        let step = match value {
            Value::Float(v) => series.append_float(self.rules(), (time_ms, start_ms), *v),
            Value::Histogram(h) => series.append_histogram(self.rules(), (time_ms, start_ms), h),
        };
        match step.map_err(|e| Refusal::InvalidHistogram(e.to_string()))? {
            Step::Grew => {}
            Step::Began => done.chunks += 1,
            Step::Cut => {
                done.chunks += 1;
                done.full.push(slot);
            }
        }
        done.heap_bytes += series.heap_bytes() as i64 - bytes as i64;
        done.stale += i64::from(series.stale) - i64::from(stale);
        Ok(())
    }

    fn append_late(
        &self,
        series: &mut Series,
        slot: u32,
        (time_ms, start_ms): (i64, i64),
        value: &Value,
        done: &mut Done,
    ) {
        let now_ms = self.clock.now_ms();
        let row = Row { time_ms, start_ms, value: value.clone() };
        done.late_rows.push((series.reference, row.clone()));
        let bytes = series.heap_bytes();
        let late = series.extra().out_of_order.get_or_insert_default();
        late.written_ms = now_ms;
        late.insert(row);
        if late.rows.len() >= self.options.out_of_order_samples_max {
            let before = late.full.len();
            // Valid samples are always encoded; others were refused.
            if late.seal(self.options.encodings()).is_ok() {
                done.chunks += late.full.len() as i64 - before as i64;
                done.full.push(slot);
            }
        }
        done.heap_bytes += series.heap_bytes() as i64 - bytes as i64;
    }

    fn finish(&self, done: &mut Done) {
        if done.newest_ms != i64::MIN {
            self.times.extend(done.oldest_ms, done.newest_ms);
        }
        self.metrics.appended[0].inc_by(done.floats);
        self.metrics.appended[1].inc_by(done.histograms);
        self.metrics.late[0].inc_by(done.late[0]);
        self.metrics.late[1].inc_by(done.late[1]);
        for (column, refused) in &done.committed.refused {
            let kind = if *column == Column::Histograms { "histogram" } else { "float" };
            self.count_refused(kind, std::slice::from_ref(refused));
        }
        self.metrics.chunks_created.inc_by(done.chunks.unsigned_abs());
        self.counts.chunks.fetch_add(done.chunks, Ordering::Relaxed);
        self.counts.stale.fetch_add(done.stale, Ordering::Relaxed);
        self.counts.heap_bytes.fetch_add(done.heap_bytes, Ordering::Relaxed);
        if !done.full.is_empty() {
            self.full.lock().append(&mut done.full);
        }
    }
}
