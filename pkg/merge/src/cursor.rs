//! The inputs of a shard, walked together: the series with the smallest labels, then the next.

use std::cmp::Ordering;
use std::sync::Arc;

use block::{ChunkMeta, Tombstones};
use bytes::Bytes;

use crate::deletion::BlockDeletions;
use crate::entries::{Entries, Entry, Pairs};
use crate::error::Result;
use crate::fetch::{ChunkStream, Head, Record};
use crate::job::Repairs;
use crate::plan::ShardRange;
use crate::series::{Fetch, Share};

/// One input as a shard reads it.
pub(crate) struct ShardInput {
    pub(crate) entries: Entries,
    pub(crate) chunks: ChunkStream,
    pub(crate) tombstones: Arc<Tombstones>,
    pub(crate) deletions: BlockDeletions,
    /// The next series, if `has_head`.
    pub(crate) head: Entry,
    pub(crate) has_head: bool,
}

impl ShardInput {
    fn advance(&mut self) -> Result<()> {
        self.has_head = self.entries.next(&mut self.head)?;
        Ok(())
    }
}

/// Where the walk is. [`Cursor::find`] sets `labels`, [`Cursor::take_shares`] then sets `shares`.
pub(crate) struct Cursor {
    inputs: Vec<ShardInput>,
    /// The first series of the next shard.
    before: Option<Pairs>,
    /// The positions that the inputs must have at the end; empty = at their ends.
    ends: Vec<u64>,
    /// Position of each input's head.
    positions: Vec<u64>,
    /// Labels of the series that was found.
    labels: Pairs,
    /// The inputs that have this series.
    here: Vec<usize>,
    shares: Vec<Share>,
    /// Shares of earlier series, whose memory is used again.
    spare: Vec<Share>,
}

impl Cursor {
    /// Begins at `positions`; an input without one begins at its start.
    pub(crate) fn open(mut inputs: Vec<ShardInput>, range: &ShardRange, positions: &[u64]) -> Result<Self> {
        let mut heads = Vec::with_capacity(inputs.len());
        for (at, input) in inputs.iter_mut().enumerate() {
            if let Some(position) = positions.get(at) {
                input.entries.seek(*position)?;
            }
            input.advance()?;
            heads.push(input.entries.position());
        }
        Ok(Self {
            inputs,
            before: range.before.clone(),
            ends: range.ends.clone(),
            positions: heads,
            labels: Pairs::new(),
            here: Vec::new(),
            shares: Vec::new(),
            spare: Vec::new(),
        })
    }

    pub(crate) fn positions(&self) -> &[u64] {
        &self.positions
    }

    pub(crate) fn labels(&self) -> &Pairs {
        &self.labels
    }

    /// Whether the inputs are where the next shard begins. If all series are in order, they are at the end of the walk.
    pub(crate) fn is_at_end(&self) -> bool {
        self.ends.is_empty() || self.ends == self.positions
    }

    /// Finds the next series and the inputs that have it; false at the end.
    pub(crate) fn find(&mut self) -> bool {
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
        self.labels.clone_from(&inputs[*first].head.labels);
        self.before.as_ref().is_none_or(|before| self.labels < *before)
    }

    /// Takes what the inputs have of the series and moves them past it; false when an input goes backwards.
    pub(crate) fn take_shares(&mut self, repairs: &mut Repairs) -> Result<bool> {
        self.spare.append(&mut self.shares);
        for n in 0..self.here.len() {
            let at = self.here[n];
            loop {
                let mut share = self.spare.pop().unwrap_or_default();
                let input = &mut self.inputs[at];
                repairs.labels_out_of_order += u64::from(input.head.labels_out_of_order);
                share.input = at;
                std::mem::swap(&mut share.chunks, &mut input.head.chunks);
                share.deleted.clear();
                share.deleted.extend_from_slice(input.tombstones.of(input.head.id));
                if !input.deletions.is_empty() {
                    input.deletions.add_ranges(&self.labels, &mut share.deleted);
                }
                self.shares.push(share);
                input.advance()?;
                self.positions[at] = input.entries.position();
                match input.head.labels.cmp(&self.labels) {
                    Ordering::Equal if input.has_head => repairs.series_twice += 1,
                    Ordering::Less if input.has_head => return Ok(false),
                    _ => break,
                }
            }
        }
        Ok(true)
    }

    /// The series' shares, and the inputs to read their chunks from.
    pub(crate) fn shares(&mut self) -> (&[Share], Inputs<'_>) {
        (&self.shares, Inputs(&mut self.inputs))
    }
}

/// The inputs as a [`crate::series::SeriesMaker`] reads them.
pub(crate) struct Inputs<'a>(&'a mut [ShardInput]);

impl Fetch for Inputs<'_> {
    fn chunk(&mut self, input: usize, chunk: ChunkMeta) -> Result<Record> {
        self.0[input].chunks.chunk(chunk)
    }

    fn run(&mut self, input: usize, chunks: &[ChunkMeta], heads: &mut Vec<Head>) -> Result<Bytes> {
        self.0[input].chunks.run(chunks, heads)
    }
}
