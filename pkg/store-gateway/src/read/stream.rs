//! The series of one block, batch by batch, read ahead by a task of its own.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use labels::Matcher;
use model::TimeRange;
use storage::{Reservation, Select, Series, SeriesEvent, SeriesStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::chunks::ChunkLoader;
use super::order::{Order, Relabel};
use super::postings::expand;
use super::series::{Entry, SeriesReader, Warnings};
use crate::bucket_block::BucketBlock;
use crate::error::{BlockError, BlockResult};
use crate::gateway::Shared;
use crate::limits::Request;

/// What to read of one block.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) select: Select,
    /// Those that are about the series' own labels.
    pub(crate) matchers: Vec<Matcher>,
    /// The time this block answers for.
    pub(crate) range: TimeRange,
}

/// A batch, and the memory behind it: held until the next one is asked for.
type Item = (storage::Result<SeriesEvent>, Vec<Reservation>);

/// The series of `block` that are wanted. Dropping the stream stops the reading.
pub(crate) fn stream(
    shared: Arc<Shared>,
    block: Arc<BucketBlock>,
    wanted: Wanted,
    request: Arc<Request>,
) -> SeriesStream {
    let (sender, receiver) = mpsc::channel::<Item>(1);
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let mode = wanted.select.partial_response;
        let producer = Producer {
            shared: &shared,
            block: &block,
            wanted: &wanted,
            request: &request,
            warnings: Warnings::default(),
            sender,
        };
        let end = producer.run().await;
        let texts = producer.warnings.take(&block);
        for text in texts {
            producer.send(Ok(SeriesEvent::Warning(text)), Vec::new()).await;
        }
        if let Err(e) = end {
            let event = shared.failed(&block, e, mode).map(SeriesEvent::Warning);
            producer.send(event, Vec::new()).await;
        }
    }));
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
}

impl Producer<'_> {
    async fn run(&self) -> BlockResult<()> {
        let select = &self.wanted.select;
        let header = self.shared.header(self.block).await?;
        let expanded = expand(self.shared, self.block, &header, &self.wanted.matchers, self.request).await?;
        let reader = SeriesReader {
            shared: self.shared,
            block: self.block,
            header: &header,
            request: self.request,
            range: self.wanted.range,
            skip_chunks: select.skip_chunks,
            mode: select.partial_response,
        };
        let relabel = Relabel::new(&header, &self.block.labels, &select.without_replica_labels);
        let mut order = relabel.order();
        let mut left = if select.limit == 0 { usize::MAX } else { select.limit };
        let mut rest: &[u32] = &expanded.ids;
        let mut ready: Vec<Entry> = Vec::new();
        let mut held = self.request.hold(0)?;
        let mut read = self.next_entries(&reader, &mut rest, left).await?;
        while let Some(entries) = read {
            for mut entry in entries {
                let (labels, replica) = relabel.apply(&entry.labels);
                let own = std::mem::replace(&mut entry.labels, labels);
                entry.replica = replica;
                if select.shard.as_ref().is_some_and(|s| !s.matches(&entry.labels)) {
                    continue;
                }
                held.grow(entry.size_bytes())?;
                match &mut order {
                    Order::Groups(groups) => groups.push(own, entry, &mut ready),
                    Order::Kept | Order::All => ready.push(entry),
                }
            }
            if rest.is_empty() {
                match &mut order {
                    Order::Kept => {}
                    Order::Groups(groups) => groups.flush(&mut ready),
                    Order::All => ready.sort_by(|a, b| a.labels.cmp(&b.labels)),
                }
            } else if matches!(order, Order::All) {
                read = self.next_entries(&reader, &mut rest, left).await?;
                continue;
            }
            ready.truncate(left);
            left -= ready.len();
            let bytes: u64 = ready.iter().map(Entry::size_bytes).sum();
            // The next entries are fetched while these ones' chunks are.
            let emit = self.emit(std::mem::take(&mut ready));
            let (sent, next) = futures::join!(emit, self.next_entries(&reader, &mut rest, left));
            if !sent? {
                return Ok(());
            }
            read = next?;
            held.shrink(bytes);
        }
        Ok(())
    }

    /// The next batch of entries, taken off `rest`; `None` at the end, or when none is `left` to send.
    async fn next_entries(
        &self,
        reader: &SeriesReader<'_>,
        rest: &mut &[u32],
        left: usize,
    ) -> BlockResult<Option<Vec<Entry>>> {
        if rest.is_empty() || left == 0 {
            return Ok(None);
        }
        self.request.ctx.check()?;
        // A few more than the limit: some may have no chunk in range, or be of another shard.
        let max = self.shared.read.batch_series.min(left.saturating_add(left / 4).saturating_add(16)).max(1);
        let (now, later) = rest.split_at(reader.batch_len(rest, max).clamp(1, rest.len()));
        *rest = later;
        reader.read(now, &self.warnings).await.map(Some)
    }

    /// Sends `entries` with their chunks; false when nobody listens any more.
    async fn emit(&self, entries: Vec<Entry>) -> BlockResult<bool> {
        if entries.is_empty() {
            return Ok(true);
        }
        let select = &self.wanted.select;
        if select.skip_chunks {
            let held = self.request.hold(entries.iter().map(Entry::size_bytes).sum())?;
            let series = entries.into_iter().map(|e| Series { labels: e.labels, chunks: Vec::new() });
            return Ok(self.send(Ok(SeriesEvent::Batch(series.collect())), vec![held]).await);
        }
        let loader = ChunkLoader {
            shared: self.shared,
            block: self.block,
            request: self.request,
            aggregates: select.aggregates,
            mode: select.partial_response,
        };
        let mut rest = entries.as_slice();
        while !rest.is_empty() {
            self.request.ctx.check().map_err(BlockError::Fatal)?;
            let (now, later) = rest.split_at(loader.batch_len(rest).clamp(1, rest.len()));
            rest = later;
            let (chunks, mut held) = loader.read(now, &self.warnings).await?;
            let mut batch = Vec::with_capacity(now.len());
            for (entry, mut chunks) in now.iter().zip(chunks) {
                if chunks.is_empty() {
                    // All were damaged, which a warning tells.
                    continue;
                }
                chunks.iter_mut().for_each(|c| c.replica = entry.replica);
                batch.push(Series { labels: entry.labels.clone(), chunks });
            }
            // The series, beside the bytes that their chunks share.
            let series =
                batch.iter().map(|s| (size_of::<Series>() + s.chunks.len() * size_of::<storage::Chunk>()) as u64);
            held.push(self.request.hold(series.sum())?);
            if !self.send(Ok(SeriesEvent::Batch(batch)), held).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn send(&self, event: storage::Result<SeriesEvent>, held: Vec<Reservation>) -> bool {
        self.sender.send((event, held)).await.is_ok()
    }
}
