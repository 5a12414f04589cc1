//! The series entries of a shard on the disk, until the index is written from them.

use std::path::{Path, PathBuf};

use block::ChunkMeta;
use block::series::{RawEntry, put_entry};

use crate::bits::Bits;
use crate::entries::Pairs;
use crate::error::{Error, Result};
use crate::local::{LocalFile, LocalWriter};
use crate::symbols::{SymbolReader, SymbolTable};

/// The series written so far.
pub(crate) struct SeriesSpool {
    path: PathBuf,
    out: LocalWriter,
    /// Symbols that the series use.
    used: Bits,
    sizes: Option<IndexSizes>,
    raw: RawEntry,
    entry: Vec<u8>,
    body: Vec<u8>,
}

/// Estimates the parts of the index that are not in the spool, bytes.
struct IndexSizes {
    symbols: SymbolReader,
    bytes: u64,
}

impl SeriesSpool {
    /// Begins a spool, or goes on after its first `len` bytes, which hold `series` series; what is behind them is cut off.
    /// With `is_sized` the size of the index is estimated on the way.
    pub(crate) fn open(path: &Path, len: u64, series: u64, symbols: &SymbolTable, is_sized: bool) -> Result<Self> {
        let mut used = Bits::new(symbols.len());
        let out = match len {
            0 => LocalWriter::create(path)?,
            len => {
                read_used(path, len, series, &mut used)?;
                LocalWriter::resume(path, len)?
            }
        };
        Ok(Self {
            path: path.to_owned(),
            out,
            used,
            sizes: is_sized.then(|| IndexSizes { symbols: symbols.reader(), bytes: 0 }),
            raw: RawEntry::default(),
            entry: Vec::new(),
            body: Vec::new(),
        })
    }

    /// Bytes of the spool so far.
    pub(crate) fn len(&self) -> u64 {
        self.out.len()
    }

    /// About how large an index of `series` series would be by now, bytes.
    pub(crate) fn index_bytes(&self, series: u64) -> u64 {
        self.out.len() + 16 * series + self.sizes.as_ref().map_or(0, |s| s.bytes)
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }

    /// The symbols used, and the spool, complete.
    pub(crate) fn finish(mut self) -> Result<(Bits, LocalFile)> {
        self.out.flush()?;
        Ok((self.used, LocalFile::open(&self.path)?))
    }

    /// Where the chunks of the next series are put.
    pub(crate) fn chunks(&mut self) -> &mut Vec<ChunkMeta> {
        self.raw.chunks.clear();
        &mut self.raw.chunks
    }

    /// Writes the series `labels` with the chunks of [`Self::chunks`].
    pub(crate) fn write(&mut self, labels: &Pairs) -> Result<()> {
        self.raw.labels.clone_from(labels);
        for (name, value) in &self.raw.labels {
            for number in [*name, *value] {
                if self.used.insert(number)
                    && let Some(IndexSizes { symbols, bytes }) = &mut self.sizes
                {
                    // In the symbol table, in the postings offset table beside its name, and a list's head.
                    *bytes += 2 * symbols.text(number)?.len() as u64 + 48;
                }
            }
            if let Some(sizes) = &mut self.sizes {
                sizes.bytes += 4;
            }
        }
        self.entry.clear();
        put_entry(&mut self.entry, &mut self.body, &self.raw);
        self.out.put(&self.entry)
    }
}

/// Reads a spool that an earlier run left, to learn which symbols it uses.
fn read_used(spool: &Path, len: u64, series: u64, used: &mut Bits) -> Result<()> {
    let file = LocalFile::open(spool)?;
    if file.len() < len {
        return Err(Error::corrupt(spool, format!("{} bytes, {len} were written", file.len())));
    }
    let (mut window, mut at, mut raw, mut count) = (file.window(256 << 10), 0, RawEntry::default(), 0);
    while at < len {
        let entry = block::series::entry_len(window.get(at, 10)?).filter(|n| at + n <= len);
        let entry = entry.ok_or_else(|| Error::corrupt(spool, format!("offset {at}: no series entry")))?;
        let bytes = window.get(at, entry as usize)?;
        block::series::parse_raw("spool", at, bytes, &mut raw).map_err(|e| Error::corrupt(spool, e.to_string()))?;
        for (name, value) in &raw.labels {
            used.insert(*name);
            used.insert(*value);
        }
        at += entry;
        count += 1;
    }
    if count != series {
        return Err(Error::corrupt(spool, format!("{count} series, {series} were written")));
    }
    Ok(())
}
