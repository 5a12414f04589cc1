//! Writing an index (version 2).
//!
//! Symbols come first in the file, but are known last. So entries go to a spool file with provisional symbol numbers,
//! and are copied over once the symbols are sorted. Memory holds the symbols, one number per series, 16 bytes per label
//! pair, and the postings of as many label names at a time as the budget allows.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encoding::{Cursor, put_string, put_uvarint};
use labels::Labels;

use crate::series::{RawEntry, parse_raw, put_entry};
use crate::toc::{INDEX_MAGIC, Toc};
use crate::{ChunkMeta, Error, Result, map_file, postings};

/// Collects series, then writes the index file.
#[derive(Debug)]
pub struct IndexWriter {
    spool: BufWriter<File>,
    spool_path: PathBuf,
    numbers: HashMap<Arc<str>, u32>,
    series: u64,
    last: Option<Labels>,
    entry: Vec<u8>,
    body: Vec<u8>,
    raw: RawEntry,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSummary {
    /// Series in the index.
    pub series: u64,
    /// Bytes of the largest series entry.
    pub series_max_bytes: u64,
    /// Bytes of the whole index.
    pub size_bytes: u64,
}

impl IndexWriter {
    /// Begins with a spool file at `spool_path`, which is removed at the end.
    ///
    /// # Errors
    /// [`Error::Io`] if the operating system refuses.
    pub fn create(spool_path: &Path) -> Result<Self> {
        let file = File::create(spool_path).map_err(Error::io("create", spool_path))?;
        Ok(Self {
            spool: BufWriter::with_capacity(1 << 20, file),
            spool_path: spool_path.to_owned(),
            numbers: HashMap::new(),
            series: 0,
            last: None,
            entry: Vec::new(),
            body: Vec::new(),
            raw: RawEntry::default(),
        })
    }

    /// Adds a series. Series come in strictly ascending label order, chunks by time without overlap.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the order is broken, [`Error::Io`].
    pub fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| last >= labels) {
            return Err(Error::Invalid(format!("series {labels} does not come after {:?}", self.last)));
        }
        if let Some(c) = chunks.iter().find(|c| c.min_time > c.max_time) {
            return Err(Error::Invalid(format!("series {labels}: chunk from {} to {}", c.min_time, c.max_time)));
        }
        if let Some(p) = chunks.windows(2).find(|p| p[1].min_time <= p[0].max_time) {
            let (end, start) = (p[0].max_time, p[1].min_time);
            return Err(Error::Invalid(format!("series {labels}: chunk at {start} overlaps one that ends at {end}")));
        }
        self.raw.labels.clear();
        for (name, value) in labels.iter() {
            let pair = (self.number(name)?, self.number(value)?);
            self.raw.labels.push(pair);
        }
        self.raw.chunks.clear();
        self.raw.chunks.extend_from_slice(chunks);
        self.entry.clear();
        put_entry(&mut self.entry, &mut self.body, &self.raw);
        self.spool.write_all(&self.entry).map_err(Error::io("write", &self.spool_path))?;
        self.series += 1;
        self.last = Some(labels.clone());
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<u32> {
        if let Some(number) = self.numbers.get(text) {
            return Ok(*number);
        }
        let number = u32::try_from(self.numbers.len()).map_err(|_| Error::Invalid("too many symbols".to_owned()))?;
        self.numbers.insert(text.into(), number);
        Ok(number)
    }

    /// Writes the index to `path` and to disk. `postings_in_memory` bounds how many postings are held at a time, unless
    /// one label name alone has more.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] when the format's limits are exceeded.
    pub fn finish(mut self, path: &Path, postings_in_memory: usize) -> Result<IndexSummary> {
        self.spool.flush().map_err(Error::io("write", &self.spool_path))?;
        let spool = map_file(&self.spool_path)?;
        let mut symbols: Vec<(Arc<str>, u32)> = std::mem::take(&mut self.numbers).into_iter().collect();
        symbols.sort_unstable();
        let mut finals = vec![0u32; symbols.len()];
        for (number, (_, provisional)) in symbols.iter().enumerate() {
            finals[*provisional as usize] = number as u32;
        }
        let spool_name = self.spool_path.display().to_string();
        let entries = Spool { file: &spool_name, bytes: &spool, finals: &finals };
        let mut out = Out::create(path)?;
        out.put(&INDEX_MAGIC.to_be_bytes())?;
        out.put(&[2])?;
        let mut toc = Toc { symbols: out.at, ..Toc::default() };
        write_symbols(&mut out, &symbols)?;
        toc.series = out.at;
        let (ids, counts, series_max_bytes) = write_series(&mut out, &entries)?;
        toc.label_indices = out.at;
        out.pad(4)?;
        toc.postings = out.at;
        let mut table = Vec::new();
        let all = out.put_postings(&ids)?;
        write_postings(&mut out, &entries, &ids, &counts, postings_in_memory, &mut table)?;
        toc.postings_offset_table = out.at;
        toc.label_offset_table = out.at;
        write_table(&mut out, &symbols, all, &table)?;
        out.put(&toc.to_bytes())?;
        let size_bytes = out.finish()?;
        drop(spool);
        std::fs::remove_file(&self.spool_path).map_err(Error::io("remove", &self.spool_path))?;
        Ok(IndexSummary { series: self.series, series_max_bytes, size_bytes })
    }
}

/// The entries spooled, with final symbol numbers.
struct Spool<'a> {
    file: &'a str,
    bytes: &'a [u8],
    finals: &'a [u32],
}

impl Spool<'_> {
    fn each(&self, mut sink: impl FnMut(&RawEntry) -> Result<()>) -> Result<()> {
        let mut raw = RawEntry::default();
        let mut at = 0;
        while at < self.bytes.len() {
            let rest = &self.bytes[at..];
            parse_raw(self.file, at as u64, rest, &mut raw)?;
            at += crate::series::entry_len(rest).unwrap_or(1) as usize;
            for (name, value) in &mut raw.labels {
                for number in [name, value] {
                    let known = self.finals.get(*number as usize);
                    *number = *known.ok_or_else(|| Error::corrupt(self.file, at as u64, "symbol unknown"))?;
                }
            }
            sink(&raw)?;
        }
        Ok(())
    }
}

/// A file with its position and the CRC of the section being written.
struct Out<'a> {
    file: BufWriter<File>,
    path: &'a Path,
    at: u64,
    crc: u32,
    scratch: Vec<u8>,
}

impl<'a> Out<'a> {
    fn create(path: &'a Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::io("create", path))?;
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), path, at: 0, crc: 0, scratch: Vec::new() })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::io("write", self.path))?;
        self.crc = encoding::crc32c_append(self.crc, bytes);
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn pad(&mut self, to: u64) -> Result<()> {
        let len = (to - self.at % to) % to;
        self.put(&[0; 16][..len as usize])
    }

    /// Begins a section whose body will have `len` bytes.
    fn begin(&mut self, what: &str, len: u64) -> Result<()> {
        let len = u32::try_from(len).map_err(|_| Error::Invalid(format!("{what} of {len} bytes exceeds 4 GiB")))?;
        self.put(&len.to_be_bytes())?;
        self.crc = 0;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let crc = self.crc;
        self.put(&crc.to_be_bytes())
    }

    fn put_postings(&mut self, ids: &[u32]) -> Result<u64> {
        if ids.len() > (u32::MAX as usize - 8) / 4 {
            return Err(Error::Invalid(format!("{} postings exceed one list", ids.len())));
        }
        self.pad(4)?;
        let at = self.at;
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        postings::encode(ids, &mut bytes);
        self.put(&bytes)?;
        self.scratch = bytes;
        Ok(at)
    }

    fn finish(mut self) -> Result<u64> {
        self.file.flush().map_err(Error::io("write", self.path))?;
        self.file.get_ref().sync_all().map_err(Error::io("sync", self.path))?;
        Ok(self.at)
    }
}

fn uvarint_len(value: u64) -> u64 {
    u64::from((64 - (value | 1).leading_zeros()).div_ceil(7))
}

fn text_len(text: &str) -> u64 {
    uvarint_len(text.len() as u64) + text.len() as u64
}

fn write_symbols(out: &mut Out<'_>, symbols: &[(Arc<str>, u32)]) -> Result<()> {
    out.begin("symbol table", 4 + symbols.iter().map(|(text, _)| text_len(text)).sum::<u64>())?;
    out.put(&(symbols.len() as u32).to_be_bytes())?;
    let mut bytes = Vec::new();
    for (text, _) in symbols {
        bytes.clear();
        put_string(&mut bytes, text);
        out.put(&bytes)?;
    }
    out.end()
}

/// Returns the ids, how many postings each name has, and the largest entry.
fn write_series(out: &mut Out<'_>, entries: &Spool<'_>) -> Result<(Vec<u32>, BTreeMap<u32, usize>, u64)> {
    let (mut ids, mut counts, mut largest) = (Vec::new(), BTreeMap::new(), 0);
    let (mut entry, mut body) = (Vec::new(), Vec::new());
    entries.each(|raw| {
        out.pad(16)?;
        let id = u32::try_from(out.at / 16).map_err(|_| Error::Invalid("index exceeds 64 GiB".to_owned()))?;
        ids.push(id);
        for (name, _) in &raw.labels {
            *counts.entry(*name).or_insert(0) += 1;
        }
        entry.clear();
        put_entry(&mut entry, &mut body, raw);
        largest = largest.max(entry.len() as u64);
        out.put(&entry)
    })?;
    Ok((ids, counts, largest))
}

fn write_postings(
    out: &mut Out<'_>,
    entries: &Spool<'_>,
    ids: &[u32],
    counts: &BTreeMap<u32, usize>,
    postings_in_memory: usize,
    table: &mut Vec<(u32, u32, u64)>,
) -> Result<()> {
    let mut names = counts.iter().peekable();
    while names.peek().is_some() {
        let mut batch: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        let mut held = 0;
        while let Some((name, count)) = names.next_if(|(_, c)| batch.is_empty() || held + **c <= postings_in_memory) {
            held += count;
            batch.insert(*name, Vec::with_capacity(*count));
        }
        let mut ids = ids.iter();
        entries.each(|raw| {
            let id = ids.next().copied().unwrap_or_default();
            for (name, value) in &raw.labels {
                if let Some(pairs) = batch.get_mut(name) {
                    pairs.push((*value, id));
                }
            }
            Ok(())
        })?;
        let mut list = Vec::new();
        for (name, mut pairs) in batch {
            pairs.sort_unstable();
            for group in pairs.chunk_by(|a, b| a.0 == b.0) {
                list.clear();
                list.extend(group.iter().map(|(_, id)| *id));
                table.push((name, group[0].0, out.put_postings(&list)?));
            }
        }
    }
    Ok(())
}

fn write_table(out: &mut Out<'_>, symbols: &[(Arc<str>, u32)], all: u64, table: &[(u32, u32, u64)]) -> Result<()> {
    let text = |number: u32| &*symbols[number as usize].0;
    let rows = || {
        let pairs = table.iter().map(|(name, value, at)| (text(*name), text(*value), *at));
        std::iter::once(("", "", all)).chain(pairs)
    };
    let len = rows().map(|(name, value, at)| 1 + text_len(name) + text_len(value) + uvarint_len(at)).sum::<u64>();
    out.begin("postings offset table", 4 + len)?;
    let count = u32::try_from(rows().count()).map_err(|_| Error::Invalid("too many label pairs".to_owned()))?;
    out.put(&count.to_be_bytes())?;
    let mut bytes = Vec::new();
    for (name, value, at) in rows() {
        bytes.clear();
        bytes.push(2);
        put_string(&mut bytes, name);
        put_string(&mut bytes, value);
        put_uvarint(&mut bytes, at);
        out.put(&bytes)?;
    }
    debug_assert!(Cursor::new("", 0, &bytes).uvarint().is_ok());
    out.end()
}
