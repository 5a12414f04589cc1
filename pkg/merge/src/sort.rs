//! Series of an input whose order is not that of the output: sorted in runs on the disk, then merged while reading.

use std::path::{Path, PathBuf};

use block::series::{RawEntry, entry_len, parse_raw, put_entry};
use encoding::put_uvarint;

use crate::entries::Entry;
use crate::error::{Error, Result};
use crate::local::{LocalFile, LocalWriter, Window};
use crate::symbols::uvarint;

/// What is known of the sorted runs of one input. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sorted {
    file: LocalFile,
    /// Where runs end.
    ends: Vec<u64>,
}

/// Takes entries in any order.
pub(crate) struct Sorter {
    out: LocalWriter,
    path: PathBuf,
    memory: u64,
    held: Vec<Entry>,
    held_bytes: u64,
    ends: Vec<u64>,
    scratch: Vec<u8>,
    body: Vec<u8>,
}

impl Sorter {
    /// Writes to `path`; holds about `memory` bytes.
    pub(crate) fn create(path: &Path, memory: u64) -> Result<Self> {
        Ok(Self {
            out: LocalWriter::create(path)?,
            path: path.to_owned(),
            memory,
            held: Vec::new(),
            held_bytes: 0,
            ends: Vec::new(),
            scratch: Vec::new(),
            body: Vec::new(),
        })
    }

    pub(crate) fn push(&mut self, entry: Entry) -> Result<()> {
        self.held_bytes += (entry.labels.len() * 8 + entry.chunks.len() * 24 + 80) as u64;
        self.held.push(entry);
        if self.held_bytes >= self.memory { self.write_run() } else { Ok(()) }
    }

    fn write_run(&mut self) -> Result<()> {
        self.held_bytes = 0;
        self.held.sort_unstable_by(|a, b| a.labels.cmp(&b.labels).then(a.id.cmp(&b.id)));
        for entry in self.held.drain(..) {
            self.scratch.clear();
            put_uvarint(&mut self.scratch, entry.id);
            let raw = RawEntry { labels: entry.labels, chunks: entry.chunks };
            put_entry(&mut self.scratch, &mut self.body, &raw);
            self.out.put(&self.scratch)?;
        }
        self.ends.push(self.out.len());
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<Sorted> {
        if !self.held.is_empty() {
            self.write_run()?;
        }
        self.out.flush()?;
        Ok(Sorted { file: LocalFile::open(&self.path)?, ends: self.ends })
    }
}

impl Sorted {
    pub(crate) fn entries(&self) -> Result<SortedEntries> {
        let step = (4 << 20) / self.ends.len().max(1);
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let runs = starts.zip(&self.ends).map(|(at, end)| Run {
            window: self.file.window(step.clamp(4 << 10, 256 << 10)),
            at,
            end: *end,
            head: Entry::default(),
            valid: false,
        });
        let mut runs: Vec<Run> = runs.collect();
        for run in &mut runs {
            run.advance()?;
        }
        Ok(SortedEntries { runs, taken: 0 })
    }
}

/// A sorted run of series on the disk.
struct Run {
    window: Window,
    at: u64,
    end: u64,
    head: Entry,
    valid: bool,
}

impl Run {
    fn advance(&mut self) -> Result<()> {
        self.valid = self.at < self.end;
        if !self.valid {
            return Ok(());
        }
        let path = self.window.file().path().to_owned();
        let corrupt = |what: String| Error::corrupt(&path, what);
        let bytes = self.window.get(self.at, 20)?;
        let (id, head) = uvarint(bytes).ok_or_else(|| corrupt("no series id".to_owned()))?;
        let len = entry_len(&bytes[head..]).filter(|len| self.at + head as u64 + len <= self.end);
        let len = len.ok_or_else(|| corrupt("no series entry".to_owned()))? as usize;
        let bytes = self.window.get(self.at, head + len)?;
        let mut raw =
            RawEntry { labels: std::mem::take(&mut self.head.labels), chunks: std::mem::take(&mut self.head.chunks) };
        parse_raw("series", self.at, &bytes[head..], &mut raw).map_err(|e| corrupt(e.to_string()))?;
        self.head = Entry { labels: raw.labels, chunks: raw.chunks, id, labels_out_of_order: false };
        self.at += (head + len) as u64;
        Ok(())
    }
}

/// The sorted series, merged from all runs.
pub(crate) struct SortedEntries {
    runs: Vec<Run>,
    taken: u64,
}

impl SortedEntries {
    pub(crate) fn next(&mut self, out: &mut Entry) -> Result<bool> {
        let heads = self.runs.iter_mut().filter(|run| run.valid);
        let least = heads.min_by(|a, b| a.head.labels.cmp(&b.head.labels).then(a.head.id.cmp(&b.head.id)));
        self.taken += 1;
        let Some(run) = least else { return Ok(false) };
        std::mem::swap(out, &mut run.head);
        run.advance()?;
        Ok(true)
    }

    /// How many came before the one read last.
    pub(crate) fn position(&self) -> u64 {
        self.taken.saturating_sub(1)
    }

    pub(crate) fn seek(&mut self, position: u64) -> Result<()> {
        let mut skipped = Entry::default();
        while self.taken < position && self.next(&mut skipped)? {}
        self.taken = position;
        Ok(())
    }
}
