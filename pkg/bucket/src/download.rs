//! Bringing a block from the bucket to the disk.

use std::path::Path;

use block::meta::BlockFile;
use block::{BlockId, BlockMeta, META_FILE};
use futures::future::BoxFuture;
use objstore::Bucket;
use tokio::io::AsyncWriteExt;

use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::listing::list_block;

/// Bytes per request, and in memory.
const PIECE_BYTES: u64 = 16 << 20;

/// Downloads `block` into `dir` and returns its meta. Files that are there with the checksum that `meta.json` notes are
/// kept; every other is fetched, and checked against the size (and checksum) noted.
///
/// `meta.json` is written last: a directory with one is a whole block.
///
/// # Errors
/// [`Error::Corrupt`] if the bucket does not hold what `meta.json` says.
pub fn download_block<'a>(bucket: &'a Bucket, block: BlockId, dir: &'a Path) -> BoxFuture<'a, Result<BlockMeta>> {
    Box::pin(async move {
        let meta_path = format!("{block}/{META_FILE}");
        let json = bucket.get(&meta_path).await?;
        let corrupt = |what: String| Error::Corrupt { block, what };
        let meta = BlockMeta::parse(&meta_path, &json).map_err(|e| corrupt(e.to_string()))?;
        let chunks = dir.join("chunks");
        tokio::fs::create_dir_all(&chunks).await.map_err(Error::local(&chunks))?;
        let local_meta = dir.join(META_FILE);
        match tokio::fs::remove_file(&local_meta).await {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::local(&local_meta)(e)),
            _ => {}
        }
        for file in wanted(bucket, &meta).await? {
            let path = &file.rel_path;
            if !is_block_file(path) {
                return Err(corrupt(format!("meta.json names {path:?}, which is no file of a block")));
            }
            let local = dir.join(path);
            let hash = file.hash.as_ref().filter(|h| h.hash_func == "SHA256").map(|h| h.value.as_str());
            if let Some(hash) = hash
                && tokio::fs::try_exists(&local).await.unwrap_or(false)
                && sha256(&local).await? == hash
            {
                continue;
            }
            let size = bucket.head(&format!("{block}/{path}")).await?.size;
            if file.size_bytes != 0 && size != file.size_bytes {
                return Err(corrupt(format!("{path} has {size} bytes, meta.json says {}", file.size_bytes)));
            }
            let temporary = local.with_extension("tmp");
            fetch(bucket, &format!("{block}/{path}"), size, &temporary).await?;
            if let Some(hash) = hash {
                let found = sha256(&temporary).await?;
                if found != hash {
                    return Err(corrupt(format!("{path} has SHA-256 {found}, meta.json says {hash}")));
                }
            }
            tokio::fs::rename(&temporary, &local).await.map_err(Error::local(&local))?;
        }
        tokio::fs::write(&local_meta, &json).await.map_err(Error::local(&local_meta))?;
        Ok(meta)
    })
}

/// What `meta.json` lists, or what lies there if it lists nothing (blocks of old producers).
async fn wanted(bucket: &Bucket, meta: &BlockMeta) -> Result<Vec<BlockFile>> {
    let listed = meta.thanos.as_ref().map(|t| t.files.as_slice()).unwrap_or_default();
    let mut files: Vec<BlockFile> = listed.iter().filter(|f| f.rel_path != META_FILE).cloned().collect();
    if files.is_empty() {
        let there = list_block(bucket, meta.ulid).await?;
        let data = there.objects.into_iter().filter(|(path, _)| is_block_file(path));
        files = data.map(|(rel_path, o)| BlockFile { rel_path, size_bytes: o.size, hash: None }).collect();
    }
    Ok(files)
}

/// `index` and `chunks/<number>`: nothing that leads out of the directory, no marks.
fn is_block_file(path: &str) -> bool {
    let segment = path.strip_prefix("chunks/").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    path == "index" || segment
}

async fn fetch(bucket: &Bucket, path: &str, size: u64, local: &Path) -> Result<()> {
    let mut file = tokio::fs::File::create(local).await.map_err(Error::local(local))?;
    let mut at = 0;
    while at < size {
        let end = size.min(at + PIECE_BYTES);
        let piece = bucket.get_range(path, at..end).await?;
        file.write_all(&piece).await.map_err(Error::local(local))?;
        at = end;
    }
    file.flush().await.map_err(Error::local(local))?;
    file.sync_all().await.map_err(Error::local(local))
}
