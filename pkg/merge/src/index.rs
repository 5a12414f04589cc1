//! The output's index, streamed into the bucket from the spools: symbols, series, postings, table.

use std::path::Path;

use block::series::{RawEntry, entry_len, parse_labels, parse_raw, put_entry};
use block::toc::INDEX_MAGIC;
use block::{BlockId, Toc};
use encoding::{put_string, put_uvarint};
use objstore::Bucket;

use crate::bits::Rank;
use crate::error::{Error, Result};
use crate::local::{LocalFile, LocalWriter};
use crate::object::{ObjectWriter, Parts, Uploaded};
use crate::postings::{PostingsSink, PostingsSorter};
use crate::symbols::{SymbolReader, SymbolTable};
use crate::wait::Wait;

/// What an index is made of.
pub(crate) struct IndexParts<'a> {
    pub(crate) block: BlockId,
    /// Series entries in order, with numbers of the joint table.
    pub(crate) spools: &'a [LocalFile],
    pub(crate) series: u64,
    pub(crate) symbols: &'a SymbolTable,
    /// The symbols that occur, and their numbers in the index.
    pub(crate) used: &'a Rank,
}

/// Facts of the index that go into `meta.json`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct IndexWritten {
    pub(crate) uploaded: Uploaded,
    /// Bytes of the largest series entry.
    pub(crate) series_max_bytes: u64,
}

/// Writes and uploads an index. `dir` takes what does not fit `memory` bytes.
pub(crate) fn write(
    bucket: &Bucket,
    wait: &Wait,
    parts: Parts,
    index: &IndexParts<'_>,
    dir: &Path,
    memory: u64,
) -> Result<IndexWritten> {
    let out = ObjectWriter::create(bucket, wait, &format!("{}/index", index.block), parts)?;
    let mut writer = Writer { index, out, series_max_bytes: 0 };
    match writer.write_all(wait, dir, memory) {
        Ok(()) => Ok(IndexWritten { uploaded: writer.out.finish()?, series_max_bytes: writer.series_max_bytes }),
        Err(error) => {
            writer.out.abort();
            Err(error)
        }
    }
}

struct Writer<'a> {
    index: &'a IndexParts<'a>,
    out: ObjectWriter,
    series_max_bytes: u64,
}

fn too_large(what: &str, bytes: u64) -> Error {
    Error::Refused(format!("{what} of {bytes} bytes exceeds 4 GiB: split the output"))
}

impl Writer<'_> {
    fn write_all(&mut self, wait: &Wait, dir: &Path, memory: u64) -> Result<()> {
        self.out.put(&INDEX_MAGIC.to_be_bytes())?;
        self.out.put(&[2])?;
        let mut toc = Toc { symbols: self.out.at(), ..Toc::default() };
        self.write_symbols()?;
        toc.series = self.out.at();
        let ids_path = dir.join("ids");
        let mut sorter = PostingsSorter::new(dir, memory);
        let ids = self.write_series(wait, &ids_path, &mut sorter)?;
        toc.label_indices = self.out.at();
        self.out.pad(4)?;
        toc.postings = self.out.at();
        let table_path = dir.join("table");
        let mut table = self.write_postings(&ids, sorter, &table_path)?;
        toc.postings_offset_table = self.out.at();
        toc.label_offset_table = self.out.at();
        self.write_table(&mut table)?;
        self.out.put(&toc.to_bytes())?;
        for path in [ids_path, table_path] {
            std::fs::remove_file(&path).map_err(Error::local("remove", &path))?;
        }
        Ok(())
    }

    fn write_symbols(&mut self) -> Result<()> {
        let used = self.index.used;
        let mut len = 4;
        if used.is_identity() {
            len += self.index.symbols.bytes();
        } else {
            let mut scratch = Vec::new();
            self.index.symbols.each(|number, text| {
                if used.contains(number) {
                    scratch.clear();
                    put_uvarint(&mut scratch, text.len() as u64);
                    len += (scratch.len() + text.len()) as u64;
                }
                Ok(())
            })?;
        }
        let len = u32::try_from(len).map_err(|_| too_large("symbol table", len))?;
        self.out.begin(len)?;
        self.out.put_checked(&used.len().to_be_bytes())?;
        let (out, mut scratch) = (&mut self.out, Vec::new());
        self.index.symbols.each(|number, text| {
            if used.contains(number) {
                scratch.clear();
                put_string(&mut scratch, text);
                out.put_checked(&scratch)?;
            }
            Ok(())
        })?;
        self.out.end()
    }

    /// Writes the series; their ids go to a file, their label pairs to `sorter`.
    fn write_series(&mut self, wait: &Wait, ids: &Path, sorter: &mut PostingsSorter) -> Result<LocalFile> {
        let mut ids = LocalWriter::create(ids)?;
        let (mut raw, mut entry, mut body) = (RawEntry::default(), Vec::new(), Vec::new());
        let used = self.index.used;
        for spool in self.index.spools {
            let mut window = spool.window(256 << 10);
            let (mut at, mut n) = (0, 0u64);
            while at < spool.len() {
                if n.is_multiple_of(1024) {
                    wait.check()?;
                }
                n += 1;
                let len = entry_len(window.get(at, 10)?).filter(|len| at + len <= spool.len());
                let len = len.ok_or_else(|| Error::corrupt(spool.path(), format!("offset {at}: no series entry")))?;
                let bytes = window.get(at, len as usize)?;
                let parsed = match used.is_identity() {
                    true => parse_labels("spool", at, bytes, &mut raw.labels),
                    false => parse_raw("spool", at, bytes, &mut raw),
                };
                parsed.map_err(|e| Error::corrupt(spool.path(), e.to_string()))?;
                at += len;
                self.out.pad(16)?;
                let id = self.out.at() / 16;
                let id = u32::try_from(id).map_err(|_| Error::Refused("index exceeds 64 GiB".to_owned()))?;
                ids.put(&id.to_be_bytes())?;
                sorter.push(id, raw.labels.iter().map(|(name, value)| (*name, *value)))?;
                if used.is_identity() {
                    self.series_max_bytes = self.series_max_bytes.max(len);
                    self.out.put(&bytes[..len as usize])?;
                    continue;
                }
                for (name, value) in &mut raw.labels {
                    (*name, *value) = (used.of(*name), used.of(*value));
                }
                entry.clear();
                put_entry(&mut entry, &mut body, &raw);
                self.series_max_bytes = self.series_max_bytes.max(entry.len() as u64);
                self.out.put(&entry)?;
            }
        }
        ids.finish()
    }

    /// Writes all lists; the rows of the table, all of one length prefix, go to a file.
    fn write_postings(&mut self, ids: &LocalFile, sorter: PostingsSorter, table: &Path) -> Result<Rows> {
        let mut lists = Lists {
            out: &mut self.out,
            rows: LocalWriter::create(table)?,
            count: 0,
            names: self.index.symbols.reader(),
            values: self.index.symbols.reader(),
            row: Vec::new(),
            name: None,
        };
        // All series go under the empty pair.
        lists.begin_list("", "", self.index.series)?;
        let (mut window, mut at) = (ids.window(256 << 10), 0);
        while at < ids.len() {
            let bytes = window.get(at, 4)?;
            lists.out.put_checked(bytes)?;
            at += bytes.len() as u64;
        }
        lists.out.end()?;
        sorter.finish(&mut lists)?;
        Ok(Rows { count: lists.count, file: lists.rows.finish()? })
    }

    fn write_table(&mut self, rows: &mut Rows) -> Result<()> {
        let len = 4 + rows.file.len();
        self.out.begin(u32::try_from(len).map_err(|_| too_large("postings offset table", len))?)?;
        self.out.put_checked(&rows.count.to_be_bytes())?;
        let (mut window, mut at) = (rows.file.window(256 << 10), 0);
        while at < rows.file.len() {
            let bytes = window.get(at, 1)?;
            self.out.put_checked(bytes)?;
            at += bytes.len() as u64;
        }
        self.out.end()
    }
}

/// Rows of the postings offset table.
struct Rows {
    count: u32,
    file: LocalFile,
}

/// Writes lists as they come.
struct Lists<'a> {
    out: &'a mut ObjectWriter,
    rows: LocalWriter,
    count: u32,
    names: SymbolReader,
    values: SymbolReader,
    row: Vec<u8>,
    name: Option<(u32, String)>,
}

impl Lists<'_> {
    fn begin_list(&mut self, name: &str, value: &str, count: u64) -> Result<()> {
        let Some(len) = u32::try_from(count * 4 + 4).ok() else {
            return Err(Error::Refused(format!("{count} postings exceed one list: split the output")));
        };
        self.out.pad(4)?;
        self.row.clear();
        self.row.push(2);
        put_string(&mut self.row, name);
        put_string(&mut self.row, value);
        put_uvarint(&mut self.row, self.out.at());
        self.rows.put(&self.row)?;
        self.count = self.count.checked_add(1).ok_or_else(|| Error::Refused("too many label pairs".to_owned()))?;
        self.out.begin(len)?;
        self.out.put_checked(&(count as u32).to_be_bytes())
    }
}

impl PostingsSink for Lists<'_> {
    fn begin(&mut self, name: u32, value: u32, count: u64) -> Result<()> {
        let name = match self.name.take() {
            Some(known) if known.0 == name => known,
            _ => (name, self.names.text(name)?.to_owned()),
        };
        let value = self.values.text(value)?.to_owned();
        self.begin_list(&name.1, &value, count)?;
        self.name = Some(name);
        Ok(())
    }

    fn ids(&mut self, ids: &[u8]) -> Result<()> {
        self.out.put_checked(ids)
    }

    fn end(&mut self) -> Result<()> {
        self.out.end()
    }
}
