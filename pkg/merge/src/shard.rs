//! The merge of a range of series: the least labels of all inputs, their chunks, the next.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use block::series::{RawEntry, put_entry};
use block::{ChunkMeta, Tombstones};
use bytes::Bytes;
use service::Failpoints;

use crate::bits::Bits;
use crate::checkpoint::ShardState;
use crate::deletion::BlockDeletions;
use crate::entries::{Entries, Entry, Pairs};
use crate::error::{Error, Result};
use crate::fetch::{ChunkStream, Head, Record};
use crate::job::{Counts, Repairs};
use crate::local::{LocalFile, LocalWriter};
use crate::object::Uploaded;
use crate::plan::ShardRange;
use crate::segments::SegmentWriter;
use crate::series::{Fetch, OutSeries, SeriesMaker, Share};
use crate::symbols::{SymbolReader, SymbolTable};
use crate::wait::Wait;

/// One input as a shard reads it.
pub(crate) struct ShardInput {
    pub(crate) entries: Entries,
    pub(crate) chunks: ChunkStream,
    pub(crate) tombstones: Arc<Tombstones>,
    pub(crate) deletions: BlockDeletions,
    pub(crate) head: Entry,
    pub(crate) has_head: bool,
}

impl ShardInput {
    fn advance(&mut self) -> Result<()> {
        self.has_head = self.entries.next(&mut self.head)?;
        Ok(())
    }
}

/// When an output is full.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitAt {
    pub(crate) series: u64,
    pub(crate) index_bytes: u64,
}

/// Why a shard stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// All its series are written.
    End,
    /// The output is full; the rest goes to another.
    Full,
    /// Series of an input are not in order: nothing that was written counts.
    Unordered,
}

/// Called with the state at the border of two series, after segments were finished.
pub(crate) type Save<'a> = dyn FnMut(ShardState, Vec<(u32, Uploaded)>) -> Result<()> + 'a;

/// The place before a series.
#[derive(Debug, Clone, Default)]
struct Mark {
    positions: Vec<u64>,
    repairs: Repairs,
    counts: Counts,
}

/// A range of series on its way into one output.
pub(crate) struct Shard {
    pub(crate) wait: Wait,
    pub(crate) failpoints: Failpoints,
    pub(crate) inputs: Vec<ShardInput>,
    /// The first series of the next shard.
    pub(crate) before: Option<Pairs>,
    /// Where the inputs must be then; empty = at their ends.
    pub(crate) ends: Vec<u64>,
    pub(crate) maker: SeriesMaker,
    pub(crate) segments: SegmentWriter,
    spool: LocalWriter,
    spool_path: PathBuf,
    pub(crate) used: Bits,
    pub(crate) state: ShardState,
    pub(crate) split: Option<SplitAt>,
    sizes: Option<(SymbolReader, u64)>,
    series_done: Arc<AtomicU64>,
    finished: Vec<(u32, Uploaded)>,
    out: OutSeries,
    shares: Vec<Share>,
    spare: Vec<Share>,
    raw: RawEntry,
    entry: Vec<u8>,
    body: Vec<u8>,
    least: Pairs,
    here: Vec<usize>,
    /// Where each input's head is.
    positions: Vec<u64>,
    mark: Mark,
}

impl Shard {
    /// Begins or goes on with `state`; what the spool holds beyond it is cut off.
    pub(crate) fn open(
        wait: &Wait,
        failpoints: &Failpoints,
        inputs: Vec<ShardInput>,
        range: &ShardRange,
        maker: SeriesMaker,
        segments: SegmentWriter,
        spool: &Path,
        symbols: &SymbolTable,
        state: ShardState,
        split: Option<SplitAt>,
        series_done: Arc<AtomicU64>,
    ) -> Result<Self> {
        let mut used = Bits::new(symbols.len());
        let spool_out = match state.spool_bytes {
            0 => LocalWriter::create(spool)?,
            len => {
                read_used(spool, len, state.stats.series, &mut used)?;
                LocalWriter::resume(spool, len)?
            }
        };
        let mut shard = Self {
            wait: wait.clone(),
            failpoints: failpoints.clone(),
            inputs,
            before: range.before.clone(),
            ends: range.ends.clone(),
            maker,
            segments,
            spool: spool_out,
            spool_path: spool.to_owned(),
            used,
            sizes: split.map(|_| (symbols.reader(), 0)),
            split,
            series_done,
            finished: Vec::new(),
            out: OutSeries::default(),
            shares: Vec::new(),
            spare: Vec::new(),
            raw: RawEntry::default(),
            entry: Vec::new(),
            body: Vec::new(),
            least: Pairs::new(),
            here: Vec::new(),
            positions: Vec::new(),
            mark: Mark::default(),
            state,
        };
        for (at, input) in shard.inputs.iter_mut().enumerate() {
            if let Some(position) = shard.state.positions.get(at) {
                input.entries.seek(*position)?;
            }
            input.advance()?;
            shard.positions.push(input.entries.position());
        }
        shard.series_done.fetch_add(shard.state.stats.series, Relaxed);
        Ok(shard)
    }

    /// The spool so far, complete.
    pub(crate) fn spool(&mut self) -> Result<LocalFile> {
        self.spool.flush()?;
        LocalFile::open(&self.spool_path)
    }

    /// Merges until the end or until the output is full. The last segment is finished then.
    pub(crate) fn run(&mut self, save: &mut Save<'_>) -> Result<Stopped> {
        let outcome = self.merge(save);
        if !matches!(outcome, Ok(Stopped::End | Stopped::Full)) {
            self.segments.abort();
        }
        outcome
    }

    fn merge(&mut self, save: &mut Save<'_>) -> Result<Stopped> {
        let mut since_check = 0;
        let stopped = loop {
            if since_check == 0 {
                self.wait.check()?;
                since_check = 64;
            }
            since_check -= 1;
            self.mark();
            if self.is_full() {
                break Stopped::Full;
            }
            if !self.find_least() {
                // Threads begin where the next series would be if all were in order.
                if !self.ends.is_empty() && self.ends != self.positions {
                    return Ok(Stopped::Unordered);
                }
                break Stopped::End;
            }
            if !self.take_shares()? {
                return Ok(Stopped::Unordered);
            }
            self.make()?;
            if self.out.chunks.is_empty() {
                continue;
            }
            if self.segments.is_full_for(self.out.bytes()) {
                self.finished.extend(self.segments.close()?);
                self.save(false, save)?;
                self.failpoints.hit("merge.after_segment")?;
            }
            self.write()?;
        };
        self.finished.extend(self.segments.close()?);
        self.save(stopped == Stopped::End, save)?;
        Ok(stopped)
    }

    /// Notes the place before the next series.
    fn mark(&mut self) {
        self.mark.positions.clone_from(&self.positions);
        self.mark.repairs = self.state.repairs;
        self.mark.counts = self.state.counts;
    }

    fn is_full(&self) -> bool {
        let stats = &self.state.stats;
        self.split.is_some_and(|split| {
            let index = self.spool.len() + 16 * stats.series + self.sizes.as_ref().map_or(0, |s| s.1);
            stats.series > 0 && (split.series > 0 && stats.series >= split.series || index >= split.index_bytes)
        })
    }

    /// Finds the next series and the inputs that have it; false at the end.
    fn find_least(&mut self) -> bool {
        let Self { inputs, here, .. } = self;
        here.clear();
        for (at, input) in inputs.iter().enumerate().filter(|(_, i)| i.has_head) {
            match here.first().map(|first| input.head.labels.cmp(&inputs[*first].head.labels)) {
                None | Some(Ordering::Equal) => here.push(at),
                Some(Ordering::Less) => {
                    here.clear();
                    here.push(at);
                }
                Some(Ordering::Greater) => {}
            }
        }
        let Some(first) = here.first() else { return false };
        self.least.clone_from(&inputs[*first].head.labels);
        self.before.as_ref().is_none_or(|before| self.least < *before)
    }

    /// Takes what the inputs have of the series and moves them past it; false when one goes backwards.
    fn take_shares(&mut self) -> Result<bool> {
        self.spare.append(&mut self.shares);
        for n in 0..self.here.len() {
            let at = self.here[n];
            loop {
                let mut share = self.spare.pop().unwrap_or_default();
                let input = &mut self.inputs[at];
                self.state.repairs.labels_out_of_order += u64::from(input.head.labels_out_of_order);
                share.input = at;
                std::mem::swap(&mut share.chunks, &mut input.head.chunks);
                share.deleted.clear();
                share.deleted.extend_from_slice(input.tombstones.of(input.head.id));
                if !input.deletions.is_empty() {
                    input.deletions.add_ranges(&self.least, &mut share.deleted);
                }
                self.shares.push(share);
                input.advance()?;
                self.positions[at] = input.entries.position();
                match input.head.labels.cmp(&self.least) {
                    Ordering::Equal if input.has_head => self.state.repairs.series_twice += 1,
                    Ordering::Less if input.has_head => return Ok(false),
                    _ => break,
                }
            }
        }
        Ok(true)
    }

    /// Makes the output's chunks.
    fn make(&mut self) -> Result<()> {
        self.out.clear();
        let state = &mut self.state;
        self.maker.make(
            &self.shares,
            &mut Inputs(&mut self.inputs),
            &mut self.out,
            &mut state.repairs,
            &mut state.counts,
        )
    }

    fn write(&mut self) -> Result<()> {
        self.raw.chunks.clear();
        let stats = &mut self.state.stats;
        let chunks = &mut self.raw.chunks;
        self.segments.append_all(&self.out, |chunk, reference| {
            chunks.push(ChunkMeta { min_time: chunk.min_time, max_time: chunk.max_time, reference });
            stats.samples += chunk.samples;
            if chunk.encoding.is_float() {
                stats.floats += chunk.samples;
            } else if chunk.encoding.is_histogram() {
                stats.histograms += chunk.samples;
            }
            stats.chunk_max_bytes = stats.chunk_max_bytes.max(chunk.len);
        })?;
        stats.chunks += self.out.chunks.len() as u64;
        stats.series += 1;
        self.raw.labels.clone_from(&self.least);
        for (name, value) in &self.raw.labels {
            for number in [*name, *value] {
                if self.used.insert(number)
                    && let Some((symbols, bytes)) = &mut self.sizes
                {
                    // In the symbol table, in the postings offset table beside its name, and a list's head.
                    *bytes += 2 * symbols.text(number)?.len() as u64 + 48;
                }
            }
            if let Some((_, bytes)) = &mut self.sizes {
                *bytes += 4;
            }
        }
        self.entry.clear();
        put_entry(&mut self.entry, &mut self.body, &self.raw);
        self.spool.put(&self.entry)?;
        self.series_done.fetch_add(1, Relaxed);
        self.out.clear();
        Ok(())
    }

    /// Saves the state before the series that is being worked on.
    fn save(&mut self, done: bool, save: &mut Save<'_>) -> Result<()> {
        self.spool.flush()?;
        let Mark { positions, repairs, counts } = self.mark.clone();
        let (spool_bytes, stats) = (self.spool.len(), self.state.stats);
        save(ShardState { positions, spool_bytes, stats, repairs, counts, done }, std::mem::take(&mut self.finished))
    }
}

/// The inputs as those who make a series see them.
struct Inputs<'a>(&'a mut [ShardInput]);

impl Fetch for Inputs<'_> {
    fn chunk(&mut self, input: usize, chunk: ChunkMeta) -> Result<Record> {
        self.0[input].chunks.chunk(chunk)
    }

    fn run(&mut self, input: usize, chunks: &[ChunkMeta], heads: &mut Vec<Head>) -> Result<Bytes> {
        self.0[input].chunks.run(chunks, heads)
    }
}

/// Reads a spool that an earlier run left, to learn which symbols it uses.
fn read_used(spool: &Path, len: u64, series: u64, used: &mut Bits) -> Result<()> {
    let file = LocalFile::open(spool)?;
    if file.len() < len {
        return Err(Error::spoilt(spool, format!("{} bytes, {len} were written", file.len())));
    }
    let (mut window, mut at, mut raw, mut count) = (file.window(256 << 10), 0, RawEntry::default(), 0);
    while at < len {
        let entry = block::series::entry_len(window.get(at, 10)?).filter(|n| at + n <= len);
        let entry = entry.ok_or_else(|| Error::spoilt(spool, format!("offset {at}: no series entry")))?;
        let bytes = window.get(at, entry as usize)?;
        block::series::parse_raw("spool", at, bytes, &mut raw).map_err(|e| Error::spoilt(spool, e.to_string()))?;
        for (name, value) in &raw.labels {
            used.insert(*name);
            used.insert(*value);
        }
        at += entry;
        count += 1;
    }
    if count != series {
        return Err(Error::spoilt(spool, format!("{count} series, {series} were written")));
    }
    Ok(())
}
