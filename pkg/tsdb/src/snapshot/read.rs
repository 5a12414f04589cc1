//! Finds and reads a snapshot.

use std::io;
use std::path::{Path, PathBuf};

use encoding::Cursor;
use wal::record::ExemplarReader;
use wal::{Entry, Position, Reader};

use super::format::{EXEMPLARS, SERIES, SeriesState, TOMBSTONES, read_series, read_tombstones};
use super::{Error, directories, parse_name};

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its directory.
    pub dir: PathBuf,
    /// Up to where it has what the log says.
    pub position: Position,
}

/// The newest snapshot in the data directory `data`.
///
/// # Errors
/// The directory cannot be listed.
pub fn last(data: &Path) -> io::Result<Option<Found>> {
    let found =
        directories(data)?.into_iter().filter_map(|(name, dir)| Some(Found { position: parse_name(&name)?, dir }));
    Ok(found.max_by_key(|f| f.position))
}

/// Reads all of a snapshot and keeps nothing, so that it is known to be whole before any of it is used.
///
/// # Errors
/// [`Error::Corrupt`] if it is not, [`Error::Io`] if it cannot be read.
pub fn verify(found: &Found) -> Result<(), Error> {
    let mut reader = SnapshotReader::open(found)?;
    reader.each(&mut |record| match record {
        Record::Exemplars(mut rows) => {
            while rows.read()?.is_some() {}
            Ok(())
        }
        Record::Series(_) | Record::Tombstones(_) => Ok(()),
    })
}

/// What a snapshot holds, record by record.
pub enum Record<'a> {
    /// One series.
    Series(SeriesState<'a>),
    /// Deleted intervals: series reference, first and last deleted ms.
    Tombstones(Vec<(u64, i64, i64)>),
    /// Exemplars.
    Exemplars(ExemplarReader<'a>),
}

/// Reads a snapshot in bounded memory.
pub struct SnapshotReader {
    dir: PathBuf,
    reader: Reader,
}

impl SnapshotReader {
    /// At the begin.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be listed.
    pub fn open(found: &Found) -> Result<Self, Error> {
        let reader = Reader::open(&found.dir, 0).map_err(Error::io("list", &found.dir))?;
        Ok(Self { dir: found.dir.clone(), reader })
    }

    /// Gives all records to `visit`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] at the first place that is not what was written, or where `visit` says so.
    pub fn each(&mut self, visit: &mut dyn FnMut(Record<'_>) -> Result<(), encoding::Corrupt>) -> Result<(), Error> {
        let mut tombstones = false;
        while let Some(entry) = self.reader.read() {
            let why = match entry {
                Entry::Corrupt(corruption) => Some(corruption.to_string()),
                Entry::Record(record) => {
                    tombstones |= record.first() == Some(&TOMBSTONES);
                    read_record(record, visit).err().map(|e| e.to_string())
                }
            };
            if let Some(why) = why {
                return Err(Error::Corrupt { dir: self.dir.clone(), why });
            }
        }
        // They stand behind all series, also if there are none: where they are missing, the end is.
        if !tombstones {
            return Err(Error::Corrupt { dir: self.dir.clone(), why: "its end is missing".to_owned() });
        }
        Ok(())
    }
}

fn read_record(
    record: &[u8],
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), encoding::Corrupt>,
) -> Result<(), encoding::Corrupt> {
    let mut cursor = Cursor::new("record", 0, record);
    let kind = cursor.bytes(1)?.first().copied().unwrap_or_default();
    match kind {
        SERIES => {
            let mut pairs = Vec::new();
            let (series_ref, open) = read_series(&mut cursor, &mut pairs)?;
            visit(Record::Series(SeriesState { series_ref, labels: &pairs, open }))
        }
        TOMBSTONES => visit(Record::Tombstones(read_tombstones(&mut cursor)?)),
        EXEMPLARS => visit(Record::Exemplars(ExemplarReader::of_body(cursor)?)),
        other => Err(cursor.corrupt(format!("record of type {other} is not known"))),
    }
}
