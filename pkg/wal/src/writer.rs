//! Appends records to a log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint;
use crate::compression::{Compression, Packer, RECORD_BYTES_MAX};
use crate::disk::{Disk, LocalDisk, SegmentFile};
use crate::page::{HEADER_BYTES, PAGE_BYTES, Part, Position, put_fragment};
use crate::segments::{self, Segment, segment_name};
use crate::tail::{self, Torn};

/// How a log is written.
#[derive(Debug, Clone)]
pub struct Options {
    /// A segment is closed before it gets longer than this. A batch of records that is longer gets a segment of its own.
    pub segment_bytes: u64,
    /// How records are compressed.
    pub compression: Compression,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 128 << 20, compression: Compression::Snappy, disk: Arc::new(LocalDisk) }
    }
}

/// Why records could not be logged. None of the batch's records is in the log then, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refuses: try again with the next batch. Once it works, the log goes on by itself.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// A record is longer than [`RECORD_BYTES_MAX`]: split it.
    #[error("a record of {bytes} bytes; a log takes up to {RECORD_BYTES_MAX}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// Whether the disk is full, or a quota used up.
    pub fn is_out_of_space(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Appends records to the segments of a directory, which no other process writes to.
///
/// A batch of records is written as a whole into one segment, mostly with one call of the operating system. Where that
/// fails, the file is cut back to the end of the batch before; if even that fails, the next batch begins a new segment.
/// So a full disk costs the batches that it refused, and nothing else (prometheus#3283).
pub struct Writer {
    dir: PathBuf,
    options: Options,
    segment: u64,
    /// The segment that is written; `None` if a new one is to be begun.
    file: Option<Arc<dyn SegmentFile>>,
    /// Bytes of whole batches in the segment.
    len: u64,
    /// The file may be longer than `len`.
    overhangs: bool,
    /// Segments that were closed and not synced yet.
    closed: Vec<Arc<dyn SegmentFile>>,
    packer: Packer,
    batch: Vec<u8>,
}

impl Writer {
    /// Begins a new segment behind the last one and the last checkpoint in `dir`, which is created if it is not there. What a crash left behind
    /// the last whole record is cut off before, and told.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory or the segment cannot be made.
    pub fn open(dir: &Path, options: Options) -> Result<(Self, Option<Torn>), Error> {
        std::fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
        let list = || Ok((segments::list(dir)?.pop(), checkpoint::last(dir)?.last));
        let (last, checkpoint) = list().map_err(Error::io("list", dir))?;
        // A checkpoint hides all segments up to its number.
        let replaced = checkpoint.map_or(0, |checkpoint| checkpoint.segment + 1);
        let torn = last.as_ref().and_then(|last| cut_tail(&options, last));
        let mut writer = Self {
            dir: dir.to_owned(),
            options,
            segment: last.map_or(0, |l| l.number + 1).max(replaced),
            file: None,
            len: 0,
            overhangs: false,
            closed: Vec::new(),
            packer: Packer::new(),
            batch: Vec::new(),
        };
        writer.create()?;
        Ok((writer, torn))
    }

    /// Where the next record will begin, or shortly behind.
    pub fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.len }
    }

    /// The directory of the log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends a batch of records. They are in the operating system's cache then, and survive the end of the process.
    ///
    /// # Errors
    /// [`Error`]: none of the records is in the log, and none will be.
    pub fn log(&mut self, records: &[impl AsRef<[u8]>]) -> Result<(), Error> {
        let Some(most) = most_bytes(records)? else { return Ok(()) };
        self.recover()?;
        if self.len > 0 && self.len + most > self.options.segment_bytes {
            self.cut()?;
        }
        self.encode(records);
        let written = self.write();
        if written.is_ok() {
            self.len += self.batch.len() as u64;
        } else {
            self.overhangs = true;
            // If this fails too, it is tried again before the next batch.
            _ = self.recover();
        }
        const KEPT_BYTES: usize = 4 << 20;
        if self.batch.capacity() > KEPT_BYTES {
            self.batch = Vec::new();
        }
        written
    }

    /// Closes the segment and begins the next one.
    ///
    /// # Errors
    /// [`Error::Io`]: the log goes on in the next segment as soon as it can be made.
    pub fn cut(&mut self) -> Result<(), Error> {
        self.close();
        self.create()
    }

    /// Makes all that was logged durable.
    ///
    /// # Errors
    /// As [`Unsynced::sync`]; what is logged next goes to a new segment.
    pub fn sync(&mut self) -> Result<(), Error> {
        let synced = self.unsynced().sync();
        if synced.is_err() {
            self.close();
        }
        synced
    }

    /// What is not durable yet, so that another thread can make it so while this one logs. If that fails, call
    /// [`Self::cut`]: the operating system may have dropped what it could not write.
    pub fn unsynced(&mut self) -> Unsynced {
        let mut files = std::mem::take(&mut self.closed);
        files.extend(self.file.clone());
        Unsynced { dir: self.dir.clone(), files }
    }

    /// Removes the segments whose numbers are below `below`; returns how many. The segment that is written stays.
    ///
    /// # Errors
    /// [`Error::Io`] if one cannot be removed; the younger ones stay then.
    pub fn truncate(&mut self, below: u64) -> Result<usize, Error> {
        segments::remove_below(&self.dir, below.min(self.segment)).map_err(Error::io("remove segments in", &self.dir))
    }

    /// Makes sure that there is a segment and that it ends with the last whole batch.
    fn recover(&mut self) -> Result<(), Error> {
        let refused = |file: &mut Arc<dyn SegmentFile>| self.overhangs && file.set_len(self.len).is_err();
        // What it has too much is the end of that segment then, where readers expect it.
        self.closed.extend(self.file.take_if(refused));
        self.overhangs = false;
        if self.file.is_none() { self.create() } else { Ok(()) }
    }

    fn close(&mut self) {
        let Some(file) = self.file.take() else { return };
        // Prometheus ends each segment with a whole page. Readers do not need it.
        if !self.overhangs {
            _ = file.set_len(self.len.next_multiple_of(PAGE_BYTES as u64));
        }
        self.overhangs = false;
        self.closed.push(file);
    }

    /// Begins the next segment, or the first.
    fn create(&mut self) -> Result<(), Error> {
        let mut number = self.segment;
        loop {
            let path = self.dir.join(segment_name(number));
            match self.options.disk.create(&path) {
                Ok(file) => {
                    (self.file, self.segment, self.len) = (Some(Arc::from(file)), number, 0);
                    return Ok(());
                }
                // It is that of the segment before, or was made by an attempt that failed later.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(e) => return Err(Error::io("create", &path)(e)),
            }
        }
    }

    /// Makes the fragments of `records`, beginning at the end of the segment.
    fn encode(&mut self, records: &[impl AsRef<[u8]>]) {
        self.batch.clear();
        let mut in_page = (self.len % PAGE_BYTES as u64) as usize;
        for record in records {
            let (compression, mut rest) = self.packer.pack(self.options.compression, record.as_ref());
            let mut first = true;
            loop {
                if PAGE_BYTES - in_page < HEADER_BYTES {
                    self.batch.resize(self.batch.len() + PAGE_BYTES - in_page, 0);
                    in_page = 0;
                }
                let (data, behind) = rest.split_at(rest.len().min(PAGE_BYTES - in_page - HEADER_BYTES));
                let part = match (first, behind.is_empty()) {
                    (true, true) => Part::Full,
                    (true, false) => Part::First,
                    (false, false) => Part::Middle,
                    (false, true) => Part::Last,
                };
                put_fragment(&mut self.batch, part, compression, data);
                in_page = (in_page + HEADER_BYTES + data.len()) % PAGE_BYTES;
                (first, rest) = (false, behind);
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    fn write(&self) -> Result<(), Error> {
        let path = || self.dir.join(segment_name(self.segment));
        let Some(file) = &self.file else {
            return Err(Error::io("write", &path())(io::ErrorKind::NotFound.into()));
        };
        let mut done = 0;
        while done < self.batch.len() {
            match file.write_at(&self.batch[done..], self.len + done as u64) {
                Ok(0) => return Err(Error::io("write", &path())(io::ErrorKind::WriteZero.into())),
                Ok(written) => done += written,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io("write", &path())(e)),
            }
        }
        Ok(())
    }
}

/// More bytes than the records take in a segment; `None` if there are no records.
fn most_bytes(records: &[impl AsRef<[u8]>]) -> Result<Option<u64>, Error> {
    let mut most = 0;
    for record in records {
        let bytes = record.as_ref().len();
        if bytes > RECORD_BYTES_MAX {
            return Err(Error::TooLarge { bytes });
        }
        most += (bytes + (bytes / (PAGE_BYTES - HEADER_BYTES) + 3) * HEADER_BYTES) as u64;
    }
    Ok((!records.is_empty()).then_some(most))
}

fn cut_tail(options: &Options, last: &Segment) -> Option<Torn> {
    tail::cut(&*options.disk, last).unwrap_or_else(|e| {
        let position = Position { segment: last.number, offset: 0 };
        let why = format!("its end cannot be checked: {e}");
        Some(Torn { position, bytes: 0, why, is_damage: true })
    })
}

/// Segments that were written and are not durable yet.
pub struct Unsynced {
    dir: PathBuf,
    files: Vec<Arc<dyn SegmentFile>>,
}

impl Unsynced {
    /// Makes them durable.
    ///
    /// # Errors
    /// [`Error::Io`]: the operating system may have dropped what it could not write.
    pub fn sync(self) -> Result<(), Error> {
        for file in &self.files {
            file.sync().map_err(Error::io("sync segments in", &self.dir))?;
        }
        Ok(())
    }
}
