//! Rows that wait for one sender, and how far it has come.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use wal::Position;

use super::rows::{At, Done, Row};

/// A queue of rows, in the order of the log.
#[derive(Debug)]
pub(super) struct Shard {
    state: Mutex<State>,
    /// Rows came, or what comes next is not to be waited for.
    pub filled: Notify,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    rows: VecDeque<Row>,
    /// The records of rows that are not done: where each begins and ends, and how many rows of it follow.
    records: VecDeque<Record>,
    /// Rows that are being sent, still in `records`.
    sending: usize,
    /// When the oldest row came.
    since: Option<Instant>,
    /// What comes next is not to be waited for.
    flushing: bool,
    done: Done,
}

#[derive(Debug)]
struct Record {
    begin: Position,
    end: Position,
    rows: usize,
}

impl Shard {
    /// `done` is how far its rows were sent before.
    pub fn new(capacity: usize, done: Done) -> Self {
        let state =
            State { rows: VecDeque::new(), records: VecDeque::new(), sending: 0, since: None, flushing: false, done };
        Self { state: Mutex::new(state), filled: Notify::new(), capacity: capacity.max(1) }
    }

    /// Adds rows of the record between two positions; false where there is no room for all: the others stay in `rows`.
    pub fn push(&self, rows: &mut impl ExactSizeIterator<Item = Row>, begin: Position, end: Position) -> bool {
        let mut state = self.state.lock();
        let count = rows.len().min(self.capacity.saturating_sub(state.rows.len()));
        if count > 0 {
            state.rows.extend(rows.by_ref().take(count));
            state.since.get_or_insert_with(Instant::now);
            match state.records.back_mut().filter(|record| record.end == end) {
                Some(record) => record.rows += count,
                None => state.records.push_back(Record { begin, end, rows: count }),
            }
        }
        rows.len() == 0
    }

    /// Tells the sender that there are rows, if there are enough for a request or these are the first ones.
    pub fn wake(&self) {
        self.filled.notify_one();
    }

    /// From now on rows are sent without waiting for more, or are waited for again.
    pub fn flush(&self, flushing: bool) {
        self.state.lock().flushing = flushing;
        self.filled.notify_one();
    }

    /// Up to `max` rows, if so many are there or the oldest one came before `deadline`'s length; else when to ask again.
    pub fn take(&self, max: usize, deadline: Duration) -> Result<Vec<Row>, Option<Instant>> {
        let mut state = self.state.lock();
        let Some(since) = state.since else { return Err(None) };
        let due = since + deadline;
        if state.rows.len() < max && !state.flushing && Instant::now() < due {
            return Err(Some(due));
        }
        let count = max.min(state.rows.len());
        let rows: Vec<Row> = state.rows.drain(..count).collect();
        state.sending = rows.len();
        state.since = if state.rows.is_empty() { None } else { Some(Instant::now()) };
        Ok(rows)
    }

    /// What was taken is sent, or given up.
    pub fn settle(&self, last_index: u32) {
        let mut state = self.state.lock();
        let mut left = std::mem::take(&mut state.sending);
        while left > 0 {
            let Some(record) = state.records.front_mut() else { break };
            let taken = left.min(record.rows);
            record.rows -= taken;
            left -= taken;
            let end = record.end;
            let whole = record.rows == 0;
            // Only of the last record a part is left.
            let index = if left == 0 { last_index.saturating_add(1) } else { u32::MAX };
            state.done = Done { end: At::from(end), index };
            if whole {
                state.records.pop_front();
            }
        }
    }

    /// How far it has come, and where reading must go on for what is left; `None` if nothing is left.
    pub fn progress(&self) -> (Done, Option<Position>) {
        let state = self.state.lock();
        (state.done, state.records.front().map(|record| record.begin))
    }

    /// Whether nothing waits and nothing is being sent.
    pub fn is_idle(&self) -> bool {
        self.state.lock().records.is_empty()
    }

    /// How many rows wait or are being sent.
    pub fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.rows.len() + state.sending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::rows::Value;

    fn at(offset: u64) -> Position {
        Position { segment: 0, offset }
    }

    fn row(index: u32) -> Row {
        Row { series: 1, time_ms: 0, start_ms: 0, value: Value::Float(0.0), index }
    }

    fn rows(indexes: std::ops::Range<u32>) -> std::vec::IntoIter<Row> {
        indexes.map(row).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn progress_is_that_of_the_oldest_row_that_is_left() {
        let shard = Shard::new(10, Done::all(at(0)));
        assert!(shard.push(&mut rows(0..2), at(0), at(10)) && shard.push(&mut rows(2..3), at(0), at(10)));
        assert!(shard.push(&mut rows(0..1), at(10), at(20)));
        assert_eq!(shard.progress(), (Done::all(at(0)), Some(at(0))));
        assert_eq!(shard.take(2, Duration::from_secs(9)).unwrap().len(), 2);
        assert_eq!(shard.progress(), (Done::all(at(0)), Some(at(0))));
        shard.settle(1);
        assert_eq!(shard.progress(), (Done { end: at(10).into(), index: 2 }, Some(at(0))));
        assert!(shard.take(9, Duration::from_secs(9)).is_err());
        shard.flush(true);
        assert_eq!(shard.take(9, Duration::from_secs(9)).unwrap().len(), 2);
        shard.settle(0);
        assert_eq!(shard.progress(), (Done { end: at(20).into(), index: 1 }, None));
        assert!(shard.is_idle());
    }

    #[test]
    fn rows_without_room_stay() {
        let shard = Shard::new(2, Done::all(at(0)));
        let mut three = rows(0..3);
        assert!(!shard.push(&mut three, at(0), at(10)) && !shard.push(&mut three, at(0), at(10)));
        assert_eq!((shard.waiting(), three.len()), (2, 1));
        let taken = shard.take(1, Duration::ZERO).unwrap();
        assert_eq!(taken.iter().map(|row| row.index).collect::<Vec<_>>(), [0]);
        assert!(shard.push(&mut three, at(0), at(10)) && shard.push(&mut three, at(0), at(10)));
        shard.settle(0);
        let taken = shard.take(9, Duration::ZERO).unwrap();
        assert_eq!(taken.iter().map(|row| row.index).collect::<Vec<_>>(), [1, 2]);
        shard.settle(2);
        assert_eq!(shard.progress(), (Done { end: at(10).into(), index: 3 }, None));
    }
}
