//! One selector's series, evaluated on several threads. Who asks for them reads them, hands them out in batches, and takes what
//! becomes of these in the same order: an answer does not depend on the number of threads.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use storage::{Reservation, Series};

use crate::each::Each;
use crate::eval::{Cx, Findings, Result, Shared};
use crate::fetch::Fetch;
use crate::series::StepSeries;
use crate::{QueryError, StepColumn};

/// Series of one batch at most.
const BATCH_SERIES: usize = 64;
/// Bytes of chunks in one batch, and of the columns that it becomes, about; never more than what one thread does alone.
const BATCH_BYTES: usize = 256 << 10;

/// Series on their way to a thread.
struct Batch {
    number: u64,
    series: Vec<Series>,
    /// Emptied ones to use again.
    columns: Vec<StepColumn>,
    held: Reservation,
}

/// What became of a batch.
struct Done {
    made: Result<VecDeque<StepSeries>>,
    /// Of another thread than the asker's.
    found: Option<Findings>,
    /// Of the columns.
    held: Option<Reservation>,
}

#[derive(Default)]
struct Desk {
    waiting: VecDeque<Batch>,
    done: BTreeMap<u64, Done>,
    is_closed: bool,
    /// Threads that were asked to help and are not gone.
    present: usize,
}

/// Where batches are handed over.
#[derive(Default)]
struct Table {
    desk: Mutex<Desk>,
    /// There is a batch to take, or the table is closed.
    more: Condvar,
    /// A batch is done.
    ready: Condvar,
    /// A thread is gone.
    left: Condvar,
}

/// One of the threads that help, until it is gone.
struct Present(Arc<Table>);

impl Present {
    fn new(table: &Arc<Table>) -> Self {
        table.desk.lock().present += 1;
        Self(table.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.desk.lock().present -= 1;
        self.0.left.notify_all();
    }
}

/// Closes the table, and waits for all to leave: what a query took is given back when it ends.
struct Open(Arc<Table>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut desk = self.0.desk.lock();
        desk.is_closed = true;
        desk.waiting.clear();
        self.0.more.notify_all();
        while desk.present > 0 {
            self.0.left.wait(&mut desk);
        }
        desk.done.clear();
    }
}

/// The asker's side.
pub(crate) struct Crew {
    table: Open,
    /// Batches that may be handed out before the first of them is taken back.
    ahead: u64,
    /// The number of the next batch to hand out, and of the next to take back.
    handed: u64,
    taken: u64,
    /// What was taken back last, and the memory of it.
    made: VecDeque<StepSeries>,
    _held: Option<Reservation>,
    is_read: bool,
    batch_bytes: usize,
}

impl Crew {
    /// Hands work like `each` to threads that are free; `None` if there is none.
    pub fn start<E: Each>(each: &E, cx: &Cx) -> Option<Self> {
        let hands = cx.hands.clone()?;
        let table = Open(Arc::default());
        let lent = hands.lend(|| {
            let (present, each, shared) = (Present::new(&table.0), each.fork(cx), cx.share());
            Box::new(move || present.0.serve(each, shared))
        });
        let ahead = 2 * lent as u64 + 1;
        (lent > 0).then(|| Self {
            table,
            ahead,
            handed: 0,
            taken: 0,
            made: VecDeque::new(),
            _held: None,
            is_read: false,
            batch_bytes: BATCH_BYTES.min(cx.options.alone_bytes_max).max(1),
        })
    }

    /// The next series that comes of those of `fetch`.
    pub fn next<E: Each>(&mut self, fetch: &mut Fetch, each: &mut E, cx: &mut Cx) -> Result<Option<StepSeries>> {
        loop {
            if let Some(series) = self.made.pop_front() {
                return Ok(Some(series));
            }
            if let Some(done) = self.table.0.take(self.taken) {
                self.taken += 1;
                if let Some(found) = done.found {
                    cx.absorb(found);
                }
                self.made = done.made?;
                self._held = done.held;
                continue;
            }
            let in_flight = self.handed - self.taken;
            if !self.is_read && in_flight < self.ahead {
                let room = self.batch_bytes.saturating_add(each.steps().saturating_mul(16));
                match cx.ctx.budget.reserve_spare(room as u64) {
                    Some(held) => {
                        self.hand_out(held, fetch, each, cx)?;
                        continue;
                    }
                    // Memory is scarce: one after the other.
                    None if in_flight == 0 => {
                        let Some(series) = fetch.next(cx)? else { return Ok(None) };
                        match each.make(series, cx)? {
                            Some(made) => return Ok(Some(made)),
                            None => continue,
                        }
                    }
                    None => {}
                }
            }
            if in_flight == 0 {
                return Ok(None);
            }
            match self.table.0.take_waiting() {
                Some(batch) => {
                    let number = batch.number;
                    let done = work(batch, each, cx);
                    self.table.0.done(number, done);
                }
                None => self.table.0.wait_for(self.taken),
            }
        }
    }

    /// Reads a batch and hands it out.
    fn hand_out<E: Each>(&mut self, held: Reservation, fetch: &mut Fetch, each: &E, cx: &mut Cx) -> Result<()> {
        let column_bytes = each.steps().saturating_mul(16);
        let (mut series, mut bytes) = (Vec::new(), 0);
        while series.len() < BATCH_SERIES && bytes < self.batch_bytes {
            let Some(one) = fetch.next(cx)? else {
                self.is_read = true;
                break;
            };
            bytes += one.size_bytes() + column_bytes;
            series.push(one);
        }
        if !series.is_empty() {
            let columns = cx.spare_columns(series.len());
            self.table.0.put(Batch { number: self.handed, series, columns, held });
            self.handed += 1;
        }
        Ok(())
    }
}

/// What becomes of a batch.
fn work<E: Each>(batch: Batch, each: &mut E, cx: &mut Cx) -> Done {
    let Batch { series, columns, held, .. } = batch;
    columns.into_iter().for_each(|column| cx.recycle(column));
    let (mut made, held) = (VecDeque::with_capacity(series.len()), Some(held));
    for series in series {
        match each.make(series, cx) {
            Ok(Some(one)) => made.push_back(one),
            Ok(None) => {}
            Err(e) => return Done { made: Err(e), found: None, held },
        }
    }
    Done { made: Ok(made), found: None, held }
}

fn ended_early() -> QueryError {
    QueryError::Execution("unexpected error: the evaluation ended early".to_owned())
}

impl Table {
    fn put(&self, batch: Batch) {
        self.desk.lock().waiting.push_back(batch);
        self.more.notify_one();
    }

    fn take_waiting(&self) -> Option<Batch> {
        self.desk.lock().waiting.pop_front()
    }

    fn take(&self, number: u64) -> Option<Done> {
        self.desk.lock().done.remove(&number)
    }

    fn done(&self, number: u64, done: Done) {
        self.desk.lock().done.insert(number, done);
        self.ready.notify_one();
    }

    fn wait_for(&self, number: u64) {
        let mut desk = self.desk.lock();
        while !desk.done.contains_key(&number) {
            self.ready.wait(&mut desk);
        }
    }

    /// The next batch to work on; `None` when no more come.
    fn wait_for_work(&self) -> Option<Batch> {
        let mut desk = self.desk.lock();
        loop {
            if let Some(batch) = desk.waiting.pop_front() {
                return Some(batch);
            }
            if desk.is_closed {
                return None;
            }
            self.more.wait(&mut desk);
        }
    }

    /// Works on batches until no more come.
    fn serve<E: Each>(&self, mut each: E, shared: Shared) {
        let mut cx = shared.cx();
        while let Some(batch) = self.wait_for_work() {
            let number = batch.number;
            let working = AssertUnwindSafe(|| match &mut cx {
                Ok(cx) => {
                    let done = work(batch, &mut each, cx);
                    Ok(Done { found: Some(cx.take_findings()), ..done })
                }
                Err(e) => Err(e.clone()),
            });
            let done = catch_unwind(working).unwrap_or_else(|_| Err(ended_early()));
            let failed = |e| Done { made: Err(e), found: None, held: None };
            self.done(number, done.unwrap_or_else(failed));
        }
    }
}
