//! `meta.json` files kept on disk, so that a restart does not fetch thousands of them again.
//!
//! Beside each file lies `origin.json`: what the listing said of the object when it was read. A file whose origin is not
//! what the listing says now is not used (thanos-io/thanos#8389); nor is one without, as older programs leave them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use block::{BlockId, META_FILE};
use objstore::Object;
use serde::{Deserialize, Serialize};

const ORIGIN_FILE: &str = "origin.json";

/// Identifies one state of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) size: u64,
    pub(crate) last_modified_ms: i64,
    #[serde(default)]
    pub(crate) etag: Option<String>,
}

impl Origin {
    pub(crate) fn of(object: &Object) -> Self {
        Self { size: object.size, last_modified_ms: object.last_modified_ms, etag: object.etag.clone() }
    }
}

/// `<dir>/<ULID>/{meta.json,origin.json}`.
#[derive(Debug, Clone)]
pub(crate) struct DiskCache {
    dir: PathBuf,
}

impl DiskCache {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The bytes kept for `id`, if they are of `origin`. Whatever is wrong with them, they are just not there.
    pub(crate) fn read(&self, id: BlockId, origin: &Origin) -> Option<Vec<u8>> {
        let dir = self.dir.join(id.to_string());
        let kept: Origin = serde_json::from_slice(&fs::read(dir.join(ORIGIN_FILE)).ok()?).ok()?;
        let json = fs::read(dir.join(META_FILE)).ok()?;
        (kept == *origin && json.len() as u64 == origin.size).then_some(json)
    }

    /// Keeps `json`. The origin is removed first and written last: a crash between leaves a file that is not used.
    pub(crate) fn write(&self, id: BlockId, origin: &Origin, json: &[u8]) -> io::Result<()> {
        let dir = self.dir.join(id.to_string());
        fs::create_dir_all(&dir)?;
        match fs::remove_file(dir.join(ORIGIN_FILE)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        replace(&dir.join(META_FILE), json)?;
        replace(&dir.join(ORIGIN_FILE), &serde_json::to_vec(origin)?)
    }

    /// Removes what is kept of blocks other than `known`. Only directories named as blocks are touched.
    pub(crate) fn retain(&self, known: impl Fn(BlockId) -> bool) -> io::Result<()> {
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| BlockId::parse(name).ok());
            if id.is_some_and(|id| !known(id)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}
