//! Objects in memory behind the `s3s` crate, which speaks HTTP, XML and signatures for us.
//!
//! One lock around everything: each write is one step, so a conditional write cannot race, and a read takes a
//! reference to a body that no later write changes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use md5::{Digest, Md5};
use parking_lot::Mutex;
use s3s::dto::*;
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

/// S3's smallest part, except for the last.
const PART_BYTES_MIN: usize = 5 << 20;
/// S3's longest page.
const PAGE_KEYS_MAX: i32 = 1000;

/// An in-memory S3 with buckets, listings, multipart uploads and conditional writes. Clones share the objects.
#[derive(Clone, Default)]
pub struct Backend(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    buckets: BTreeMap<String, Objects>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
    uploads_page_max: Option<usize>,
    ignore_conditions: bool,
    refuse_conditions: bool,
}

type Objects = BTreeMap<String, Stored>;

#[derive(Clone)]
struct Stored {
    body: Bytes,
    etag: String,
    modified: SystemTime,
}

struct Upload {
    bucket: String,
    key: String,
    parts: BTreeMap<i32, Stored>,
    begun: SystemTime,
}

impl Stored {
    fn new(body: Bytes) -> Self {
        Self { etag: hex(&Md5::digest(&body)), body, modified: SystemTime::now() }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl Backend {
    /// Makes an empty bucket.
    pub fn create_bucket(&self, bucket: &str) {
        self.0.lock().buckets.entry(bucket.to_owned()).or_default();
    }

    /// All keys of `bucket`, sorted.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.0.lock().buckets.get(bucket).map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// An object's body.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        Some(self.0.lock().buckets.get(bucket)?.get(key)?.body.clone())
    }

    /// Puts an object behind the server's back.
    pub fn insert(&self, bucket: &str, key: &str, body: impl Into<Bytes>, modified: SystemTime) {
        let object = Stored { modified, ..Stored::new(body.into()) };
        self.0.lock().buckets.entry(bucket.to_owned()).or_default().insert(key.to_owned(), object);
    }

    /// Removes an object behind the server's back.
    pub fn remove(&self, bucket: &str, key: &str) {
        if let Some(objects) = self.0.lock().buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    /// Multipart uploads neither completed nor aborted.
    pub fn uploads_open(&self) -> usize {
        self.0.lock().uploads.len()
    }

    /// Their keys, sorted.
    pub fn upload_keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.0.lock().uploads.values().map(|u| u.key.clone()).collect();
        keys.sort();
        keys
    }

    /// Begins a multipart upload behind the server's back, with one part.
    pub fn insert_upload(&self, bucket: &str, key: &str, begun: SystemTime, part: impl Into<Bytes>, added: SystemTime) {
        let mut state = self.0.lock();
        state.uploads_begun += 1;
        let id = format!("upload-{}", state.uploads_begun);
        let part = Stored { modified: added, ..Stored::new(part.into()) };
        let parts = BTreeMap::from([(1, part)]);
        state.uploads.insert(id, Upload { bucket: bucket.to_owned(), key: key.to_owned(), parts, begun });
    }

    /// Show no more unfinished uploads, and parts of one, on a page.
    pub fn set_uploads_page_max(&self, max: usize) {
        self.0.lock().uploads_page_max = Some(max);
    }

    /// Be a store that takes `If-None-Match` and does not heed it.
    pub fn ignore_conditions(&self, ignore: bool) {
        self.0.lock().ignore_conditions = ignore;
    }

    /// Be a store that does not know `If-None-Match` and says so.
    pub fn refuse_conditions(&self, refuse: bool) {
        self.0.lock().refuse_conditions = refuse;
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        let state = self.0.lock();
        let objects = state.buckets.get(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        objects.get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

impl State {
    /// Puts `object` in place if the conditions on what is there hold.
    fn write(
        &mut self,
        bucket: &str,
        key: &str,
        object: Stored,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        if self.refuse_conditions && if_none_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let heed = !self.ignore_conditions;
        let objects = self.buckets.get_mut(bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let there = objects.get(key);
        let meets = |condition: &ETagCondition, there: &Stored| match condition {
            ETagCondition::Any => true,
            ETagCondition::ETag(etag) => etag.value() == there.etag,
        };
        if heed {
            match (if_match, there) {
                (Some(_), None) => return Err(s3_error!(NoSuchKey)),
                (Some(condition), Some(there)) if !meets(condition, there) => {
                    return Err(s3_error!(PreconditionFailed));
                }
                _ => {}
            }
            if if_none_match.zip(there).is_some_and(|(condition, there)| meets(condition, there)) {
                return Err(s3_error!(PreconditionFailed));
            }
        }
        objects.insert(key.to_owned(), object);
        Ok(())
    }
}

/// A request's body, whole. Errors of its checksums come through.
async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut out = BytesMut::new();
    if let Some(mut body) = body {
        let broken = |e| S3Error::with_source(S3ErrorCode::IncompleteBody, e);
        while let Some(chunk) = body.try_next().await.map_err(broken)? {
            out.extend_from_slice(&chunk);
        }
    }
    Ok(out.freeze())
}

#[async_trait]
impl S3 for Backend {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let there = self.0.lock().buckets.contains_key(&request.input.bucket);
        if there { Ok(S3Response::new(HeadBucketOutput::default())) } else { Err(s3_error!(NoSuchBucket)) }
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let object = Stored::new(collect(input.body).await?);
        let etag = ETag::Strong(object.etag.clone());
        let (if_match, if_none_match) = (input.if_match.as_ref(), input.if_none_match.as_ref());
        self.0.lock().write(&input.bucket, &input.key, object, if_match, if_none_match)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let object = self.find(&input.bucket, &input.key)?;
        let size = object.body.len() as u64;
        let (body, content_range) = match input.range {
            None => (object.body.clone(), None),
            Some(range) => {
                let range = range.check(size)?;
                let said = format!("bytes {}-{}/{size}", range.start, range.end - 1);
                (object.body.slice(range.start as usize..range.end as usize), Some(said))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(body.len() as i64),
            content_range,
            body: Some(StreamingBlob::wrap(futures::stream::once(async move { Ok::<_, std::io::Error>(body) }))),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.find(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(object.body.len() as i64),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let mut state = self.0.lock();
        let objects = state.buckets.get_mut(&request.input.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        objects.remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut state = self.0.lock();
        let objects = state.buckets.get_mut(&request.input.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let mut deleted = Vec::new();
        for object in request.input.delete.objects {
            objects.remove(&object.key);
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let state = self.0.lock();
        let objects = state.buckets.get(&input.bucket).ok_or_else(|| s3_error!(NoSuchBucket))?;
        let keys_max = input.max_keys.unwrap_or(PAGE_KEYS_MAX).clamp(1, PAGE_KEYS_MAX);
        let prefix = input.prefix.clone().unwrap_or_default();
        // The token is the last key or common prefix of the page before.
        let after = [&input.continuation_token, &input.start_after].into_iter().flatten().max().cloned();
        let page = page(objects, &prefix, input.delimiter.as_deref(), after.as_deref(), keys_max as usize);
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some((page.keys.len() + page.dirs.len()) as i32),
            max_keys: Some(keys_max),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next,
            contents: Some(page.keys),
            common_prefixes: Some(page.dirs),
            name: Some(input.bucket),
            prefix: input.prefix,
            delimiter: input.delimiter,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let CreateMultipartUploadInput { bucket, key, .. } = request.input;
        let mut state = self.0.lock();
        if !state.buckets.contains_key(&bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        state.uploads_begun += 1;
        let id = format!("upload-{}", state.uploads_begun);
        let upload =
            Upload { bucket: bucket.clone(), key: key.clone(), parts: BTreeMap::new(), begun: SystemTime::now() };
        state.uploads.insert(id.clone(), upload);
        let output = CreateMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(id),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        let part = Stored::new(collect(input.body).await?);
        let etag = ETag::Strong(part.etag.clone());
        let mut state = self.0.lock();
        let upload = state.uploads.get_mut(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        upload.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput { e_tag: Some(etag), ..Default::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let wanted = input.multipart_upload.and_then(|m| m.parts).unwrap_or_default();
        let mut state = self.0.lock();
        let upload = state.uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let object = joined(upload, &wanted)?;
        let (bucket, key) = (upload.bucket.clone(), upload.key.clone());
        let etag = ETag::Strong(object.etag.clone());
        state.write(&bucket, &key, object, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        state.uploads.remove(&input.upload_id);
        let output = CompleteMultipartUploadOutput {
            bucket: Some(bucket),
            key: Some(key),
            e_tag: Some(etag),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.lock().uploads.remove(&request.input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let state = self.0.lock();
        let prefix = input.prefix.clone().unwrap_or_default();
        let of_bucket = state.uploads.iter().filter(|(_, u)| u.bucket == input.bucket && u.key.starts_with(&prefix));
        let mut all: Vec<(&str, &str, SystemTime)> =
            of_bucket.map(|(id, u)| (u.key.as_str(), id.as_str(), u.begun)).collect();
        all.sort_unstable();
        let key = input.key_marker.clone().unwrap_or_default();
        let id = input.upload_id_marker.clone().filter(|id| !id.is_empty());
        // Without an upload's id all uploads of the key were shown.
        let is_before = |u: &(&str, &str, SystemTime)| match &id {
            Some(id) => (u.0, u.1) <= (&key, id),
            None => u.0 <= key.as_str(),
        };
        let max = state.uploads_page_max.unwrap_or(PAGE_KEYS_MAX as usize);
        let (shown, more) = next_page(all, max, is_before);
        let last = shown.last().filter(|_| more);
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            prefix: input.prefix,
            is_truncated: Some(more),
            next_key_marker: last.map(|l| l.0.to_owned()),
            next_upload_id_marker: last.map(|l| l.1.to_owned()),
            uploads: Some(
                shown
                    .iter()
                    .map(|(key, id, begun)| MultipartUpload {
                        key: Some((*key).to_owned()),
                        upload_id: Some((*id).to_owned()),
                        initiated: Some((*begun).into()),
                        ..Default::default()
                    })
                    .collect(),
            ),
            ..Default::default()
        }))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let state = self.0.lock();
        let upload = state.uploads.get(&input.upload_id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let after = input.part_number_marker.unwrap_or(0);
        let all: Vec<(&i32, &Stored)> = upload.parts.iter().collect();
        let max = state.uploads_page_max.unwrap_or(PAGE_KEYS_MAX as usize);
        let (shown, more) = next_page(all, max, |(number, _)| **number <= after);
        let last = shown.last().filter(|_| more).map(|(number, _)| **number);
        Ok(S3Response::new(ListPartsOutput {
            is_truncated: Some(more),
            next_part_number_marker: last,
            parts: Some(
                shown
                    .iter()
                    .map(|(number, part)| Part {
                        part_number: Some(**number),
                        last_modified: Some(part.modified.into()),
                        size: Some(part.body.len() as i64),
                        ..Default::default()
                    })
                    .collect(),
            ),
            upload_id: Some(input.upload_id.clone()),
            ..Default::default()
        }))
    }
}

/// One page of `all`, which is sorted, after what `is_before` says was shown; and whether there is more.
fn next_page<T>(all: Vec<T>, max: usize, is_before: impl Fn(&T) -> bool) -> (Vec<T>, bool) {
    let mut rest: Vec<T> = all.into_iter().skip_while(is_before).collect();
    let more = rest.len() > max;
    rest.truncate(max);
    (rest, more)
}

/// The object made of the parts the client names, checked as S3 checks them.
fn joined(upload: &Upload, wanted: &[CompletedPart]) -> S3Result<Stored> {
    if wanted.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    let (mut body, mut digests, mut before) = (BytesMut::new(), Md5::new(), 0);
    for (place, named) in wanted.iter().enumerate() {
        let number = named.part_number.ok_or_else(|| s3_error!(InvalidPart))?;
        let part = upload.parts.get(&number).ok_or_else(|| s3_error!(InvalidPart))?;
        if named.e_tag.as_ref().is_some_and(|etag| etag.value() != part.etag) {
            return Err(s3_error!(InvalidPart));
        }
        if number <= before {
            return Err(s3_error!(InvalidPartOrder));
        }
        if place + 1 < wanted.len() && part.body.len() < PART_BYTES_MIN {
            return Err(s3_error!(EntityTooSmall));
        }
        before = number;
        digests.update(Md5::digest(&part.body));
        body.extend_from_slice(&part.body);
    }
    let etag = format!("{}-{}", hex(&digests.finalize()), wanted.len());
    Ok(Stored { body: body.freeze(), etag, modified: SystemTime::now() })
}

#[derive(Default)]
struct Page {
    keys: Vec<Object>,
    dirs: Vec<CommonPrefix>,
    next: Option<String>,
}

/// Up to `max` keys and common prefixes below `prefix`, after `after`.
fn page(objects: &Objects, prefix: &str, delimiter: Option<&str>, after: Option<&str>, max: usize) -> Page {
    let mut page = Page::default();
    let mut last: Option<String> = None;
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    for (key, object) in objects.range::<str, _>((from, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        let dir =
            delimiter.filter(|d| !d.is_empty()).and_then(|d| Some(&key[..prefix.len() + rest.find(d)? + d.len()]));
        let shown = dir.unwrap_or(key);
        // Everything below a directory that was shown, on this page or the one before.
        if dir.is_some() && (last.as_deref() == dir || after == dir) {
            continue;
        }
        if page.keys.len() + page.dirs.len() == max {
            page.next = last;
            return page;
        }
        match dir {
            Some(dir) => page.dirs.push(CommonPrefix { prefix: Some(dir.to_owned()) }),
            None => page.keys.push(Object {
                key: Some(key.clone()),
                size: Some(object.body.len() as i64),
                e_tag: Some(ETag::Strong(object.etag.clone())),
                last_modified: Some(object.modified.into()),
                ..Default::default()
            }),
        }
        last = Some(shown.to_owned());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let names = ["a/1", "a/2", "b", "c/1", "d"];
        let objects: Objects = names.iter().map(|n| ((*n).to_owned(), Stored::new(Bytes::new()))).collect();
        let all = |prefix: &str, delimiter: Option<&str>, max: usize| {
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = page(&objects, prefix, delimiter, after.as_deref(), max);
                let mut shown: Vec<String> = page.keys.into_iter().filter_map(|k| k.key).collect();
                shown.extend(page.dirs.into_iter().filter_map(|d| d.prefix));
                shown.sort();
                seen.extend(shown);
                match page.next {
                    Some(next) => after = Some(next),
                    None => return seen,
                }
            }
        };
        for max in 1..=6 {
            assert_eq!(all("", None, max), names, "{max}");
            assert_eq!(all("", Some("/"), max), ["a/", "b", "c/", "d"], "{max}");
            assert_eq!(all("a/", Some("/"), max), ["a/1", "a/2"], "{max}");
        }
    }
}
