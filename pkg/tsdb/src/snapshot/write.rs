//! Writes a snapshot.

use std::fs::File;
use std::path::{Path, PathBuf};

use wal::record::{ExemplarRow, put_exemplars};
use wal::{Options, Position, Writer};

use super::format::{EXEMPLARS, OpenChunk, put_series, put_tombstones};
use super::{Error, UNFINISHED, name, remove_all_but};

/// Bytes of records that are written at a time.
const BATCH_BYTES: usize = 1 << 20;
/// Exemplars in one record.
const EXEMPLARS_MAX: usize = 10_000;

/// Writes all series, then deleted intervals, then exemplars. Without [`Self::finish`] nothing remains that a start reads.
pub struct SnapshotWriter {
    data: PathBuf,
    unfinished: PathBuf,
    position: Position,
    writer: Writer,
    bytes: Vec<u8>,
    /// Where each record of `bytes` ends.
    ends: Vec<usize>,
    finished: bool,
}

impl SnapshotWriter {
    /// Begins the snapshot of the head in the data directory `data` as it is when the log ends at `position`.
    ///
    /// # Errors
    /// [`Error`] if the directory cannot be made.
    pub fn create(data: &Path, position: Position, options: Options) -> Result<Self, Error> {
        let unfinished = data.join(name(position) + UNFINISHED);
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(Error::io("remove", &unfinished))?;
        }
        let (writer, _) = Writer::open(&unfinished, options)?;
        let (data, bytes, ends) = (data.to_owned(), Vec::new(), Vec::new());
        Ok(Self { data, unfinished, position, writer, bytes, ends, finished: false })
    }

    /// Writes a series.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn series<'l>(
        &mut self,
        series_ref: u64,
        labels: impl Iterator<Item = (&'l str, &'l str)> + Clone,
        open: Option<&OpenChunk>,
    ) -> Result<(), Error> {
        put_series(&mut self.bytes, series_ref, labels, open);
        self.end_record()
    }

    /// Writes deleted intervals of series: reference, first and last deleted ms. To be called once, behind all series.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn tombstones(&mut self, rows: impl IntoIterator<Item = (u64, i64, i64)>) -> Result<(), Error> {
        put_tombstones(&mut self.bytes, rows);
        self.end_record()
    }

    /// Writes exemplars, behind all else.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn exemplars<'l, L>(&mut self, rows: impl IntoIterator<Item = ExemplarRow<L>>) -> Result<(), Error>
    where
        L: Iterator<Item = (&'l str, &'l str)> + Clone,
    {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            self.bytes.push(EXEMPLARS);
            put_exemplars(&mut self.bytes, rows.by_ref().take(EXEMPLARS_MAX));
            self.end_record()?;
        }
        Ok(())
    }

    /// Makes the snapshot durable and the one that a start reads; removes older ones.
    ///
    /// # Errors
    /// [`Error`]: there is no such snapshot then.
    pub fn finish(mut self) -> Result<(), Error> {
        self.flush()?;
        self.writer.sync()?;
        let to = self.data.join(name(self.position));
        let publish = || {
            File::open(&self.unfinished)?.sync_all()?;
            if to.exists() {
                std::fs::remove_dir_all(&to)?;
            }
            std::fs::rename(&self.unfinished, &to)?;
            File::open(&self.data)?.sync_all()
        };
        publish().map_err(Error::io("rename", &self.unfinished))?;
        self.finished = true;
        remove_all_but(&self.data, Some(self.position)).map_err(Error::io("remove older snapshots in", &self.data))
    }

    fn end_record(&mut self) -> Result<(), Error> {
        self.ends.push(self.bytes.len());
        if self.bytes.len() >= BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut begin = 0;
        let records: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|end| self.bytes.get(std::mem::replace(&mut begin, *end)..*end).unwrap_or_default())
            .collect();
        self.writer.log(&records)?;
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // A start passes it over, should it stay.
            _ = std::fs::remove_dir_all(&self.unfinished);
        }
    }
}
