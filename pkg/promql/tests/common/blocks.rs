//! A store of blocks of several resolutions.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::Labels;
use model::TimeRange;
use storage::{
    Answer, Chunk, Ctx, LabelQuery, Result, Select, Series, SeriesEvent, SeriesSource, SeriesStream, SourceInfo,
};

use super::{DAY, FIVE, HOUR, Levels, Sample};

pub const START: i64 = 20_000 * DAY;
/// Blocks begin and end at its multiples.
pub const PIECE: i64 = 2 * HOUR;
pub const RESOLUTIONS: [i64; 3] = [0, FIVE, HOUR];

/// A store of blocks: for each piece of time, the resolutions that it has.
#[derive(Debug)]
pub struct Blocks {
    /// By resolution; what a block's downsampling would give. Chunks may span blocks.
    pub levels: Vec<Vec<Chunk>>,
    /// Piece `i` begins at `START + i * PIECE`.
    pub pieces: Vec<Vec<i64>>,
}

impl Blocks {
    /// The resolution that answers for a piece: the coarsest allowed, or else the finest that is coarser.
    pub fn choice(&self, piece: usize, max_resolution_ms: i64, coarsest_ms: Option<i64>) -> Option<i64> {
        let has = self.pieces.get(piece)?;
        let allowed = has.iter().filter(|r| **r <= max_resolution_ms).max();
        allowed.or_else(|| has.iter().min().filter(|r| coarsest_ms.is_some_and(|max| **r <= max))).copied()
    }
}

impl SeriesSource for Blocks {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            label_sets: Vec::new(),
            range: TimeRange::ALL,
            supports_sharding: false,
            supports_without_replica_labels: false,
        }
    }

    fn select(&self, _: &Ctx, want: Select) -> SeriesStream {
        let mut chunks: Vec<Chunk> = Vec::new();
        for piece in 0..self.pieces.len() {
            let begin = START + piece as i64 * PIECE;
            let coarsest_ms = want.coarser.then_some(want.coarsest_ms);
            let Some(resolution) = self.choice(piece, want.max_resolution_ms, coarsest_ms) else { continue };
            let (back, on) = if want.coarser { (3 * resolution, resolution) } else { (0, 0) };
            let needed =
                TimeRange::new((want.range.min - back).max(begin), (want.range.max + on).min(begin + PIECE - 1));
            let level = RESOLUTIONS.iter().position(|r| *r == resolution).unwrap();
            if !needed.is_empty() {
                let inside = |c: &&Chunk| needed.overlaps(TimeRange::new(c.min_time, c.max_time));
                chunks.extend(self.levels[level].iter().filter(inside).cloned());
            }
        }
        chunks.sort_by_key(|c| (c.min_time, c.max_time));
        chunks.dedup();
        let labels = Labels::from_pairs([("__name__", "m_total")]);
        let batch = if chunks.is_empty() { vec![] } else { vec![Series { labels, chunks }] };
        stream::iter([Ok(SeriesEvent::Batch(batch))]).boxed()
    }

    fn label_names(&self, _: &Ctx, _: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        Box::pin(std::future::ready(Ok(Answer::default())))
    }

    fn label_values(&self, _: &Ctx, _: &str, _: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        Box::pin(std::future::ready(Ok(Answer::default())))
    }
}

/// Chunks end where blocks do, as they do when blocks are compacted, or do not, as where retention cuts.
pub fn blocks(samples: &[Sample], cut_every: i64, resolutions: impl Fn(usize) -> Vec<i64>) -> Blocks {
    let mut levels = vec![Vec::new(); 3];
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let end = START + ((first.0 - START) / cut_every + 1) * cut_every;
        let (part, more) = rest.split_at(rest.partition_point(|s| s.0 < end));
        rest = more;
        let part = Levels::of(part);
        for (level, resolution) in levels.iter_mut().zip(RESOLUTIONS) {
            level.extend_from_slice(part.level(resolution));
        }
    }
    let last = samples.last().map_or(START, |s| s.0);
    let pieces = (0..=((last - START) / PIECE) as usize).map(resolutions).collect();
    Blocks { levels, pieces }
}

/// [`blocks`] as a source.
pub fn store(samples: &[Sample], cut_every: i64, resolutions: impl Fn(usize) -> Vec<i64>) -> Arc<dyn SeriesSource> {
    Arc::new(blocks(samples, cut_every, resolutions))
}
