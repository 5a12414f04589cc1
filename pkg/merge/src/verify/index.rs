//! The index: symbols, series, postings, each section by itself and against the others.

use std::ops::Range;

use block::series::{RawEntry, entry_len, parse_raw};
use block::{BlockId, BlockMeta, Toc};
use objstore::Bucket;

use crate::error::Result;
use crate::input::{Files, read_toc, series_range};
use crate::verify::chunks::ChunkCheck;
use crate::verify::remote::Remote;
use crate::verify::report::BlockReport;
use crate::wait::Wait;

/// The longest label name or value, and the longest series entry, bytes.
const TEXT_BYTES_MAX: u64 = 64 << 20;
const ENTRY_BYTES_MAX: u64 = 256 << 20;
const INDEX: &str = "index";

/// Reports a corrupt input and ends the function.
macro_rules! or_noted {
    ($report:expr, $outcome:expr) => {
        match $outcome {
            Ok(value) => value,
            Err(error) => return $report.problem(error),
        }
    };
}

/// Verifies the index, and with `chunks` the chunks that it points to.
pub(super) fn verify(
    bucket: &Bucket,
    wait: &Wait,
    meta: &BlockMeta,
    files: &Files,
    chunks: bool,
    report: &mut BlockReport,
) -> Result<()> {
    let (version, toc) = or_noted!(report, wait.on(read_toc(bucket, meta.ulid, files.index_bytes)));
    let mut index = Index { bucket, wait, block: meta.ulid, size: files.index_bytes, version, toc };
    let symbols = or_noted!(report, index.symbols());
    let mut check = ChunkCheck::new(bucket, wait, meta, files, chunks);
    let sums = or_noted!(report, index.series(&symbols, series_range(&toc), &mut check, report));
    check.finish(report);
    let found = or_noted!(report, index.postings(report));
    if found.series != report.series || found.all != sums.all {
        report.note(INDEX, format!("the list of all series names {}, there are {}", found.series, report.series));
    } else if found.pairs != sums.pairs {
        report.note(INDEX, "postings and the labels of series disagree");
    }
    for (what, stated, found) in
        [("series", meta.stats.num_series, report.series), ("chunks", meta.stats.num_chunks, report.chunks)]
    {
        if stated != found {
            report.note(block::META_FILE, format!("{stated} {what}, the index has {found}"));
        }
    }
    Ok(())
}

struct Index<'a> {
    bucket: &'a Bucket,
    wait: &'a Wait,
    block: BlockId,
    size: u64,
    version: u8,
    toc: Toc,
}

/// References of symbols, ascending, with the hash of their texts.
struct Symbols {
    /// Empty where references are ordinals.
    offsets: Vec<u32>,
    hashes: Vec<u64>,
}

impl Symbols {
    fn hash(&self, reference: u32) -> Option<u64> {
        let at = match self.offsets.is_empty() {
            true => reference as usize,
            false => self.offsets.binary_search(&reference).ok()?,
        };
        self.hashes.get(at).copied()
    }
}

/// Sums over all (label pair, series): equal where the same pairs are, in whatever order.
#[derive(Default)]
struct Sums {
    series: u64,
    all: u64,
    pairs: u64,
}

impl Sums {
    fn add_series(&mut self, id: u32) {
        self.series += 1;
        self.all = self.all.wrapping_add(mix(u64::from(id)));
    }

    fn add_pair(&mut self, name: u64, value: u64, id: u32) {
        let pair = mix(name ^ mix(value));
        self.pairs = self.pairs.wrapping_add(mix(pair ^ mix(u64::from(id))));
    }
}

/// Spreads the bits (the last steps of MurmurHash3).
fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

fn hash(text: &[u8]) -> u64 {
    let words = text.chunks(8).map(|part| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        u64::from_le_bytes(word)
    });
    words.fold(text.len() as u64, |sum, word| mix(sum.rotate_left(5) ^ word).wrapping_add(word))
}

impl Index<'_> {
    fn open(&self) -> Remote {
        Remote::new(self.bucket, self.wait, self.block, INDEX, self.size)
    }

    fn symbols(&mut self) -> Result<Symbols> {
        let mut file = self.open();
        let mut at = self.toc.symbols;
        let end = file.begin_section(&mut at)?;
        let count = file.be32(&mut at)?;
        let mut symbols = Symbols { offsets: Vec::new(), hashes: Vec::new() };
        let mut before: Option<bytes::Bytes> = None;
        while at < end {
            let begin = at;
            let text = file.text(&mut at, TEXT_BYTES_MAX)?;
            if std::str::from_utf8(&text).is_err() {
                return Err(file.corrupt(begin, "symbol is not UTF-8"));
            }
            if self.version != 1 && before.as_ref().is_some_and(|b| *b >= text) {
                return Err(file.corrupt(begin, "symbols do not ascend"));
            }
            if self.version == 1 {
                symbols.offsets.push(u32::try_from(begin).map_err(|_| file.corrupt(begin, "beyond 4 GiB"))?);
            }
            symbols.hashes.push(hash(&text));
            before = Some(text);
        }
        file.end_section(at, end, "symbol table")?;
        if symbols.hashes.len() as u64 != u64::from(count) {
            let what = format!("{} symbols, {count} promised", symbols.hashes.len());
            return Err(file.corrupt(self.toc.symbols, what));
        }
        Ok(symbols)
    }

    fn series(
        &mut self,
        symbols: &Symbols,
        range: Range<u64>,
        check: &mut ChunkCheck<'_>,
        report: &mut BlockReport,
    ) -> Result<Sums> {
        let mut file = self.open();
        let (mut sums, mut raw, mut before) = (Sums::default(), RawEntry::default(), Vec::new());
        let mut at = range.start;
        loop {
            if self.version != 1 {
                at = at.next_multiple_of(16);
            }
            if at >= range.end {
                break;
            }
            if report.series.is_multiple_of(1024) {
                self.wait.check()?;
            }
            let head = file.get(at, 10)?;
            let len = entry_len(&head).filter(|len| at + len <= range.end && *len <= ENTRY_BYTES_MAX);
            let Some(len) = len else { return Err(file.corrupt(at, "series entry does not fit")) };
            let bytes = file.exact(at, len)?;
            parse_raw(INDEX, at, &bytes, &mut raw).map_err(|e| crate::Error::of_input(self.block, e))?;
            let id = if self.version == 1 { at } else { at / 16 };
            let Ok(id) = u32::try_from(id) else { return Err(file.corrupt(at, "beyond the ids")) };
            sums.add_series(id);
            for (name, value) in &raw.labels {
                match (symbols.hash(*name), symbols.hash(*value)) {
                    (Some(name), Some(value)) => sums.add_pair(name, value, id),
                    _ => report.note(INDEX, format!("offset {at}: symbol {name} or {value} does not exist")),
                }
            }
            // Without order by number there is none to test: version 1 as odd writers left it.
            if self.version != 1 {
                if !raw.labels.is_sorted_by(|a, b| a.0 < b.0) {
                    report.note(INDEX, format!("offset {at}: label names do not ascend"));
                }
                if report.series > 0 && before >= raw.labels {
                    report.note(INDEX, format!("offset {at}: series does not come after the one before"));
                }
            }
            report.series += 1;
            report.chunks += raw.chunks.len() as u64;
            check.series(at, &raw.chunks, report)?;
            std::mem::swap(&mut before, &mut raw.labels);
            at += len;
        }
        Ok(sums)
    }

    fn postings(&mut self, report: &mut BlockReport) -> Result<Sums> {
        let (mut table, mut lists) = (self.open(), self.open());
        let mut at = self.toc.postings_offset_table;
        let end = table.begin_section(&mut at)?;
        let count = table.be32(&mut at)?;
        let (mut rows, mut sums) = (0, Sums::default());
        let mut before: Option<(bytes::Bytes, bytes::Bytes)> = None;
        while at < end {
            let begin = at;
            if table.uvarint(&mut at)? != 2 {
                return Err(table.corrupt(begin, "postings entry without two keys"));
            }
            let name = table.text(&mut at, TEXT_BYTES_MAX)?;
            let value = table.text(&mut at, TEXT_BYTES_MAX)?;
            let offset = table.uvarint(&mut at)?;
            rows += 1;
            if rows % 1024 == 0 {
                self.wait.check()?;
            }
            let inside = (self.toc.series..self.toc.postings_offset_table).contains(&offset);
            if !inside {
                return Err(table.corrupt(begin, format!("postings at {offset} lie outside")));
            }
            let all = name.is_empty() && value.is_empty();
            let hashes = (hash(&name), hash(&value));
            list(&mut lists, offset, |id| match all {
                true => sums.add_series(id),
                false => sums.add_pair(hashes.0, hashes.1, id),
            })?;
            let row = (name, value);
            if self.version != 1 && before.as_ref().is_some_and(|b| *b >= row) {
                report.note(INDEX, format!("offset {begin}: postings table does not ascend"));
            }
            before = Some(row);
        }
        table.end_section(at, end, "postings offset table")?;
        if rows != count {
            return Err(table.corrupt(self.toc.postings_offset_table, format!("{rows} rows, {count} promised")));
        }
        Ok(sums)
    }
}

/// Hands a list's ids to `sink`; not all of it is in memory at a time.
fn list(file: &mut Remote, offset: u64, mut sink: impl FnMut(u32)) -> Result<()> {
    let mut at = offset;
    let end = file.begin_section(&mut at)?;
    let count = file.be32(&mut at)?;
    if end.checked_sub(at) != Some(u64::from(count) * 4) {
        return Err(file.corrupt(offset, format!("{count} postings in {} bytes", end.saturating_sub(at))));
    }
    let mut before = None;
    while at < end {
        let bytes = file.get(at, 4)?;
        let take = (bytes.len() as u64).min(end - at) / 4 * 4;
        if take == 0 {
            return Err(file.corrupt(at, "postings are cut off"));
        }
        let bytes = &bytes[..take as usize];
        for id in bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])) {
            if before.is_some_and(|b| b >= id) {
                return Err(file.corrupt(offset, "postings do not ascend"));
            }
            before = Some(id);
            sink(id);
        }
        file.checked(bytes);
        at += take;
    }
    file.end_section(at, end, "postings")
}
