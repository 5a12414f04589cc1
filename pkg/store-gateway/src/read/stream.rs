//! The series of one block, batch by batch, read ahead by a task of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::{Chunk, Reservation, STILL_AFTER, Select, Series, SeriesEvent, SeriesStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::chunks::{ChunkLoader, ChunkRuns};
use super::index::Index;
use super::order::{Order, Relabel};
use super::postings::expand;
use super::projected::Projected;
use super::run::RunReader;
use super::series::{DECODE_SERIES, Entry, PLANNED_SERIES, Repair, SeriesBatch, SeriesReader, Warnings};
use crate::bucket_block::BucketBlock;
use crate::error::{BlockError, BlockResult};
use crate::limits::{Data, Request};
use crate::shared::Shared;
use crate::tombstones::Tombstones;
use crate::turn::Work;

/// What to read of one block.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) select: Select,
    /// Those that are about the series' own labels.
    pub(crate) matchers: Vec<Matcher>,
    /// The time this block answers for.
    pub(crate) range: TimeRange,
    /// What is to be left out.
    pub(crate) tombstones: Option<Arc<Tombstones>>,
}

/// A batch, and the memory behind it: held until the next one is asked for.
type Item = (storage::Result<SeriesEvent>, Vec<Reservation>);

/// The series of `block` that are wanted. Dropping the stream stops the reading.
pub(crate) fn stream(
    shared: Arc<Shared>,
    block: Arc<BucketBlock>,
    wanted: Wanted,
    request: Arc<Request>,
    work: Work,
) -> SeriesStream {
    let (sender, receiver) = mpsc::channel::<Item>(1);
    let read = async move {
        let mode = wanted.select.partial_response;
        let producer = Producer {
            shared: &shared,
            block: &block,
            wanted: &wanted,
            request: &request,
            warnings: Warnings::default(),
            sender,
            work,
            has_sent: AtomicBool::new(false),
        };
        let end = producer.run().await;
        let texts = producer.warnings.take(&block, mode);
        for text in texts {
            producer.send(Ok(SeriesEvent::Warning(text)), Vec::new()).await;
        }
        if let Err(e) = end {
            let event = shared.failed(&block, e, mode).map(SeriesEvent::Warning);
            producer.send(event, Vec::new()).await;
        }
    };
    let task = AbortOnDropHandle::new(tokio::spawn(read.in_current_span()));
    stream::unfold((receiver, task, Vec::new()), |(mut receiver, task, held)| async move {
        drop::<Vec<Reservation>>(held);
        let (event, held) = receiver.recv().await?;
        Some((event, (receiver, task, held)))
    })
    .boxed()
}

struct Producer<'a> {
    shared: &'a Shared,
    block: &'a BucketBlock,
    wanted: &'a Wanted,
    request: &'a Request,
    warnings: Warnings,
    sender: mpsc::Sender<Item>,
    work: Work,
    has_sent: AtomicBool,
}

impl Producer<'_> {
    async fn run(&self) -> BlockResult<()> {
        match self.read(true).await {
            Err(BlockError::Disorder(_)) if !self.has_sent.load(Ordering::Relaxed) => {
                self.disordered();
                self.read(false).await
            }
            Err(BlockError::Disorder(_)) => {
                self.disordered();
                Err(found_late())
            }
            end => end,
        }
    }

    /// `may_project`: labels that nobody looks at may be left out.
    async fn read(&self, may_project: bool) -> BlockResult<()> {
        let select = &self.wanted.select;
        let index = Index::open(self.shared, self.block, self.request).await?;
        let expanded = expand(&index, &self.wanted.matchers).await?;
        let relabel = Relabel::new(&index.header, &self.block.labels, &select.without_replica_labels);
        let projected = relabel.constant().filter(|_| may_project && self.may_project()).and_then(|(put, _)| {
            let names = select.labels.clone()?;
            Some(Projected::new(names, put))
        });
        let order = if projected.is_some() { Order::Kept } else { relabel.order() };
        let reader = SeriesReader {
            shared: self.shared,
            block: self.block,
            request: self.request,
            index: &index,
            is_scan: index.is_scan(expanded.ids.len()),
            range: self.wanted.range,
            skip_chunks: select.skip_chunks,
            mode: select.partial_response,
            matchers: &self.wanted.matchers,
            relabel: Some(&relabel),
            projected: projected.as_ref(),
            tombstones: self.wanted.tombstones.as_deref(),
        };
        let left = if select.limit == 0 { usize::MAX } else { select.limit };
        let mut queue = Queue::new(order, self.request.hold(0)?, left);
        if self.block.is_disordered() {
            self.warnings.note(Repair::Series);
            queue.sort_all();
        }
        let loader = self.loader();
        let mut runs = ChunkRuns::default();
        let mut rest = Rest { ids: &expanded.ids, runs: reader.runs() };
        let mut next = self.next_batch(&reader, &mut rest, queue.left).await?;
        while let Some(batch) = next.take() {
            if !select.skip_chunks && !matches!(queue.order, Order::All) {
                loader.plan(&reader, &batch, &mut runs);
            }
            for from in (0..batch.ids.len()).step_by(DECODE_SERIES) {
                let to = batch.ids.len().min(from + DECODE_SERIES);
                let entries = reader.decode(&batch, from..to, &self.warnings).await?;
                index.give_back();
                self.push(&mut queue, entries)?;
                if queue.is_sorting {
                    runs = ChunkRuns::default();
                }
                if to < batch.ids.len() {
                    if !self.may_be_disordered(&queue) && !self.emit(&loader, &mut runs, &mut queue, false).await? {
                        return Ok(());
                    }
                    continue;
                }
                // The next entries are fetched while these ones' chunks are.
                let left = match queue.order {
                    // Any later one may be among the first.
                    Order::All => queue.left,
                    _ => queue.left.saturating_sub(queue.ready.len()),
                };
                let may_be_disordered = self.may_be_disordered(&queue);
                let fetch = self.next_batch(&reader, &mut rest, left);
                let (sent, fetched) = match may_be_disordered {
                    true => (Ok(true), fetch.await),
                    false => futures::join!(self.emit(&loader, &mut runs, &mut queue, false), fetch),
                };
                if !sent? {
                    return Ok(());
                }
                next = fetched?;
            }
        }
        self.finish(&mut queue)?;
        self.emit(&loader, &mut runs, &mut queue, true).await?;
        Ok(())
    }

    /// Whether nothing here needs all labels.
    fn may_project(&self) -> bool {
        let select = &self.wanted.select;
        !select.skip_chunks && select.shard.is_none() && self.wanted.tombstones.is_none() && !self.block.is_disordered()
    }

    fn loader(&self) -> ChunkLoader<'_> {
        ChunkLoader {
            shared: self.shared,
            block: self.block,
            request: self.request,
            aggregates: self.wanted.select.aggregates,
            mode: self.wanted.select.partial_response,
        }
    }

    fn push(&self, queue: &mut Queue, mut entries: Vec<Entry>) -> BlockResult<()> {
        if let Some(shard) = &self.wanted.select.shard {
            entries.retain(|entry| shard.matches(&entry.labels));
        }
        let bytes = entries.iter().map(Entry::size_bytes).sum();
        if queue.is_sorting
            && let Some(spare) = self.request.ctx.budget.reserve_spare(bytes)
        {
            drop(spare);
        } else if queue.is_sorting {
            return Err(BlockError::Corrupt(format!(
                "series are out of order, and there is no room in memory to sort them ({} bytes are taken): narrow the \
                 selector, or raise --store.limits.request-bytes and --chunk-pool-size",
                queue.held.bytes()
            )));
        }
        queue.held.grow(bytes)?;
        queue.push(entries);
        self.settle(queue)
    }

    /// After the last entry.
    fn finish(&self, queue: &mut Queue) -> BlockResult<()> {
        queue.finish();
        self.settle(queue)?;
        if queue.is_sorting {
            queue.finish();
        }
        Ok(())
    }

    /// A series that belongs before others has all of them sorted first, unless some are sent already.
    fn settle(&self, queue: &mut Queue) -> BlockResult<()> {
        if queue.is_in_order() {
            return Ok(());
        }
        self.disordered();
        if queue.sent.is_some() {
            return Err(found_late());
        }
        self.warnings.note(Repair::Series);
        queue.sort_all();
        Ok(())
    }

    /// Notes that series are out of order.
    fn disordered(&self) {
        if self.block.found_disordered() {
            tracing::warn!(block = %self.block.id, "series of a block are out of order, they are sorted at each query");
        }
    }

    /// Whether what is ready is held back for a while: as long as nothing is sent, disorder can be put right.
    fn may_be_disordered(&self, queue: &Queue) -> bool {
        queue.sent.is_none() && !self.block.is_ordered() && queue.held.bytes() < self.request.batch.series_bytes
    }

    /// The next batch of entries, taken off `rest`; `None` at the end, or when none is `left` to send.
    async fn next_batch<'i>(
        &self,
        reader: &SeriesReader<'_>,
        rest: &mut Rest<'i, '_>,
        left: usize,
    ) -> BlockResult<Option<SeriesBatch<'i>>> {
        if rest.ids.is_empty() || left == 0 {
            return Ok(None);
        }
        self.request.ctx.check()?;
        // A few more than the limit: some may have no chunk in range, or be of another shard.
        let wanted = left.saturating_add(left / 4).saturating_add(16);
        let max = self.shared.read.batch_series.min(wanted).max(1);
        let (now, later) = rest.ids.split_at(reader.batch_len(rest.ids, max).clamp(1, rest.ids.len()));
        rest.ids = later;
        let planned = wanted.saturating_sub(now.len()).min(PLANNED_SERIES).min(later.len());
        reader.fetch(now, &later[..planned], &mut rest.runs).await.map(Some)
    }

    /// Sends what is ready with its chunks, as far as it fills batches, or all of it at the `end`; false when nobody
    /// listens any more, or nothing more is to be sent.
    async fn emit<'a>(
        &'a self,
        loader: &ChunkLoader<'a>,
        runs: &mut ChunkRuns<'a>,
        queue: &mut Queue,
        end: bool,
    ) -> BlockResult<bool> {
        let select = &self.wanted.select;
        loop {
            if queue.left == 0 {
                return Ok(false);
            }
            // Sorted only at the end.
            let sorted = end || !matches!(queue.order, Order::All);
            queue.ready.truncate(if sorted { queue.left } else { usize::MAX });
            let full = match select.skip_chunks {
                true => (queue.ready.len() >= DECODE_SERIES).then_some(DECODE_SERIES),
                false => loader.full_batch(&queue.ready),
            };
            let count = match full {
                _ if !sorted => return Ok(true),
                Some(count) => count,
                None if end && !queue.ready.is_empty() => queue.ready.len(),
                None => return Ok(true),
            };
            self.request.ctx.check().map_err(BlockError::Fatal)?;
            // What is read lies in memory until it is taken: nothing is read that nobody has room for.
            let Some(permit) = self.place().await? else { return Ok(false) };
            let entries = queue.take(count);
            let bytes: u64 = entries.iter().map(Entry::size_bytes).sum();
            queue.left = queue.left.saturating_sub(count);
            let (batch, held) = self.load(loader, runs, entries).await?;
            queue.held.shrink(bytes);
            if !batch.is_empty() {
                self.has_sent.store(true, Ordering::Relaxed);
                permit.send((Ok(SeriesEvent::Batch(batch)), held));
            }
        }
    }

    /// The series of `entries` with their chunks, and the memory they take.
    async fn load<'a>(
        &'a self,
        loader: &ChunkLoader<'a>,
        runs: &mut ChunkRuns<'a>,
        entries: Vec<Entry>,
    ) -> BlockResult<(Vec<Series>, Vec<Reservation>)> {
        if self.wanted.select.skip_chunks {
            let held = self.request.hold(entries.iter().map(Entry::size_bytes).sum())?;
            let series = entries.into_iter().map(|e| Series { labels: e.labels, chunks: Vec::new() });
            return Ok((series.collect(), vec![held]));
        }
        let (chunks, mut held) = loader.read(&entries, runs, &self.warnings).await?;
        let mut batch = Vec::with_capacity(entries.len());
        for (entry, mut chunks) in entries.into_iter().zip(chunks) {
            if !entry.deleted.is_empty() {
                chunks = self.cut(&entry, chunks)?;
            }
            if chunks.is_empty() {
                // All were corrupt, which a warning tells, or nothing is left of them.
                continue;
            }
            chunks.iter_mut().for_each(|c| c.replica = entry.replica);
            batch.push(Series { labels: entry.labels, chunks });
        }
        // The series, beside the bytes that their chunks share.
        let series = batch.iter().map(|s| (size_of::<Series>() + s.chunks.len() * size_of::<storage::Chunk>()) as u64);
        held.push(self.request.hold(series.sum())?);
        Ok((batch, held))
    }

    /// What is left of the chunks of `entry`.
    fn cut(&self, entry: &Entry, chunks: Vec<Chunk>) -> BlockResult<Vec<Chunk>> {
        let Some(tombstones) = &self.wanted.tombstones else { return Ok(chunks) };
        let mut left = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            match tombstones.cut(chunk, &entry.deleted) {
                Ok(cut) => left.extend(cut),
                Err(e) => {
                    self.shared.corrupt(Data::Chunks);
                    let error = BlockError::Corrupt(format!("series {}: {e}", entry.labels));
                    self.warnings.add(self.block, self.wanted.select.partial_response, error)?;
                }
            }
        }
        Ok(left)
    }

    /// A place in the queue, `None` when nobody listens any more. While the reader stands still, others have their turn.
    async fn place(&self) -> BlockResult<Option<mpsc::Permit<'_, Item>>> {
        if let Ok(place) = tokio::time::timeout(STILL_AFTER, self.sender.reserve()).await {
            return Ok(place.ok());
        }
        self.work.rest();
        let Ok(place) = self.sender.reserve().await else { return Ok(None) };
        self.work.resume().await.map_err(BlockError::Fatal)?;
        Ok(Some(place))
    }

    /// Sends what needs no more work.
    async fn send(&self, event: storage::Result<SeriesEvent>, held: Vec<Reservation>) {
        self.work.rest();
        // Nobody is told when the reader is gone.
        let _ = self.sender.send((event, held)).await;
    }
}

fn found_late() -> BlockError {
    let text = "series are out of order, which was found after some of them were sent: the others are missing, a further \
                query sorts them";
    BlockError::Corrupt(text.to_owned())
}

/// Ids whose entries are still to be read, and what reads them.
struct Rest<'i, 'a> {
    ids: &'i [u32],
    runs: RunReader<'a>,
}

/// Entries on their way from the index to their chunks.
struct Queue {
    order: Order,
    /// In the order of the answer, unless that is known only at the end.
    ready: Vec<Entry>,
    /// How many of `ready` are known to be in order.
    checked: usize,
    /// The labels of the last series sent.
    sent: Option<Labels>,
    /// Sorting all of them because the block has them out of order.
    is_sorting: bool,
    /// The memory of all entries here.
    held: Reservation,
    /// How many may still be sent.
    left: usize,
}

impl Queue {
    fn new(order: Order, held: Reservation, left: usize) -> Self {
        Self { order, ready: Vec::new(), checked: 0, sent: None, is_sorting: false, held, left }
    }

    fn push(&mut self, entries: Vec<Entry>) {
        match &mut self.order {
            Order::Groups(groups) => entries.into_iter().for_each(|entry| groups.push(entry, &mut self.ready)),
            Order::Kept | Order::All => self.ready.extend(entries),
        }
    }

    /// Whether what is ready comes behind what was sent, in order. Always where all is sorted at the end.
    fn is_in_order(&mut self) -> bool {
        if matches!(self.order, Order::All) {
            return true;
        }
        let mut before = match self.checked.checked_sub(1) {
            Some(last) => self.ready.get(last).map(|e| &e.labels),
            None => self.sent.as_ref(),
        };
        for entry in self.ready.iter().skip(self.checked) {
            if before.is_some_and(|before| *before > entry.labels) {
                return false;
            }
            before = Some(&entry.labels);
        }
        self.checked = self.ready.len();
        true
    }

    /// From now on all series are sorted at the end.
    fn sort_all(&mut self) {
        if let Order::Groups(groups) = &mut self.order {
            groups.flush(&mut self.ready);
        }
        self.order = Order::All;
        self.is_sorting = true;
    }

    /// The first `count`, to be sent.
    fn take(&mut self, count: usize) -> Vec<Entry> {
        let entries: Vec<Entry> = self.ready.drain(..count).collect();
        self.checked = self.checked.saturating_sub(count);
        self.sent = entries.last().map(|e| e.labels.clone()).or(self.sent.take());
        entries
    }

    /// After the last entry.
    fn finish(&mut self) {
        match &mut self.order {
            Order::Kept => {}
            Order::Groups(groups) => groups.flush(&mut self.ready),
            Order::All => self.ready.sort_by(|a, b| a.labels.cmp(&b.labels)),
        }
    }
}
