//! The symbols of all inputs as one sorted table, and from each input's references to its numbers.
//!
//! The merge compares series by these numbers, never by text: both tables are sorted, so the order is the same.

use std::path::Path;
use std::sync::Arc;

use block::{BlockId, Toc};
use encoding::put_uvarint;

use crate::error::{Error, Result};
use crate::local::{LocalFile, LocalWriter, Window};

/// Every how many symbols a position is kept in memory.
const STEP: u32 = 32;
/// The longest label name or value, bytes.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// Numbers in a page of a spilled map.
const PAGE: usize = 1024;
/// Pages kept of a spilled map, by each reader.
const PAGES: usize = 256;

/// Sorted texts, numbered from 0, in a file.
#[derive(Debug, Clone)]
pub(crate) struct SymbolTable {
    file: LocalFile,
    /// Where the symbols 0, 32, 64, … lie.
    sparse: Arc<Vec<u64>>,
    count: u32,
    /// Bytes of all texts, with their lengths.
    bytes: u64,
}

impl SymbolTable {
    pub(crate) fn len(&self) -> u32 {
        self.count
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn reader(&self) -> SymbolReader {
        SymbolReader { table: self.clone(), window: self.file.window(16 << 10), scratch: String::new() }
    }

    /// Hands all texts to `sink`, ascending.
    pub(crate) fn each(&self, mut sink: impl FnMut(u32, &str) -> Result<()>) -> Result<()> {
        let mut window = self.file.window(256 << 10);
        let mut at = self.sparse.first().copied().unwrap_or(0);
        for number in 0..self.count {
            let (text, next) = text_at(&mut window, at)?;
            sink(number, text)?;
            at = next;
        }
        Ok(())
    }
}

/// Reads one text and gives where the next one begins.
fn text_at(window: &mut Window, at: u64) -> Result<(&str, u64)> {
    let corrupt = |window: &Window| Error::corrupt(window.file().path(), format!("offset {at}: no symbol"));
    let (len, head) = match uvarint(window.get(at, 10)?) {
        Some((len, head)) if len <= TEXT_BYTES_MAX => (len, head),
        _ => return Err(corrupt(window)),
    };
    window.hold(at, head + len as usize)?;
    let bytes = window.held(at).get(head..head + len as usize);
    let text = bytes.and_then(|b| std::str::from_utf8(b).ok()).ok_or_else(|| corrupt(window))?;
    Ok((text, at + head as u64 + len))
}

/// The number at the start of `bytes` and how long it is.
pub(crate) fn uvarint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Looks up texts; keeps the part of the table that it read last.
#[derive(Debug)]
pub(crate) struct SymbolReader {
    table: SymbolTable,
    window: Window,
    scratch: String,
}

impl SymbolReader {
    pub(crate) fn text(&mut self, number: u32) -> Result<&str> {
        if number >= self.table.count {
            return Err(Error::corrupt(self.table.file.path(), format!("symbol {number} of {}", self.table.count)));
        }
        let mut at = self.table.sparse[(number / STEP) as usize];
        for _ in 0..number % STEP {
            at = text_at(&mut self.window, at)?.1;
        }
        let (text, _) = text_at(&mut self.window, at)?;
        self.scratch.clear();
        self.scratch.push_str(text);
        Ok(&self.scratch)
    }

    /// The number of `text`, if it is there.
    pub(crate) fn find(&mut self, text: &str) -> Result<Option<u32>> {
        let (mut low, mut high) = (0, self.table.count);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.text(middle)?.cmp(text) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

/// From an input's symbol references to numbers of the whole table.
#[derive(Debug, Clone)]
pub(crate) enum NumberMap {
    /// One input: its references are the numbers.
    Identity(u32),
    /// By ordinal.
    Memory(Arc<Vec<u32>>),
    /// By ordinal, `be32` each, where memory is short.
    Disk(LocalFile),
    /// By offset, ascending: version 1.
    ByOffset(Arc<Vec<(u32, u32)>>),
}

impl NumberMap {
    pub(crate) fn reader(&self) -> Numbers {
        let pages = match self {
            Self::Disk(_) => vec![(u32::MAX, Vec::new()); PAGES],
            _ => Vec::new(),
        };
        Numbers { map: self.clone(), pages }
    }
}

/// A reader of a [`NumberMap`].
#[derive(Debug)]
pub(crate) struct Numbers {
    map: NumberMap,
    /// Which page, and its numbers; found by the page's number modulo the count.
    pages: Vec<(u32, Vec<u32>)>,
}

impl Numbers {
    /// All numbers by ordinal, where they are in memory so.
    #[inline]
    pub(crate) fn all(&self) -> Option<&[u32]> {
        match &self.map {
            NumberMap::Memory(numbers) => Some(numbers),
            _ => None,
        }
    }

    /// `None` when the input has no such symbol.
    #[inline]
    pub(crate) fn get(&mut self, reference: u32) -> Result<Option<u32>> {
        match &self.map {
            NumberMap::Identity(count) => Ok((reference < *count).then_some(reference)),
            NumberMap::Memory(numbers) => Ok(numbers.get(reference as usize).copied()),
            NumberMap::ByOffset(pairs) => {
                Ok(pairs.binary_search_by_key(&reference, |p| p.0).ok().map(|at| pairs[at].1))
            }
            NumberMap::Disk(file) => {
                let (page, at) = (reference / PAGE as u32, reference as usize % PAGE);
                let slot = &mut self.pages[page as usize % PAGES];
                if slot.0 != page {
                    let start = u64::from(page) * PAGE as u64 * 4;
                    let len = file.len().saturating_sub(start).min(PAGE as u64 * 4) as usize;
                    let mut bytes = vec![0; len];
                    file.read_exact_at(start, &mut bytes)?;
                    slot.0 = page;
                    slot.1.clear();
                    slot.1.extend(bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
                }
                Ok(slot.1.get(at).copied())
            }
        }
    }
}

/// One input's symbol section.
#[derive(Debug)]
pub(crate) struct SymbolSection {
    pub(crate) block: BlockId,
    pub(crate) index: LocalFile,
    pub(crate) version: u8,
    pub(crate) toc: Toc,
}

impl SymbolSection {
    fn corrupt(&self, at: u64, what: &str) -> Error {
        Error::input(self.block, "index", format!("offset {at}: symbol table: {what}"))
    }

    /// Checks the section's bounds and checksum; gives its count of symbols.
    fn check(&self) -> Result<u32> {
        let start = self.toc.symbols;
        let mut head = [0; 8];
        if self.toc.series < start + 12 {
            return Err(self.corrupt(start, "cut short"));
        }
        self.index.read_exact_at(start, &mut head)?;
        let len = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        if len < 4 || start + 8 + len > self.toc.series {
            return Err(self.corrupt(start, "does not fit its place"));
        }
        let (mut at, end, mut crc) = (start + 4, start + 4 + len, 0);
        let mut buffer = vec![0; 256 << 10];
        while at < end {
            let part = &mut buffer[..(end - at).min(256 << 10) as usize];
            self.index.read_exact_at(at, part)?;
            crc = encoding::crc32c_append(crc, part);
            at += part.len() as u64;
        }
        let mut stored = [0; 4];
        self.index.read_exact_at(end, &mut stored)?;
        if crc != u32::from_be_bytes(stored) {
            return Err(self.corrupt(start, "checksum differs"));
        }
        Ok(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
    }

    fn reader(&self, count: u32) -> SectionReader<'_> {
        SectionReader {
            section: self,
            window: self.index.window(64 << 10),
            at: self.toc.symbols + 8,
            left: count,
            text: Vec::new(),
            before: Vec::new(),
            valid: false,
            text_at: 0,
        }
    }
}

/// Goes through a section's texts in their order.
struct SectionReader<'a> {
    section: &'a SymbolSection,
    window: Window,
    at: u64,
    left: u32,
    /// The text it stands at, if `valid`.
    text: Vec<u8>,
    before: Vec<u8>,
    valid: bool,
    text_at: u64,
}

impl SectionReader<'_> {
    fn advance(&mut self) -> Result<()> {
        std::mem::swap(&mut self.text, &mut self.before);
        let first = !self.valid;
        self.valid = self.left > 0;
        if !self.valid {
            return Ok(());
        }
        self.left -= 1;
        self.text_at = self.at;
        let end = self.section.toc.series;
        let (len, head) = uvarint(self.window.get(self.at, 10)?)
            .filter(|(len, head)| *len <= TEXT_BYTES_MAX && self.at + *head as u64 + len <= end)
            .ok_or_else(|| self.section.corrupt(self.at, "no text"))?;
        let bytes = self.window.get(self.at, head + len as usize)?;
        self.text.clear();
        self.text.extend_from_slice(&bytes[head..head + len as usize]);
        if std::str::from_utf8(&self.text).is_err() {
            return Err(self.section.corrupt(self.at, "text is not UTF-8"));
        }
        if self.section.version != 1 && !first && self.before >= self.text {
            return Err(self.section.corrupt(self.at, "texts do not ascend"));
        }
        self.at += head as u64 + len;
        Ok(())
    }
}

/// A symbol table while it is written.
struct TableWriter {
    out: LocalWriter,
    sparse: Vec<u64>,
    count: u32,
    scratch: Vec<u8>,
}

impl TableWriter {
    fn create(path: &Path) -> Result<Self> {
        Ok(Self { out: LocalWriter::create(path)?, sparse: Vec::new(), count: 0, scratch: Vec::new() })
    }

    fn push(&mut self, text: &[u8]) -> Result<u32> {
        let number = self.count;
        if number.is_multiple_of(STEP) {
            self.sparse.push(self.out.len());
        }
        // The top bit marks new symbols while relabelling.
        if number >= 1 << 31 {
            return Err(Error::Refused("more than 2^31 label names and values".to_owned()));
        }
        self.scratch.clear();
        put_uvarint(&mut self.scratch, text.len() as u64);
        self.out.put(&self.scratch)?;
        self.out.put(text)?;
        self.count += 1;
        Ok(number)
    }

    fn finish(self) -> Result<SymbolTable> {
        let bytes = self.out.len();
        let file = self.out.finish()?;
        Ok(SymbolTable { file, sparse: Arc::new(self.sparse), count: self.count, bytes })
    }
}

/// Joins the inputs' symbols. Maps of more than `memory` bytes in all go to files in `dir`.
pub(crate) fn join(sections: &[SymbolSection], dir: &Path, memory: u64) -> Result<(SymbolTable, Vec<NumberMap>)> {
    let counts = sections.iter().map(SymbolSection::check).collect::<Result<Vec<_>>>()?;
    if let ([section], [count]) = (sections, &counts[..])
        && section.version != 1
    {
        return Ok((single(section, *count)?, vec![NumberMap::Identity(*count)]));
    }
    let spill = counts.iter().map(|c| u64::from(*c) * 4).sum::<u64>() > memory;
    let mut sources = Vec::with_capacity(sections.len());
    for (n, (section, count)) in sections.iter().zip(&counts).enumerate() {
        sources.push(Source::open(n, section, *count, dir, spill)?);
    }
    let mut table = TableWriter::create(&dir.join("symbols"))?;
    let mut least = Vec::new();
    while let Some(text) = sources.iter().filter_map(Source::text).min() {
        least.clear();
        least.extend_from_slice(text);
        let number = table.push(&least)?;
        for source in &mut sources {
            while source.text() == Some(&least) {
                source.take(number)?;
            }
        }
    }
    let maps = sources.into_iter().map(Source::finish).collect::<Result<_>>()?;
    Ok((table.finish()?, maps))
}

/// One section is a table as it stands.
fn single(section: &SymbolSection, count: u32) -> Result<SymbolTable> {
    let mut reader = section.reader(count);
    let mut sparse = Vec::new();
    for number in 0..count {
        reader.advance()?;
        if number.is_multiple_of(STEP) {
            sparse.push(reader.text_at);
        }
    }
    let bytes = reader.at - (section.toc.symbols + 8);
    Ok(SymbolTable { file: section.index.clone(), sparse: Arc::new(sparse), count, bytes })
}

/// `table` with `more` (sorted, none of them in it); from old numbers to new, and the new texts' numbers.
pub(crate) fn extend(table: &SymbolTable, more: &[&str], path: &Path) -> Result<(SymbolTable, Vec<u32>, Vec<u32>)> {
    let mut out = TableWriter::create(path)?;
    let (mut old, mut new) = (Vec::with_capacity(table.len() as usize), Vec::with_capacity(more.len()));
    let mut more = more.iter().peekable();
    table.each(|_, text| {
        while let Some(next) = more.next_if(|next| **next < text) {
            new.push(out.push(next.as_bytes())?);
        }
        old.push(out.push(text.as_bytes())?);
        Ok(())
    })?;
    for next in more {
        new.push(out.push(next.as_bytes())?);
    }
    Ok((out.finish()?, old, new))
}

/// A section on its way into the joint table, with the map that comes of it.
enum Source<'a> {
    Ordered {
        reader: SectionReader<'a>,
        map: MapWriter,
    },
    /// Version 1: perhaps unsorted, known by offsets. Texts with their offsets, the smallest last.
    Sorted {
        texts: Vec<(Vec<u8>, u32)>,
        pairs: Vec<(u32, u32)>,
    },
}

enum MapWriter {
    Memory(Vec<u32>),
    Disk(LocalWriter),
}

impl<'a> Source<'a> {
    fn open(n: usize, section: &'a SymbolSection, count: u32, dir: &Path, spill: bool) -> Result<Self> {
        let mut reader = section.reader(count);
        if section.version == 1 {
            let mut texts = Vec::new();
            loop {
                reader.advance()?;
                if !reader.valid {
                    break;
                }
                let at = u32::try_from(reader.text_at).map_err(|_| section.corrupt(reader.text_at, "beyond 4 GiB"))?;
                texts.push((reader.text.clone(), at));
            }
            texts.sort_unstable_by(|a, b| b.cmp(a));
            return Ok(Self::Sorted { texts, pairs: Vec::new() });
        }
        let map = match spill {
            true => MapWriter::Disk(LocalWriter::create(&dir.join(format!("numbers.{n}")))?),
            false => MapWriter::Memory(Vec::with_capacity(count.min(1 << 20) as usize)),
        };
        reader.advance()?;
        Ok(Self::Ordered { reader, map })
    }

    fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Ordered { reader, .. } => reader.valid.then_some(&reader.text[..]),
            Self::Sorted { texts, .. } => texts.last().map(|(text, _)| &text[..]),
        }
    }

    fn take(&mut self, number: u32) -> Result<()> {
        match self {
            Self::Ordered { reader, map } => {
                match map {
                    MapWriter::Memory(numbers) => numbers.push(number),
                    MapWriter::Disk(out) => out.put(&number.to_be_bytes())?,
                }
                reader.advance()
            }
            Self::Sorted { texts, pairs } => {
                pairs.extend(texts.pop().map(|(_, at)| (at, number)));
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<NumberMap> {
        Ok(match self {
            Self::Ordered { map: MapWriter::Memory(numbers), .. } => NumberMap::Memory(Arc::new(numbers)),
            Self::Ordered { map: MapWriter::Disk(out), .. } => NumberMap::Disk(out.finish()?),
            Self::Sorted { mut pairs, .. } => {
                pairs.sort_unstable();
                NumberMap::ByOffset(Arc::new(pairs))
            }
        })
    }
}
