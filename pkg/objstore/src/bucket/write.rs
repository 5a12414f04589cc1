//! Writing and removing objects.

use std::path::Path as LocalPath;

use bytes::Bytes;
use futures::future::BoxFuture;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::io::AsyncReadExt;

use super::{Bucket, Created};
use crate::error::{ErrorKind, Result};

impl Bucket {
    /// Writes an object, over one that is there.
    ///
    /// # Errors
    /// Failures. After one the object may be there or not: look before concluding.
    pub fn put<'a>(&'a self, path: &'a str, body: impl Into<Bytes>) -> BoxFuture<'a, Result<()>> {
        self.put_bytes(path, body.into())
    }

    fn put_bytes<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let location = self.path("upload", path)?;
            let options = self.put_options(PutMode::Overwrite);
            let put = self.store.put_opts(&location, PutPayload::from_bytes(body), options);
            self.within("upload", path, put).await.map(|_| ())
        })
    }

    /// Writes an object unless there is one.
    ///
    /// A request whose answer was lost is sent again and then meets its own object. So that this is not taken for
    /// somebody else's, an object found is compared: `body` should hold something that only this writer writes.
    ///
    /// # Errors
    /// Failures. Whether the store honours the condition: [`Self::probe_conditional_create`]. Where it refuses such
    /// requests altogether (501), this looks first and then writes.
    pub fn put_if_absent<'a>(&'a self, path: &'a str, body: impl Into<Bytes>) -> BoxFuture<'a, Result<Created>> {
        self.put_bytes_if_absent(path, body.into())
    }

    fn put_bytes_if_absent<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            match self.create(path, body.clone()).await {
                Err(e) if e.kind() == ErrorKind::Unsupported => match self.get(path).await {
                    Ok(found) if found == body => Ok(Created::Created),
                    Ok(_) => Ok(Created::AlreadyExists),
                    Err(e) if e.kind() == ErrorKind::NotFound => {
                        self.put(path, body).await?;
                        Ok(Created::Created)
                    }
                    Err(e) => Err(e),
                },
                outcome => outcome,
            }
        })
    }

    /// [`Self::put_if_absent`] by the store's own means.
    pub(crate) fn create<'a>(&'a self, path: &'a str, body: Bytes) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            let location = self.path("upload", path)?;
            let payload = PutPayload::from_bytes(body.clone());
            let put = self.store.put_opts(&location, payload, self.put_options(PutMode::Create));
            match self.within("upload", path, put).await {
                Ok(_) => Ok(Created::Created),
                Err(e) if matches!(e.kind(), ErrorKind::AlreadyExists | ErrorKind::Precondition) => {
                    let same = self.head(path).await?.size == body.len() as u64 && self.get(path).await? == body;
                    Ok(if same { Created::Created } else { Created::AlreadyExists })
                }
                Err(e) => Err(e),
            }
        })
    }

    /// Uploads a local file and returns its size in bytes. What the store then says of the object's size is compared.
    ///
    /// # Errors
    /// `ShortBody` if the object's size is not the file's; `Other` for the local file, also when it changes meanwhile.
    pub fn put_file<'a>(&'a self, path: &'a str, file: &'a LocalPath) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let local = |e: std::io::Error| {
                let text = format!("{}: {e}", file.display());
                self.text_error(ErrorKind::Other, "upload", path, text)
            };
            let mut input = tokio::fs::File::open(file).await.map_err(local)?;
            let size = input.metadata().await.map_err(local)?.len();
            if size <= self.settings.multipart_above_bytes || !self.settings.multipart {
                let body = read_part(&mut input, size.saturating_add(1)).await.map_err(local)?;
                self.same_size(path, file, size, body.len() as u64)?;
                self.put(path, body).await?;
                let stored = self.head(path).await?.size;
                if stored != size {
                    let text = format!("the store has {stored} bytes of {size}");
                    return Err(self.text_error(ErrorKind::ShortBody, "upload", path, text));
                }
                return Ok(size);
            }
            let mut writer = self.put_parts_writer(path)?;
            loop {
                let part = match read_part(&mut input, self.settings.part_bytes).await.map_err(local) {
                    Ok(part) if part.is_empty() => self.same_size(path, file, size, writer.len()).err(),
                    Ok(part) => match writer.write(part).await {
                        Ok(()) => continue,
                        Err(e) => Some(e),
                    },
                    Err(e) => Some(e),
                };
                match part {
                    Some(error) => {
                        writer.abort().await;
                        return Err(error);
                    }
                    None => return writer.finish().await,
                }
            }
        })
    }

    fn same_size(&self, path: &str, file: &LocalPath, size: u64, read: u64) -> Result<()> {
        if read == size {
            return Ok(());
        }
        let text = format!("{} changed while it was read: {size} bytes, then {read}", file.display());
        Err(self.text_error(ErrorKind::Other, "upload", path, text))
    }

    /// Removes an object; one that is not there is no error.
    ///
    /// # Errors
    /// Failures of the store, after its retries.
    pub fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let location = self.path("delete", path)?;
            match self.within("delete", path, self.store.delete(&location)).await {
                Err(e) if !e.is_not_found() => Err(e),
                _ => Ok(()),
            }
        })
    }
}

/// Up to `len` bytes from where `input` stands, fewer only at its end.
async fn read_part(input: &mut tokio::fs::File, len: u64) -> std::io::Result<Bytes> {
    // The file's own length is not trusted for the allocation: it may be a sparse file of any size.
    let mut part = Vec::with_capacity(usize::try_from(len).unwrap_or(usize::MAX).min(16 << 20));
    input.take(len).read_to_end(&mut part).await?;
    Ok(part.into())
}
