//! Series that have ended leave before the head is cut, once their samples are in a block.

use std::sync::Arc;

use futures::future::BoxFuture;
use wal::record::encode_tombstones;

use super::Head;
use super::core::Core;
use super::cut::Cut;
use super::seams::{JournalError, LogBatch};
use super::series::Series;
use super::slab::reference;

/// Series whose newest sample was a stale marker when it was made.
#[derive(Debug)]
pub struct StaleSeries {
    core: Arc<Core>,
    /// Slots in label order.
    slots: Vec<u32>,
    /// By slot: generation, and the time of the newest sample.
    ended: hashbrown::HashMap<u32, (u32, i64)>,
    times: Option<(i64, i64)>,
}

impl Series {
    /// Whether it has ended, and all of it lies in order. Late samples leave the head another way.
    fn has_ended(&self) -> bool {
        self.stale && self.users == 0 && self.out_of_order().is_none() && self.past().is_none()
    }
}

impl Head {
    /// The series that have ended.
    pub fn stale(&self) -> StaleSeries {
        let core = self.core.clone();
        let (mut ended, mut times) = (hashbrown::HashMap::new(), None);
        for slot in 0..core.slab.end() {
            let Some(series) = core.slab.lock(slot).filter(|series| series.has_ended()) else { continue };
            let Some((first, last)) = series.times() else { continue };
            let (min, max) = times.unwrap_or((first, last));
            times = Some((first.min(min), last.max(max)));
            ended.insert(slot, (series.generation, series.last_time));
        }
        let slots: Vec<u32> = ended.keys().copied().collect();
        let slots = core.sort_by_labels(&slots);
        StaleSeries { core, slots, ended, times }
    }
}

impl StaleSeries {
    /// First and last time of their samples, both inclusive; `None` if there are no such series.
    pub fn times(&self) -> Option<(i64, i64)> {
        self.times
    }

    /// Their samples from `min_ms` to before `end_ms`, in label order.
    pub fn cut(&self, min_ms: i64, end_ms: i64) -> Cut {
        Cut::of(self.core.clone(), self.slots.clone(), min_ms, end_ms)
    }

    /// Removes those that got no sample since, and logs that. A restart finds those of which that was not logged in the
    /// log and in the block, which is the same to a reader. Returns their numbers in the log, and what completes when it
    /// is logged.
    pub fn remove(self) -> (Vec<u64>, BoxFuture<'static, std::result::Result<(), JournalError>>) {
        let Self { core, slots, ended, .. } = self;
        let is_same = |series: &Series, slot: u32| ended.get(&slot) == Some(&(series.generation, series.last_time));
        let references = slots.iter().filter_map(|slot| Some(reference(*slot, ended.get(slot)?.0)));
        let references: Vec<_> = references.collect();
        let mut logged = Vec::new();
        let numbers = core.forget_telling(
            &references,
            |slot, series| series.has_ended() && is_same(series, slot),
            &mut |numbers| {
                let mut log = LogBatch::default();
                let forgotten = numbers.iter().map(|number| (*number, i64::MIN, i64::MAX));
                log.wal.push(|out| encode_tombstones(out, forgotten));
                logged.push(core.journal.log(log));
            },
        );
        (numbers, Box::pin(async move { futures::future::try_join_all(logged).await.map(drop) }))
    }
}
