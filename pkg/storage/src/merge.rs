//! K-way merge of sorted series streams, one batch held per input.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use labels::Labels;

use crate::{Chunk, Error, Result, Series, SeriesEvent, SeriesStream};

/// Series per output batch.
const BATCH: usize = 64;
/// Chunks of one time that a further one is compared with, at most. There are more only where sources take labels away
/// that tell many series apart; those are left as they are.
const ALIKE: usize = 128;

struct Input {
    stream: SeriesStream,
    queue: VecDeque<Series>,
    last: Option<Labels>,
    name: String,
    done: bool,
}

/// Inputs whose next series has these labels. Inputs most often have the same series, so that most often one comparison
/// for equality does for each.
struct Group {
    labels: Labels,
    inputs: Vec<usize>,
}

struct Merge {
    inputs: Vec<Input>,
    heap: BinaryHeap<Reverse<Group>>,
    warnings: VecDeque<String>,
    pending: Option<Series>,
    ready: bool,
    failed: bool,
}

/// Merges named, label-sorted streams into one. Equal label sets become one series with the chunks of all, sorted by
/// time, exact duplicates dropped. An input that breaks its promise of order ends in an error that names it; the caller
/// decides whether that is a warning (it wraps the stream, see `querier`).
pub fn merge_streams(mut inputs: Vec<(String, SeriesStream)>) -> SeriesStream {
    if inputs.len() == 1
        && let Some((name, stream)) = inputs.pop()
    {
        return joined(name, stream);
    }
    let inputs: Vec<_> = inputs
        .into_iter()
        .map(|(name, stream)| Input { stream, queue: VecDeque::new(), last: None, name, done: false })
        .collect();
    let merge = Merge {
        inputs,
        heap: BinaryHeap::new(),
        warnings: VecDeque::new(),
        pending: None,
        ready: false,
        failed: false,
    };
    stream::unfold(merge, |mut m| async move {
        if m.failed {
            return None;
        }
        match m.next().await {
            Ok(Some(event)) => Some((Ok(event), m)),
            Ok(None) => None,
            Err(e) => {
                m.failed = true;
                Some((Err(e), m))
            }
        }
    })
    .boxed()
}

/// One input alone: nothing to choose from, its batches pass as they are.
fn joined(name: String, stream: SeriesStream) -> SeriesStream {
    // The last series is held back: it may go on in the next batch.
    stream::unfold((stream, name, None::<Series>, false), |(mut stream, name, mut held, done)| async move {
        if done {
            return None;
        }
        loop {
            let event = match stream.next().await {
                None => {
                    let last = held.take().map(|series| Ok(SeriesEvent::Batch(vec![tidy(series)])));
                    return last.map(|event| (event, (stream, name, None, true)));
                }
                Some(Ok(SeriesEvent::Batch(batch))) => match join(&name, &mut held, batch) {
                    Ok(batch) if batch.is_empty() => continue,
                    Ok(batch) => Ok(SeriesEvent::Batch(batch)),
                    Err(e) => Err(e),
                },
                Some(other) => other,
            };
            let failed = event.is_err();
            return Some((event, (stream, name, held, failed)));
        }
    })
    .boxed()
}

/// Puts `batch` behind `held`, whose chunks may go on in it; what is complete comes out.
fn join(name: &str, held: &mut Option<Series>, batch: Vec<Series>) -> Result<Vec<Series>> {
    let mut out = Vec::with_capacity(batch.len());
    for series in batch {
        match held {
            None => *held = Some(series),
            Some(last) => match last.labels.cmp(&series.labels) {
                Ordering::Less => out.push(tidy(std::mem::replace(last, series))),
                Ordering::Equal => last.chunks.extend(series.chunks),
                Ordering::Greater => return Err(disorder(name, &last.labels, &series.labels)),
            },
        }
    }
    Ok(out)
}

fn disorder(name: &str, before: &Labels, labels: &Labels) -> Error {
    Error::Corrupt(format!("{name} sent series out of order: {labels} after {before}"))
}

impl Ord for Group {
    fn cmp(&self, other: &Self) -> Ordering {
        self.labels.cmp(&other.labels)
    }
}

impl PartialOrd for Group {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Group {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
    }
}

impl Eq for Group {}

impl Merge {
    async fn next(&mut self) -> Result<Option<SeriesEvent>> {
        if !self.ready {
            // The first batches are awaited together: the slowest input decides, not the sum of all.
            let filled = join_all(self.inputs.iter_mut().map(fill)).await;
            for result in filled {
                self.warnings.extend(result?);
            }
            self.push((0..self.inputs.len()).collect());
            self.ready = true;
        }
        if let Some(text) = self.warnings.pop_front() {
            return Ok(Some(SeriesEvent::Warning(text)));
        }
        let mut batch: Vec<Series> = Vec::with_capacity(BATCH);
        while let Some(Reverse(mut first)) = self.heap.pop() {
            while let Some(Reverse(more)) = self.heap.peek()
                && more.labels == first.labels
                && let Some(Reverse(more)) = self.heap.pop()
            {
                first.inputs.extend(more.inputs);
            }
            first.inputs.sort_unstable();
            let front = |at: &usize| self.inputs[*at].queue.front().map_or(0, |series| series.chunks.len());
            let count: usize = first.inputs.iter().map(front).sum();
            for at in &first.inputs {
                let mut series = self.inputs[*at].queue.pop_front().expect("an input in the heap has a series queued");
                if self.inputs[*at].queue.is_empty() {
                    let warnings = fill(&mut self.inputs[*at]).await?;
                    self.warnings.extend(warnings);
                }
                match &mut self.pending {
                    Some(pending) if pending.labels == series.labels => pending.chunks.extend(series.chunks),
                    _ => {
                        series.chunks.reserve_exact(count - series.chunks.len());
                        batch.extend(self.pending.replace(series).map(tidy));
                    }
                }
            }
            self.push(first.inputs);
            if batch.len() >= BATCH {
                return Ok(Some(SeriesEvent::Batch(batch)));
            }
        }
        batch.extend(self.pending.take().map(tidy));
        if !batch.is_empty() {
            return Ok(Some(SeriesEvent::Batch(batch)));
        }
        Ok(self.warnings.pop_front().map(SeriesEvent::Warning))
    }

    /// Puts inputs into the heap that have a series; the memory of `inputs` is used again.
    fn push(&mut self, mut inputs: Vec<usize>) {
        let next = |at: usize| self.inputs[at].queue.front().map(|series| &series.labels);
        inputs.retain(|at| next(*at).is_some());
        let Some(labels) = inputs.first().and_then(|at| next(*at)).cloned() else { return };
        for at in inputs.extract_if(.., |at| next(*at) != Some(&labels)) {
            if let Some(labels) = next(at).cloned() {
                self.heap.push(Reverse(Group { labels, inputs: vec![at] }));
            }
        }
        self.heap.push(Reverse(Group { labels, inputs }));
    }
}

/// Reads until the input has a series queued or ends; returns the warnings met.
async fn fill(input: &mut Input) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    while input.queue.is_empty() && !input.done {
        match input.stream.next().await {
            None => input.done = true,
            Some(Ok(SeriesEvent::Warning(text))) => warnings.push(text),
            Some(Err(e)) => return Err(e),
            Some(Ok(SeriesEvent::Batch(batch))) => {
                let mut before = input.last.as_ref();
                for series in &batch {
                    match before {
                        Some(last) if *last > series.labels => {
                            return Err(disorder(&input.name, last, &series.labels));
                        }
                        _ => before = Some(&series.labels),
                    }
                }
                input.last = before.cloned();
                input.queue.extend(batch);
            }
        }
    }
    Ok(warnings)
}

fn tidy(mut series: Series) -> Series {
    let sorted = series.chunks.windows(2).all(|w| (w[0].min_time, w[0].max_time) < (w[1].min_time, w[1].max_time));
    if !sorted {
        series.chunks.sort_by_key(|c| (c.min_time, c.max_time, c.replica));
        drop_repeats(&mut series.chunks);
    }
    series
}

/// Drops each chunk that one before it equals, of the same time and replica.
fn drop_repeats(chunks: &mut Vec<Chunk>) {
    let key = |c: &Chunk| (c.min_time, c.max_time, c.replica);
    let (mut begin, mut kept) = (0, 0);
    for at in 0..chunks.len() {
        if kept > begin && key(&chunks[begin]) != key(&chunks[at]) {
            begin = kept;
        }
        let from = begin.max(kept.saturating_sub(ALIKE));
        if !chunks[from..kept].contains(&chunks[at]) {
            chunks.swap(kept, at);
            kept += 1;
        }
    }
    chunks.truncate(kept);
}

/// Merges sorted name lists into one, sorted and unique, of at most `limit` (0 = all).
pub fn merge_sorted_names(lists: Vec<Vec<String>>, limit: usize) -> Vec<String> {
    let mut lists: Vec<Vec<String>> = lists.into_iter().filter(|list| !list.is_empty()).collect();
    let mut all = match lists.pop() {
        Some(one) if lists.is_empty() => one,
        last => lists.into_iter().chain(last).flatten().collect(),
    };
    if !all.is_sorted_by(|a, b| a < b) {
        // The stable sort finds what is sorted already.
        all.sort();
        all.dedup();
    }
    if limit > 0 {
        all.truncate(limit);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect_series;
    use bytes::Bytes;
    use chunkenc::Encoding;

    fn series(name: &str, chunks: &[i64]) -> Series {
        Series {
            labels: Labels::from_pairs([("a", name)]),
            chunks: chunks.iter().map(|t| Chunk::raw(*t, t + 9, Encoding::Xor, Bytes::from(t.to_string()))).collect(),
        }
    }

    fn input(name: &str, batches: Vec<Vec<Series>>) -> (String, SeriesStream) {
        (name.to_owned(), stream::iter(batches.into_iter().map(|b| Ok(SeriesEvent::Batch(b)))).boxed())
    }

    #[tokio::test]
    async fn joins_equal_series_and_drops_duplicates() {
        let merged = merge_streams(vec![
            input("x", vec![vec![series("1", &[0, 20])], vec![series("1", &[40]), series("3", &[0])]]),
            input("y", vec![vec![], vec![series("1", &[10, 20]), series("2", &[0])]]),
            input("z", vec![]),
        ]);
        let got = collect_series(merged).await.unwrap();
        assert_eq!(got.value, vec![series("1", &[0, 10, 20, 40]), series("2", &[0]), series("3", &[0])]);
    }

    #[tokio::test]
    async fn replicas_of_one_time_are_told_once_each() {
        let of = |texts: &[(u64, &'static str)]| {
            let chunk = |(replica, text): &(u64, &'static str)| {
                let data = Bytes::from_static(text.as_bytes());
                Chunk { replica: *replica, ..Chunk::raw(0, 9, Encoding::Xor, data) }
            };
            vec![vec![Series { chunks: texts.iter().map(chunk).collect(), ..series("1", &[]) }]]
        };
        for (x, y, want) in [
            (&[(1, "a"), (2, "b")][..], &[(2, "b"), (1, "a")][..], &[(1, "a"), (2, "b")][..]),
            (
                &[(0, "a"), (0, "b"), (0, "c")],
                &[(0, "a"), (0, "d"), (0, "c")],
                &[(0, "a"), (0, "b"), (0, "c"), (0, "d")],
            ),
            (&[(1, "a"), (2, "a")], &[(2, "a")], &[(1, "a"), (2, "a")]),
        ] {
            let got = collect_series(merge_streams(vec![input("x", of(x)), input("y", of(y))])).await.unwrap();
            assert_eq!(got.value, of(want).remove(0));
        }
    }

    #[tokio::test]
    async fn one_input_is_joined_too() {
        let merged = merge_streams(vec![input(
            "x",
            vec![
                vec![],
                vec![series("1", &[20])],
                vec![series("1", &[0, 20]), series("2", &[0])],
                vec![series("2", &[9])],
            ],
        )]);
        let mut got: Vec<Series> = Vec::new();
        let events: Vec<_> = merged.collect().await;
        for event in events {
            let SeriesEvent::Batch(batch) = event.unwrap() else { panic!("a warning") };
            got.extend(batch);
        }
        assert_eq!(got, vec![series("1", &[0, 20]), series("2", &[0, 9])]);
    }

    #[tokio::test]
    async fn names_the_input_that_lies_about_its_order() {
        let merged = merge_streams(vec![input("liar:10901", vec![vec![series("2", &[0]), series("1", &[0])]])]);
        let error = collect_series(merged).await.unwrap_err();
        assert!(error.to_string().contains("liar:10901 sent series out of order"), "{error}");
    }

    #[test]
    fn names_come_sorted_and_once() {
        let merged = |lists: &[&[&str]], limit| {
            let owned = lists.iter().map(|list| list.iter().map(|name| (*name).to_owned()).collect()).collect();
            merge_sorted_names(owned, limit)
        };
        assert_eq!(merged(&[], 0), [""; 0]);
        assert_eq!(merged(&[&["a", "b"], &[]], 1), ["a"]);
        assert_eq!(merged(&[&["b", "a", "b"]], 0), ["a", "b"]);
        assert_eq!(merged(&[&["b", "d"], &["a", "b", "c"], &["d"]], 0), ["a", "b", "c", "d"]);
    }

    #[tokio::test]
    async fn warnings_pass() {
        let s: SeriesStream = stream::iter([Ok(SeriesEvent::Warning("w".into()))]).boxed();
        let got = collect_series(merge_streams(vec![("x".into(), s), input("y", vec![vec![series("1", &[0])]])])).await;
        assert_eq!(got.unwrap().warnings, ["w"]);
    }
}
