//! Writing an object piece by piece, without knowing its size before.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{MultipartUpload, PutMultipartOptions, PutPayload};
use tokio::task::JoinSet;

use crate::bucket::{Bucket, Settings};
use crate::error::{ErrorKind, Result};

/// An object under way; visible, whole, when [`finish`](Self::finish) returns.
///
/// Parts are sent by tasks of their own while more is written. What fits one part goes in one request. Dropped
/// unfinished, parts that were sent are given up.
#[derive(Debug)]
pub struct PartsWriter {
    bucket: Bucket,
    path: String,
    location: Path,
    settings: Arc<Settings>,
    upload: Option<Box<dyn MultipartUpload>>,
    /// Less than a part, in the pieces it came in.
    waiting: Vec<Bytes>,
    waiting_bytes: u64,
    flying: JoinSet<Result<()>>,
    taken: u64,
}

impl PartsWriter {
    pub(crate) fn new(bucket: &Bucket, path: &str, settings: Arc<Settings>) -> Result<Self> {
        Ok(Self {
            bucket: bucket.clone(),
            path: path.to_owned(),
            location: bucket.path("upload", path)?,
            settings,
            upload: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            flying: JoinSet::new(),
            taken: 0,
        })
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.taken
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.taken == 0
    }

    /// Takes more bytes. Waits while [`Settings::parts_in_flight`] parts are being sent and another one is full.
    ///
    /// # Errors
    /// The failure of any part before; the object will not come to be.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) -> Result<()> {
        let mut bytes = bytes.into();
        self.taken += bytes.len() as u64;
        let part = self.settings.part_bytes.max(1);
        while self.settings.multipart && self.waiting_bytes + bytes.len() as u64 > part {
            let head = bytes.split_to((part - self.waiting_bytes) as usize);
            self.wait(head);
            self.send_part().await?;
        }
        self.wait(bytes);
        Ok(())
    }

    fn wait(&mut self, bytes: Bytes) {
        self.waiting_bytes += bytes.len() as u64;
        if !bytes.is_empty() {
            self.waiting.push(bytes);
        }
    }

    fn take_waiting(&mut self) -> PutPayload {
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting).into_iter().collect()
    }

    fn send_part(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let payload = self.take_waiting();
            let mut upload = match self.upload.take() {
                Some(upload) => upload,
                None => {
                    let options =
                        PutMultipartOptions { attributes: self.bucket.attributes(), ..PutMultipartOptions::default() };
                    let begin = self.bucket.store().put_multipart_opts(&self.location, options);
                    self.bucket.within("upload", &self.path, begin).await?
                }
            };
            let part = upload.put_part(payload);
            self.upload = Some(upload);
            while self.flying.len() >= self.settings.parts_in_flight.max(1) {
                self.land().await?;
            }
            let (bucket, path) = (self.bucket.clone(), self.path.clone());
            self.flying.spawn(async move { bucket.within("upload", &path, part).await });
            Ok(())
        })
    }

    async fn land(&mut self) -> Result<()> {
        match self.flying.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(e)) => {
                Err(self.bucket.text_error(ErrorKind::Other, "upload", &self.path, format!("part not sent: {e}")))
            }
            None => Ok(()),
        }
    }

    /// Sends what is left, makes the object visible, and compares its size with what the store says; gives the size in
    /// bytes.
    ///
    /// # Errors
    /// `ShortBody` if the sizes differ; failures, after which the parts were given up.
    pub async fn finish(mut self) -> Result<u64> {
        let outcome = self.complete().await;
        if let Err(error) = outcome {
            self.give_up().await;
            return Err(error);
        }
        let stored = self.bucket.head(&self.path).await?.size;
        if stored != self.taken {
            let text = format!("the store has {stored} bytes of {}", self.taken);
            return Err(self.bucket.text_error(ErrorKind::ShortBody, "upload", &self.path, text));
        }
        Ok(self.taken)
    }

    fn complete(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.upload.is_none() {
                let payload = self.take_waiting();
                return self.bucket.put_payload(&self.path, &self.location, payload).await;
            }
            if self.waiting_bytes > 0 {
                self.send_part().await?;
            }
            while !self.flying.is_empty() {
                self.land().await?;
            }
            if let Some(upload) = &mut self.upload {
                self.bucket.within("upload", &self.path, upload.complete()).await?;
            }
            self.upload = None;
            Ok(())
        })
    }

    /// Gives the object up; one that stood there before stays.
    pub async fn abort(mut self) {
        self.give_up().await;
    }

    fn give_up(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.flying.shutdown().await;
            let Some(upload) = self.upload.take() else { return };
            abort_upload(&self.bucket, &self.path, upload).await;
        })
    }
}

/// Parts left behind cost money; a failure here changes nothing for the caller.
async fn abort_upload(bucket: &Bucket, path: &str, mut upload: Box<dyn MultipartUpload>) {
    if let Err(error) = bucket.within("upload", path, upload.abort()).await {
        tracing::debug!(bucket = bucket.name(), path, err = %error, "multipart upload not aborted");
    }
}

impl Drop for PartsWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        self.flying.abort_all();
        let (bucket, path) = (self.bucket.clone(), std::mem::take(&mut self.path));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort_upload(&bucket, &path, upload).await });
        }
    }
}

impl Bucket {
    /// Begins an object that is written piece by piece, over one that is there. Parts are of
    /// [`Settings::part_bytes`]; without [`Settings::multipart`] the whole object is held in memory.
    ///
    /// # Errors
    /// `Other` for a path that cannot be.
    pub fn put_parts_writer(&self, path: &str) -> Result<PartsWriter> {
        PartsWriter::new(self, path, self.shared_settings())
    }

    /// [`Self::put_parts_writer`] with parts of `part_bytes`, at most `parts_in_flight` sent at a time. Stores refuse
    /// more than 10 000 parts, and parts below 5 MiB but for the last.
    ///
    /// # Errors
    /// `Other` for a path that cannot be.
    pub fn put_parts_writer_of(&self, path: &str, part_bytes: u64, parts_in_flight: usize) -> Result<PartsWriter> {
        let settings = Settings { part_bytes, parts_in_flight, ..self.settings().clone() };
        PartsWriter::new(self, path, Arc::new(settings))
    }

    async fn put_payload(&self, path: &str, location: &Path, payload: PutPayload) -> Result<()> {
        let options = self.put_options(object_store::PutMode::Overwrite);
        self.within("upload", path, self.store().put_opts(location, payload, options)).await?;
        Ok(())
    }
}
