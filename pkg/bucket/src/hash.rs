//! SHA-256 of local files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// SHA-256 of a file in lower-case hex, on a thread for blocking work.
pub(crate) async fn sha256(path: &Path) -> Result<String> {
    let path: PathBuf = path.to_owned();
    let shown = path.clone();
    let task = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
        let (mut file, mut hash) = (File::open(&path)?, Sha256::new());
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
        Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
    });
    let outcome = task.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
    outcome.map_err(Error::local(shown))
}
