//! A local directory. `object_store` writes to `<file>#<number>` and renames it when it is whole; a writer that is killed
//! leaves that file. No object is called so: `#` in a key is escaped.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;

use super::{Unfinished, UnfinishedMarker, UnfinishedPage, UnfinishedUpload};

/// The directory of the bucket, its prefix included.
#[derive(Debug)]
pub(crate) struct LocalUnfinished(pub(crate) PathBuf);

fn failed(path: &Path, e: std::io::Error) -> object_store::Error {
    let path = path.display().to_string();
    match e.kind() {
        std::io::ErrorKind::NotFound => object_store::Error::NotFound { path, source: e.into() },
        _ => object_store::Error::Generic { store: "LocalFileSystem", source: e.into() },
    }
}

fn modified_ms(path: &Path) -> std::io::Result<i64> {
    let age = std::fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

fn found(root: &Path) -> std::io::Result<Vec<UnfinishedUpload>> {
    let (mut uploads, mut dirs) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            // Removed with its last file.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            // Links are not followed.
            if entry.file_type()?.is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let name = entry.path();
            let Some((path, id)) = name.strip_prefix(root).ok().and_then(Path::to_str).and_then(|p| p.rsplit_once('#'))
            else {
                continue;
            };
            if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
                continue;
            }
            match modified_ms(&name) {
                Ok(begun_ms) => {
                    uploads.push(UnfinishedUpload { path: path.to_owned(), id: id.to_owned(), begun_ms });
                }
                // Renamed by now.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
    }
    uploads.sort_by(|a, b| (&a.path, &a.id).cmp(&(&b.path, &b.id)));
    Ok(uploads)
}

impl LocalUnfinished {
    fn file(&self, upload: &UnfinishedUpload) -> PathBuf {
        self.0.join(format!("{}#{}", upload.path, upload.id))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        path: PathBuf,
        work: impl FnOnce(&Path) -> std::io::Result<T> + Send + 'static,
    ) -> object_store::Result<T> {
        let done = tokio::task::spawn_blocking(move || work(&path).map_err(|e| failed(&path, e))).await;
        done.unwrap_or_else(|e| Err(failed(&self.0, std::io::Error::other(e))))
    }
}

#[async_trait]
impl Unfinished for LocalUnfinished {
    async fn page(&self, _: Option<UnfinishedMarker>) -> object_store::Result<UnfinishedPage> {
        let uploads = self.blocking(self.0.clone(), found).await?;
        Ok(UnfinishedPage { uploads, next: None })
    }

    async fn newest_part_ms(&self, upload: &UnfinishedUpload) -> object_store::Result<Option<i64>> {
        self.blocking(self.file(upload), modified_ms).await.map(Some)
    }

    async fn abort(&self, upload: &UnfinishedUpload) -> object_store::Result<()> {
        let root = self.0.clone();
        let remove = move |file: &Path| {
            std::fs::remove_file(file)?;
            // Directories go with their last file, as when objects are deleted.
            for dir in file.ancestors().skip(1).take_while(|dir| *dir != root) {
                if std::fs::remove_dir(dir).is_err() {
                    break;
                }
            }
            Ok(())
        };
        self.blocking(self.file(upload), remove).await
    }
}
