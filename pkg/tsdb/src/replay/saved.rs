//! Open chunks that were saved, in place of the samples of the log before.

use wal::Position;

use super::pipeline::{self, Work};
use super::sources::Sources;
use super::{Error, Replayed};
use crate::open_chunks::{Saved, SavedData};

/// Restores what saved open chunks have: with the chunks on disk these are all samples of the log before a place, so that of
/// the log before only the other records are read. That place, or `None` if there are none that can be used.
pub(super) fn restore(
    work: &Work<'_>,
    sources: &Sources,
    at_segment: &mut dyn FnMut(u64),
    tally: &mut Replayed,
) -> Result<Option<Position>, Error> {
    let Some(saved) = sources.saved.as_ref().filter(|saved| is_whole(saved, work, tally)) else { return Ok(None) };
    let others = Work { with_samples: false, ..*work };
    let before = || sources.wal_until(saved.position).map(Some);
    pipeline::run(&others, before()?, false, at_segment, tally)?;
    let (mut worker, mut chunks) = (work.restore.worker(), 0);
    let restored = saved.each(&mut |chunk| {
        chunks += u64::from(!matches!(chunk.data, SavedData::Nothing));
        worker.saved_chunk(chunk, saved.next_number).map_err(|e| e.to_string())
    });
    match restored {
        Ok(()) => {
            tally.saved_chunks = chunks;
            Ok(Some(saved.position))
        }
        Err(error) => {
            tracing::warn!(%error, "a saved open chunk cannot be restored, the log is read for samples instead");
            // What was restored so far stays: the log has no other samples. Whatever else the log says is done, and must not be
            // done twice: a series that left may have come again since.
            let samples = Work { with_others: false, ..*work };
            tally.corruptions = 0;
            pipeline::run(&samples, before()?, false, at_segment, tally)?;
            Ok(Some(saved.position))
        }
    }
}

/// Whether all of them can be read and all chunks on disk before them are there. Nothing is used of them otherwise.
fn is_whole(saved: &Saved, work: &Work<'_>, tally: &Replayed) -> bool {
    if tally.chunk_corruptions > 0 {
        // What is missing on disk is to be refilled from the log.
        return false;
    }
    let mut of_other_numbers = Vec::new();
    let checked = saved.each(&mut |chunk| {
        // What is in blocks is not needed.
        let is_needed = chunk.behind != 0 && chunk.max_time_ms >= work.min_valid_ms;
        if is_needed && !work.restore.has_mapped_chunk(chunk.number, chunk.behind) {
            of_other_numbers.push(chunk.behind);
        }
        Ok(())
    });
    let checked = checked.map_err(|e| e.to_string()).and_then(|()| {
        let is_there = work.restore.has_mapped_chunks(of_other_numbers);
        if is_there { Ok(()) } else { Err("a chunk on disk before an open one is missing".to_owned()) }
    });
    if let Err(error) = &checked {
        tracing::warn!(%error, "saved open chunks are ignored, the log is replayed instead");
    }
    checked.is_ok()
}
