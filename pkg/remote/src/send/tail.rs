//! Reads the log from a place on, piece by piece.

use std::path::Path;
use std::sync::Arc;

use wal::{Entry, Follower, Position};

use super::decode::{Decoder, Wanted};
use super::metrics::QueueMetrics;
use super::rows::Row;
use super::series::SeriesTable;

/// Rows that are read at a time, or the first record if that has more.
const ROWS_READ: usize = 16_000;
/// Bytes of records without rows that are read at a time.
const BYTES_READ: usize = 32 << 20;

/// The rows of one record.
#[derive(Debug)]
pub(super) struct Piece {
    /// Where the record before ends.
    pub begin: Position,
    pub end: Position,
    pub rows: Vec<Row>,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub pieces: Vec<Piece>,
    /// Where the last record ends, which may have no rows.
    pub end: Position,
    /// There may be more.
    pub more: bool,
}

/// Follows the log for one queue.
#[derive(Debug)]
pub(super) struct Tail {
    follower: Follower,
    decoder: Decoder,
    table: Arc<SeriesTable>,
    wanted: Wanted,
    metrics: QueueMetrics,
    name: String,
}

impl Tail {
    /// Reads `dir` from `position` on.
    pub fn new(
        dir: &Path,
        position: Position,
        wanted: Wanted,
        table: Arc<SeriesTable>,
        metrics: QueueMetrics,
        name: String,
    ) -> Self {
        let follower = Follower::new(dir, position);
        Self { follower, decoder: Decoder::default(), table, wanted, metrics, name }
    }

    /// Reads what there is up to `until`, but not too much at a time. Blocks on the disk.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn read(&mut self, until: Position) -> std::io::Result<Read> {
        let mut read = Read { end: self.follower.position(), ..Read::default() };
        let (mut rows_read, mut bytes_read, mut begin) = (0, 0, read.end);
        let (decoder, table, wanted) = (&mut self.decoder, &self.table, self.wanted);
        let (metrics, name) = (&self.metrics, &self.name);
        let mut visit = |entry: Entry<'_>, end: Position| {
            match entry {
                Entry::Record(record) => {
                    metrics.records.inc();
                    let mut rows = Vec::new();
                    bytes_read += record.len();
                    match decoder.decode(record, end.segment, table, wanted, &mut rows) {
                        Ok(_) => {}
                        Err(error) => {
                            metrics.corruptions.inc();
                            tracing::error!(remote_name = name, %error, at = %end, "a record of the log cannot be sent");
                        }
                    }
                    if !rows.is_empty() {
                        rows_read += rows.len();
                        read.pieces.push(Piece { begin, end, rows });
                    }
                }
                Entry::Corrupt(corruption) => {
                    let is_cut = corruption.why.contains("were removed before they were read");
                    if is_cut {
                        metrics.log_cut.inc()
                    } else {
                        metrics.corruptions.inc()
                    };
                    tracing::error!(
                        remote_name = name, %corruption,
                        "samples are not sent: the write-ahead log lacks them; keep more of it, or send faster"
                    );
                }
            }
            begin = end;
            read.more = rows_read >= ROWS_READ || bytes_read >= BYTES_READ;
            !read.more
        };
        self.follower.read(Some(until), &mut visit)?;
        read.end = self.follower.position();
        self.metrics.segment.set(read.end.segment as f64);
        Ok(read)
    }
}
