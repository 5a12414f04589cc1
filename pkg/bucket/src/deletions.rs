//! Requests to delete series: small objects in the bucket, beside the blocks.
//!
//! A request names series by matchers, and a range of time. It reaches the blocks that were made before it, until each is
//! rewritten without the series; the rewritten block names the request in its meta. A reader of a block that a request
//! still reaches can leave the series out by itself ([`Request::reaches`]).
//!
//! `aion-compactor/deletions/<ULID>.json` is the request. `<ULID>.done.json` beside it says that it reaches no block any
//! more. Both are written once and never changed.

use std::collections::{BTreeMap, BTreeSet};

use block::BlockId;
use block::BlockMeta;
use block::meta::DeletionMatcher;
use futures::stream::{self, StreamExt, TryStreamExt};
use labels::{MatchType, Matcher};
use model::TimeRange;
use objstore::{Bucket, Created, Object};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Directory of the requests in the bucket. No block has this name, and Thanos ignores it.
pub const DELETIONS_DIR: &str = "aion-compactor/deletions";
const DONE_SUFFIX: &str = ".done.json";
const SUFFIX: &str = ".json";
/// The only version of requests.
const VERSION: u32 = 1;
/// A larger request is not read.
const REQUEST_BYTES_MAX: u64 = 1 << 20;
/// How many requests are read; each may have [`REQUEST_BYTES_MAX`].
const REQUESTS_MAX: usize = 1000;
/// Requests in flight while they are read.
const READS_AT_A_TIME: usize = 8;

/// A request: which series are to be deleted, and over which time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The request's id, which is its file name too.
    pub id: BlockId,
    /// Version of the format, 1.
    pub version: u32,
    /// When it was made, ms since the epoch. Blocks made later are not touched.
    pub created_ms: i64,
    /// Series that match all matchers of any of these are deleted. External labels count as labels of the series.
    pub selectors: Vec<Vec<DeletionMatcher>>,
    /// Start of the time that is deleted, ms since the epoch, included.
    pub min_time: i64,
    /// End of the time that is deleted, ms since the epoch, included.
    pub max_time: i64,
    /// Who asked and why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

/// The note that a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Id of the request.
    pub id: BlockId,
    /// Version of the format, 1.
    pub version: u32,
    /// When no block was left, ms since the epoch.
    pub done_ms: i64,
}

/// A request and its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The request as it was made.
    pub request: Request,
    /// `None` while it reaches a block.
    pub done: Option<Done>,
}

/// All requests of a bucket.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// The requests by id.
    pub requests: BTreeMap<BlockId, Listed>,
    /// Paths of corrupt requests, with the reason. What they ask for is unknown.
    pub corrupt: BTreeMap<String, String>,
}

impl Listing {
    /// The requests that still reach blocks.
    pub fn pending(&self) -> impl Iterator<Item = &Request> {
        self.requests.values().filter(|l| l.done.is_none()).map(|l| &l.request)
    }
}

/// A matcher as `meta.json` and requests hold it.
pub fn to_deletion_matcher(matcher: &Matcher) -> DeletionMatcher {
    let kind = match matcher.kind() {
        MatchType::Equal => 0,
        MatchType::NotEqual => 1,
        MatchType::Regex => 2,
        MatchType::NotRegex => 3,
    };
    DeletionMatcher { kind, name: matcher.name().to_owned(), value: matcher.value().to_owned() }
}

/// The other way round; the error says what is wrong.
///
/// # Errors
/// Unknown kinds and bad expressions.
pub fn to_matcher(matcher: &DeletionMatcher) -> std::result::Result<Matcher, String> {
    let kind = match matcher.kind {
        0 => MatchType::Equal,
        1 => MatchType::NotEqual,
        2 => MatchType::Regex,
        3 => MatchType::NotRegex,
        other => return Err(format!("matcher type {other} is unknown")),
    };
    Matcher::new(kind, matcher.name.as_str(), matcher.value.as_str()).map_err(|e| e.to_string())
}

impl Request {
    /// A request of `selectors` over `[min_time, max_time]`, both inside.
    pub fn new(id: BlockId, created_ms: i64, selectors: &[Vec<Matcher>], range: TimeRange, details: &str) -> Self {
        Self {
            id,
            version: VERSION,
            created_ms,
            selectors: selectors.iter().map(|s| s.iter().map(to_deletion_matcher).collect()).collect(),
            min_time: range.min,
            max_time: range.max,
            details: details.to_owned(),
        }
    }

    /// The time that is deleted, ms, both ends included.
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time)
    }

    /// What is wrong with it, if anything. A selector that would match every series is refused.
    ///
    /// # Errors
    /// What is wrong, as a sentence for people.
    pub fn check(&self) -> std::result::Result<(), String> {
        if self.version != VERSION {
            return Err(format!("version {} is not {VERSION}", self.version));
        }
        if self.range().is_empty() {
            return Err("the range of time is empty".to_owned());
        }
        if self.selectors.is_empty() {
            return Err("there is no selector".to_owned());
        }
        for selector in self.matchers()? {
            if selector.iter().all(Matcher::matches_empty) {
                return Err("a selector needs a matcher that does not match the empty text".to_owned());
            }
        }
        Ok(())
    }

    /// The selectors as matchers of this program.
    ///
    /// # Errors
    /// The first selector that cannot be used.
    pub fn matchers(&self) -> std::result::Result<Vec<Vec<Matcher>>, String> {
        self.selectors.iter().map(|s| s.iter().map(to_matcher).collect()).collect()
    }

    /// Whether the block may hold series that the request deletes: it shares time with the request, a selector can match its external
    /// labels, it was made before the request (`since_ms`: when the oldest of its sources was made), and the request was
    /// not applied to it.
    pub fn reaches(&self, meta: &BlockMeta, since_ms: i64) -> bool {
        self.was_made_before(since_ms)
            && meta.min_time <= self.max_time
            && meta.max_time > self.min_time
            && !self.is_applied_to(meta)
            && self.can_match(meta)
    }

    fn was_made_before(&self, since_ms: i64) -> bool {
        since_ms <= self.created_ms
    }

    /// Whether `meta` says that the request was applied.
    pub fn is_applied_to(&self, meta: &BlockMeta) -> bool {
        let id = self.id.to_string();
        let rewrites = meta.thanos.iter().flat_map(|t| &t.rewrites);
        rewrites.flat_map(|r| &r.deletions_applied).any(|d| d.request_id == id)
    }

    /// Whether some selector does not contradict the block's external labels. A matcher that cannot be read contradicts
    /// nothing.
    fn can_match(&self, meta: &BlockMeta) -> bool {
        let labels = meta.thanos.as_ref().map(|t| &t.labels);
        let contradicts = |matcher: &DeletionMatcher| {
            let value = labels.and_then(|l| l.get(&matcher.name));
            match (value, to_matcher(matcher)) {
                (Some(value), Ok(matcher)) => !matcher.matches(value),
                _ => false,
            }
        };
        self.selectors.iter().any(|selector| !selector.iter().any(contradicts))
    }
}

/// The key of [`since_ms`] in the `thanos` section of a `meta.json`, for blocks whose sources do not contain it.
pub const SINCE_KEY: &str = "aion_since_ms";

/// When the oldest source of a block was made, ms since the epoch. A request reaches a block that is older than the request,
/// also if it was merged since.
pub fn since_ms(meta: &BlockMeta) -> i64 {
    let noted = meta.thanos.as_ref().and_then(|t| t.extra.get(SINCE_KEY)?.as_i64()).unwrap_or(i64::MAX);
    let made = meta.compaction.sources.iter().map(|s| s.time_ms()).min().unwrap_or_else(|| meta.ulid.time_ms());
    noted.min(made)
}

/// Path of a request in the bucket.
pub fn path(id: BlockId) -> String {
    format!("{DELETIONS_DIR}/{id}{SUFFIX}")
}

/// Writes a request, unless there is one of this id.
///
/// # Errors
/// [`Error::Unfit`] if it is not well formed; failures of the store.
pub async fn create(bucket: &Bucket, request: &Request) -> Result<Created> {
    request.check().map_err(|why| Error::Unfit { block: request.id, why: format!("deletion request: {why}") })?;
    put(bucket, request.id, &path(request.id), request).await
}

/// Writes that `request` reaches no block any more.
///
/// # Errors
/// Failures of the store.
pub async fn mark_done(bucket: &Bucket, id: BlockId, done_ms: i64) -> Result<Created> {
    let done = Done { id, version: VERSION, done_ms };
    put(bucket, id, &format!("{DELETIONS_DIR}/{id}{DONE_SUFFIX}"), &done).await
}

/// Cancels a request. Blocks that were rewritten stay as they are.
///
/// # Errors
/// Failures of the store.
pub async fn cancel(bucket: &Bucket, id: BlockId) -> Result<()> {
    Ok(bucket.delete(&path(id)).await?)
}

async fn put<T: Serialize>(bucket: &Bucket, id: BlockId, path: &str, value: &T) -> Result<Created> {
    let json = serde_json::to_vec(value).map_err(|e| Error::Corrupt { block: id, what: e.to_string() })?;
    Ok(bucket.put_if_absent(path, json).await?)
}

/// Reads all requests, also those that are carried out: one listing, one read each.
///
/// # Errors
/// When the listing was not complete, or an object could not be read for a while.
pub async fn list(bucket: &Bucket) -> Result<Listing> {
    let names = Names::list(bucket).await?;
    let mut listing = Listing::default();
    read_requests(bucket, names.requests.into_values().collect(), &mut listing).await?;
    for (id, object) in names.done {
        match read_json::<Done>(bucket, &object).await? {
            Some(Ok(done)) => {
                if let Some(listed) = listing.requests.get_mut(&id) {
                    listed.done = Some(done);
                }
            }
            Some(Err(why)) => drop(listing.corrupt.insert(object.path, why)),
            None => {}
        }
    }
    Ok(listing)
}

/// Reads the requests that are not carried out: one listing, one read each. Requests that are carried out cost nothing.
///
/// # Errors
/// As [`list`].
pub async fn list_pending(bucket: &Bucket) -> Result<Listing> {
    let mut names = Names::list(bucket).await?;
    names.requests.retain(|id, _| !names.done.contains_key(id));
    let mut listing = Listing::default();
    read_requests(bucket, names.requests.into_values().collect(), &mut listing).await?;
    Ok(listing)
}

/// Adds to `listing` the requests made after `since_ms` that it lacks although some of `metas` say that they were applied:
/// then the listing of requests was late. Without this, a merge of such a block with others would count the request as
/// applied to all of them. One read for each; requests that were cancelled meanwhile are not found.
///
/// # Errors
/// When an object could not be read for a while.
pub async fn complete<'a>(
    bucket: &Bucket,
    listing: &mut Listing,
    metas: impl Iterator<Item = &'a BlockMeta>,
    since_ms: i64,
) -> Result<()> {
    let rewrites = metas.flat_map(|m| &m.thanos).flat_map(|t| &t.rewrites);
    let applied = rewrites.flat_map(|r| &r.deletions_applied).filter_map(|d| BlockId::parse(&d.request_id).ok());
    let is_missing = |id: &BlockId| id.time_ms() > since_ms && !listing.requests.contains_key(id);
    let ids: BTreeSet<BlockId> = applied.filter(is_missing).collect();
    let mut objects = Vec::new();
    for id in ids {
        match bucket.head(&path(id)).await {
            Ok(object) => objects.push(object),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
    }
    read_requests(bucket, objects, listing).await
}

/// What lies in [`DELETIONS_DIR`], unread.
#[derive(Default)]
struct Names {
    requests: BTreeMap<BlockId, Object>,
    done: BTreeMap<BlockId, Object>,
}

impl Names {
    async fn list(bucket: &Bucket) -> Result<Self> {
        let mut names = Self::default();
        let mut objects = bucket.list_recursive(DELETIONS_DIR);
        while let Some(object) = objects.try_next().await? {
            let name = object.path.rsplit('/').next().unwrap_or_default();
            let (stem, into) = match (name.strip_suffix(DONE_SUFFIX), name.strip_suffix(SUFFIX)) {
                (Some(stem), _) => (stem, &mut names.done),
                (None, Some(stem)) => (stem, &mut names.requests),
                (None, None) => continue,
            };
            if let Ok(id) = BlockId::parse(stem) {
                into.insert(id, object);
            }
        }
        Ok(names)
    }
}

/// Reads requests into `listing`, several at a time; beyond [`REQUESTS_MAX`] they count as corrupt.
async fn read_requests(bucket: &Bucket, mut objects: Vec<Object>, listing: &mut Listing) -> Result<()> {
    for object in objects.drain(objects.len().min(REQUESTS_MAX)..) {
        listing.corrupt.insert(object.path, format!("more than {REQUESTS_MAX} requests are not read"));
    }
    let reads = objects.into_iter().map(|object| async move {
        let read = read_json::<Request>(bucket, &object).await?;
        Ok::<_, Error>((object.path, read))
    });
    let mut reads = stream::iter(reads).buffered(READS_AT_A_TIME);
    while let Some((path, read)) = reads.try_next().await? {
        let checked = match read {
            None => continue,
            Some(Ok(request)) if self::path(request.id) != path => Err(format!("speaks of {}", request.id)),
            Some(Ok(request)) => request.check().map(|()| request),
            Some(Err(why)) => Err(why),
        };
        match checked {
            Ok(request) => drop(listing.requests.insert(request.id, Listed { request, done: None })),
            Err(why) => drop(listing.corrupt.insert(path, why)),
        }
    }
    Ok(())
}

/// `None` if the object is gone meanwhile; the text says why it cannot be read.
async fn read_json<T: DeserializeOwned>(
    bucket: &Bucket,
    object: &Object,
) -> Result<Option<std::result::Result<T, String>>> {
    if object.size > REQUEST_BYTES_MAX {
        return Ok(Some(Err(format!("{} bytes are too many", object.size))));
    }
    match bucket.get(&object.path).await {
        Ok(body) => Ok(Some(serde_json::from_slice(&body).map_err(|e| e.to_string()))),
        Err(e) if e.is_not_found() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{Deletion, Rewrite, ThanosMeta};

    fn id(n: u64) -> BlockId {
        BlockId::new(n, 0)
    }

    fn request(matchers: &[(&str, &str)]) -> Request {
        let selector = matchers.iter().map(|(n, v)| Matcher::equal(*n, *v)).collect();
        Request::new(id(50), 50, &[selector], TimeRange::new(100, 200), "somebody asked")
    }

    fn meta(min_time: i64, max_time: i64, labels: &[(&str, &str)]) -> BlockMeta {
        let labels = labels.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let thanos = Some(ThanosMeta { labels, ..ThanosMeta::default() });
        BlockMeta { ulid: id(7), min_time, max_time, thanos, ..BlockMeta::default() }
    }

    #[test]
    fn reach() {
        let in_a = request(&[("user", "x"), ("cluster", "a")]);
        for (what, meta, since_ms, want) in [
            ("plain", meta(0, 150, &[("cluster", "a")]), 7, true),
            ("made later", meta(0, 150, &[("cluster", "a")]), 51, false),
            ("ends before", meta(0, 100, &[("cluster", "a")]), 7, false),
            ("ends just inside", meta(0, 101, &[("cluster", "a")]), 7, true),
            ("begins after", meta(201, 300, &[("cluster", "a")]), 7, false),
            ("begins just inside", meta(200, 300, &[("cluster", "a")]), 7, true),
            ("another cluster", meta(0, 150, &[("cluster", "b")]), 7, false),
            ("label may be the series' own", meta(0, 150, &[]), 7, true),
        ] {
            assert_eq!(in_a.reaches(&meta, since_ms), want, "{what}");
        }
        let mut applied = meta(0, 150, &[]);
        let deletion = Deletion { request_id: id(50).to_string(), ..Deletion::default() };
        applied.thanos.as_mut().unwrap().rewrites =
            vec![Rewrite { deletions_applied: vec![deletion], ..Rewrite::default() }];
        assert!(!in_a.reaches(&applied, 7));
    }

    #[test]
    fn refuses() {
        let mut empty_range = request(&[("a", "b")]);
        empty_range.max_time = 0;
        let mut kind = request(&[("a", "b")]);
        kind.selectors[0][0].kind = 9;
        for (request, want) in [
            (request(&[]), "needs a matcher"),
            (request(&[("a", "")]), "needs a matcher"),
            (Request { selectors: vec![], ..request(&[("a", "b")]) }, "no selector"),
            (empty_range, "range of time is empty"),
            (kind, "type 9 is unknown"),
        ] {
            assert!(request.check().unwrap_err().contains(want), "{want}");
        }
    }

    #[tokio::test]
    async fn written_listed_done() {
        let bucket = Bucket::in_memory();
        let request = request(&[("user", "x")]);
        assert_eq!(create(&bucket, &request).await.unwrap(), Created::Created);
        bucket.put(&path(id(60)), "{").await.unwrap();
        bucket.put(&format!("{DELETIONS_DIR}/readme"), "x").await.unwrap();
        let listing = list(&bucket).await.unwrap();
        assert_eq!(listing.pending().collect::<Vec<_>>(), [&request]);
        assert_eq!(listing.corrupt.keys().collect::<Vec<_>>(), [&path(id(60))]);
        let pending = list_pending(&bucket).await.unwrap();
        assert_eq!((&pending.requests, &pending.corrupt), (&listing.requests, &listing.corrupt));
        mark_done(&bucket, request.id, 77).await.unwrap();
        let listing = list(&bucket).await.unwrap();
        assert_eq!(listing.requests[&request.id].done.as_ref().map(|d| d.done_ms), Some(77));
        assert_eq!(listing.pending().count(), 0);
        assert!(list_pending(&bucket).await.unwrap().requests.is_empty());
        cancel(&bucket, request.id).await.unwrap();
        assert!(list(&bucket).await.unwrap().requests.is_empty());
    }

    /// A listing that is older than the blocks does not make a request unknown.
    #[tokio::test]
    async fn what_blocks_note_is_looked_for() {
        let bucket = Bucket::in_memory();
        let request = request(&[("user", "x")]);
        create(&bucket, &request).await.unwrap();
        let applied = |n: u64| {
            let mut meta = meta(0, 150, &[]);
            let deletion = Deletion { request_id: id(n).to_string(), ..Deletion::default() };
            let other = Deletion { request_id: "retention:z".to_owned(), ..Deletion::default() };
            meta.thanos.as_mut().unwrap().rewrites =
                vec![Rewrite { deletions_applied: vec![other, deletion], ..Rewrite::default() }];
            meta
        };
        for (metas, since_ms, want) in
            [(vec![applied(50)], 49, 1), (vec![applied(50)], 50, 0), (vec![applied(51)], 0, 0), (vec![], 0, 0)]
        {
            let mut listing = Listing::default();
            complete(&bucket, &mut listing, metas.iter(), since_ms).await.unwrap();
            assert_eq!(listing.pending().count(), want, "{since_ms}");
        }
    }
}
