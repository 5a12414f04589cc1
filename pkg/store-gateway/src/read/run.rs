//! Ranges of one object that are wanted one after the other, out of as few requests as the rule allows: each request is
//! begun before its bytes are needed, and its body is taken as they are. What lies between the ranges passes by.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use objstore::RangeBody;
use storage::Reservation;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::fetch::{Fetched, ObjectReader, coalesce, size_if_behind};
use crate::error::{BlockError, BlockResult};

/// Requests that are under way before their bytes are needed.
const BEGUN: usize = 2;
/// Where no more bodies may stay open, so much is read by one request.
const WINDOW_BYTES: u64 = 1 << 20;
/// So much behind a range is taken along.
const SPARE_BYTES: u64 = 1 << 10;
/// What an open body holds of bytes that nobody took yet, about.
const BODY_BYTES: u64 = 64 << 10;

/// Reads one object forward.
pub(crate) struct RunReader<'a> {
    object: ObjectReader<'a>,
    /// Ascending; none overlaps another.
    runs: VecDeque<Run>,
    /// The last range that was read: guessed ends reach into what is wanted next.
    last: (u64, Bytes),
    /// The last piece that was read for the cache. The next range may begin in it, and the cache may not have it yet.
    last_piece: Option<(u64, Bytes)>,
}

/// A range that one request reads.
struct Run {
    range: Range<u64>,
    state: State,
}

enum State {
    Planned,
    Begun(AbortOnDropHandle<objstore::Result<Begun>>),
    Open(Box<Open>),
}

/// A request that was answered.
struct Begun {
    body: Body,
    took: Duration,
    object_bytes: u64,
}

enum Body {
    /// One request for all of it.
    Stream(RangeBody, #[expect(dead_code, reason = "given back when the body ends")] OwnedSemaphorePermit),
    /// A request for each window.
    Windows,
    /// The object ends before the range begins.
    Nothing,
}

struct Open {
    body: Body,
    /// What came last and is not used yet, and where it begins.
    rest: Bytes,
    at: u64,
    bytes: u64,
    waited: Duration,
    _held: Reservation,
}

impl<'a> RunReader<'a> {
    pub(crate) fn new(object: ObjectReader<'a>) -> Self {
        Self { object, runs: VecDeque::new(), last: (0, Bytes::new()), last_piece: None }
    }

    /// Where what is planned ends.
    pub(crate) fn end(&self) -> u64 {
        self.runs.back().map_or(0, |run| run.range.end)
    }

    /// Plans the requests for `ranges`, which are wanted after those planned before, and begins the first of them. What is
    /// read without a plan, or in another order, costs requests of its own.
    pub(crate) fn plan(&mut self, ranges: impl IntoIterator<Item = Range<u64>>) {
        let mut ranges: Vec<Range<u64>> = ranges.into_iter().filter(|r| !r.is_empty()).collect();
        ranges.sort_by_key(|r| r.start);
        if let Some((cache, name)) = &self.object.cache {
            ranges = cache.missing(name, ranges);
        }
        let planned = self.end();
        for range in coalesce(ranges, self.object.options.pace.rule()) {
            let range = range.start.max(planned)..range.end;
            if !range.is_empty() {
                self.runs.push_back(Run { range, state: State::Planned });
            }
        }
        self.begin();
    }

    fn begin(&mut self) {
        for run in self.runs.iter_mut().take(BEGUN).filter(|run| matches!(run.state, State::Planned)) {
            // Counted, and refused, where it is read.
            if self.object.request.ctx.check().is_err() {
                return;
            }
            let (bucket, path, range) = (self.object.bucket.clone(), self.object.path.clone(), run.range.clone());
            let options = self.object.options.clone();
            let begun = async move {
                let Ok(permit) = options.bodies.clone().try_acquire_owned() else {
                    return Ok(Begun { body: Body::Windows, took: Duration::ZERO, object_bytes: 0 });
                };
                // The semaphore is never closed.
                let _one = options.permits.acquire().await;
                let began = std::time::Instant::now();
                match bucket.stream_range(&path, range.clone()).await {
                    Ok(body) => {
                        let (took, object_bytes) = (began.elapsed(), body.object_bytes());
                        Ok(Begun { body: Body::Stream(body, permit), took, object_bytes })
                    }
                    Err(e) => {
                        let object_bytes = size_if_behind(&bucket, &path, range.start, e).await?;
                        Ok(Begun { body: Body::Nothing, took: Duration::ZERO, object_bytes })
                    }
                }
            };
            run.state = State::Begun(AbortOnDropHandle::new(tokio::spawn(begun)));
        }
    }

    /// The bytes of `wanted`, ascending by start, as far as the object goes.
    ///
    /// # Errors
    /// Limits, and failures of the store.
    pub(crate) async fn take(&mut self, wanted: &[Range<u64>]) -> BlockResult<Fetched> {
        let mut spans: Vec<Range<u64>> = Vec::new();
        for range in wanted.iter().filter(|r| !r.is_empty()) {
            match spans.last_mut() {
                Some(last) if last.end >= range.start && last.start <= range.start => {
                    last.end = last.end.max(range.end)
                }
                _ => spans.push(range.clone()),
            }
        }
        self.object.request.fetched(self.object.data, wanted.len() as u64);
        let total: u64 = spans.iter().map(|s| s.end - s.start + SPARE_BYTES).sum();
        let held = self.object.request.hold(total)?;
        let mut buffer = self.object.options.pool.take(usize::try_from(total).unwrap_or(usize::MAX).min(64 << 20));
        let mut known = known(&self.object, &spans).await;
        let (mut found, mut missed) = (Vec::with_capacity(spans.len()), Vec::new());
        for (n, span) in spans.iter().enumerate() {
            let at = buffer.as_ref().len();
            // What lies behind passes by in any case, and a guess may be too short.
            let next = spans.get(n + 1).map_or(u64::MAX, |next| next.start.max(span.end));
            let read = match self.object.cache {
                Some(_) => self.read_cached(span.clone(), &mut known, buffer.bytes_mut()).await?,
                None => self.read(span.start..(span.end + SPARE_BYTES).min(next), buffer.bytes_mut()).await?,
            };
            match read {
                true => found.push((span.start, at..buffer.as_ref().len())),
                false => {
                    buffer.bytes_mut().truncate(at);
                    missed.push(span.clone());
                }
            }
        }
        let bytes = buffer.freeze();
        if let (Some(range), Some((start, at))) = (wanted.last(), found.last())
            && let Ok(skip) = usize::try_from(range.start.saturating_sub(*start))
        {
            // A copy, or it would keep all of them in memory.
            let last = bytes.get(at.start + skip..at.end).map(Bytes::copy_from_slice);
            self.last = (range.start, last.unwrap_or_default());
        }
        let parts = found.into_iter().map(|(start, at)| (start, bytes.slice(at))).collect();
        let fetched = Fetched::new(parts, vec![held]);
        match missed.is_empty() {
            true => Ok(fetched),
            false => Ok(fetched.and(self.object.fetch(&missed).await?)),
        }
    }

    /// Appends the bytes of `span` to `out`; false if it is in no run, or was passed.
    async fn read(&mut self, span: Range<u64>, out: &mut Vec<u8>) -> BlockResult<bool> {
        let mut at = span.start;
        let (last_at, last) = &self.last;
        if let Some(again) = at.checked_sub(*last_at).and_then(|skip| last.get(usize::try_from(skip).ok()?..)) {
            let again = &again[..again.len().min((span.end - at) as usize)];
            out.extend_from_slice(again);
            at += again.len() as u64;
        }
        while at < span.end {
            while self.runs.front().is_some_and(|run| run.range.end <= at) {
                self.runs.pop_front();
                self.begin();
            }
            let Some(run) = self.runs.front_mut().filter(|run| run.range.start <= at) else {
                // What was guessed to be longer than was planned is there as far as that goes.
                return Ok(at > span.start);
            };
            let run_end = run.range.end;
            let end = span.end.min(run_end);
            let open = run.open(&self.object).await?;
            if open.at > at {
                return Ok(at > span.start);
            }
            while open.at < end {
                if open.rest.is_empty() && !open.next(&self.object, run_end).await? {
                    // The object ends here.
                    return Ok(true);
                }
                let skip = at.saturating_sub(open.at).min(open.rest.len() as u64) as usize;
                let now = open.rest.len().min((end - open.at) as usize).max(skip);
                out.extend_from_slice(&open.rest[skip..now]);
                open.use_up(now);
            }
            at = end;
        }
        Ok(true)
    }

    /// Appends what there is of `span` to `out`, where pieces are kept. `known` are those that were found.
    async fn read_cached(
        &mut self,
        span: Range<u64>,
        known: &mut BTreeMap<u64, Option<Bytes>>,
        out: &mut Vec<u8>,
    ) -> BlockResult<bool> {
        let Some((cache, name)) = self.object.cache.clone() else { return Ok(false) };
        let mut piece = Vec::new();
        for place in cache.pieces(&span, self.object.size) {
            let bytes = match (known.get(&place.start), &self.last_piece) {
                (Some(Some(bytes)), _) => bytes.clone(),
                (_, Some((start, bytes))) if *start == place.start => bytes.clone(),
                _ => {
                    piece.clear();
                    if !self.read(place.clone(), &mut piece).await? {
                        return Ok(false);
                    }
                    let bytes = Bytes::copy_from_slice(&piece);
                    if self.object.size.is_some() && bytes.len() as u64 == place.end - place.start {
                        cache.keep(&name, place.start, &bytes);
                    }
                    known.insert(place.start, Some(bytes.clone()));
                    self.last_piece = Some((place.start, bytes.clone()));
                    bytes
                }
            };
            let from = span.start.saturating_sub(place.start).min(bytes.len() as u64) as usize;
            let to = (span.end - place.start).min(bytes.len() as u64) as usize;
            out.extend_from_slice(&bytes[from..to.max(from)]);
        }
        Ok(true)
    }
}

/// The pieces of `spans` that are kept, by where they begin.
async fn known(object: &ObjectReader<'_>, spans: &[Range<u64>]) -> BTreeMap<u64, Option<Bytes>> {
    let Some((cache, name)) = &object.cache else { return BTreeMap::new() };
    let mut starts: Vec<u64> =
        spans.iter().flat_map(|span| cache.pieces(span, object.size)).map(|piece| piece.start).collect();
    starts.dedup();
    let found = cache.have(name, starts.iter().copied()).await;
    starts.into_iter().zip(found).collect()
}

impl Run {
    async fn open(&mut self, object: &ObjectReader<'_>) -> BlockResult<&mut Open> {
        if !matches!(self.state, State::Open(_)) {
            object.request.ctx.check()?;
            object.request.download(object.data, self.range.end - self.range.start)?;
            let state = std::mem::replace(&mut self.state, State::Planned);
            let begun = match state {
                State::Begun(handle) => object
                    .in_time(handle)
                    .await?
                    .map_err(|e| BlockError::Store(format!("{}: the read ended: {e}", object.path)))??,
                State::Planned | State::Open(_) => Begun { body: Body::Windows, took: Duration::ZERO, object_bytes: 0 },
            };
            if !matches!(begun.body, Body::Windows) {
                object.check_size(self.range.start, begun.object_bytes)?;
            }
            if matches!(begun.body, Body::Stream(..)) {
                object.options.pace.began(begun.took);
            }
            let (at, waited, held) = (self.range.start, Duration::ZERO, object.request.hold(BODY_BYTES)?);
            let open = Open { body: begun.body, rest: Bytes::new(), at, bytes: 0, waited, _held: held };
            self.state = State::Open(Box::new(open));
        }
        match &mut self.state {
            State::Open(open) => Ok(open),
            State::Planned | State::Begun(_) => Err(BlockError::Store("a read was not begun".to_owned())),
        }
    }
}

impl Open {
    /// Waits for the next bytes; false at the end.
    async fn next(&mut self, object: &ObjectReader<'_>, end: u64) -> BlockResult<bool> {
        let began = std::time::Instant::now();
        self.rest = match &mut self.body {
            Body::Stream(body, _) => object.in_time(body.next()).await??.unwrap_or_default(),
            Body::Windows if self.at < end => {
                object.get(self.at..end.min(self.at.saturating_add(WINDOW_BYTES))).await?
            }
            Body::Windows | Body::Nothing => Bytes::new(),
        };
        self.waited += began.elapsed();
        self.bytes += self.rest.len() as u64;
        if self.at + self.rest.len() as u64 >= end && matches!(self.body, Body::Stream(..)) {
            object.options.pace.came(self.bytes, self.waited);
            // The connection is free again.
            self.body = Body::Nothing;
        }
        Ok(!self.rest.is_empty())
    }

    fn use_up(&mut self, len: usize) {
        self.at += len as u64;
        _ = self.rest.split_to(len);
    }
}
