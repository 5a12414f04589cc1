//! `thanos.shipper.json`, the list of blocks that are in the bucket. Prometheus reads it too, to know which blocks it may
//! compact (`--storage.tsdb.delay-compact-file.path`).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use block::BlockId;
use serde::{Deserialize, Serialize};
use service::{Failpoint, Failpoints};

/// Blocks in the bucket, of those still on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shipped(pub BTreeSet<BlockId>);

/// Why the list was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system; names the file.
    #[error("{0}")]
    File(String),
    /// A test ends the pass.
    #[error(transparent)]
    Failpoint(#[from] Failpoint),
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    version: u32,
    #[serde(default)]
    uploaded: Option<Vec<String>>,
}

impl Shipped {
    /// Reads the file; empty when there is none. Names that are no blocks are left out.
    ///
    /// # Errors
    /// When it cannot be read or is no such list; starting from an empty one is then safe, since the bucket is asked.
    pub fn read(path: &Path) -> Result<Self, String> {
        let json = match fs::read(path) {
            Ok(json) => json,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(format!("{}: {e}", path.display())),
        };
        let file: FileJson = serde_json::from_slice(&json).map_err(|e| format!("{}: {e}", path.display()))?;
        if file.version != 1 {
            return Err(format!("{}: version {} is unknown", path.display(), file.version));
        }
        let ids = file.uploaded.unwrap_or_default();
        Ok(Self(ids.iter().filter_map(|id| BlockId::parse(id).ok()).collect()))
    }

    /// Writes the file so that it is never seen half, whatever happens meanwhile.
    ///
    /// # Errors
    /// From the file system, or a failpoint.
    pub fn write(&self, path: &Path, failpoints: &Failpoints) -> Result<(), WriteError> {
        let at = |p: &Path| {
            let p = p.display().to_string();
            move |e: io::Error| WriteError::File(format!("{p}: {e}"))
        };
        let file = FileJson { version: 1, uploaded: Some(self.0.iter().map(BlockId::to_string).collect()) };
        let mut json = Vec::new();
        let mut writer =
            serde_json::Serializer::with_formatter(&mut json, serde_json::ser::PrettyFormatter::with_indent(b"\t"));
        file.serialize(&mut writer).map_err(|e| at(path)(e.into()))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".tmp");
        let temporary = path.with_file_name(name);
        let mut out = File::create(&temporary).map_err(at(&temporary))?;
        let written = out.write_all(&json).and_then(|()| out.sync_all()).map_err(at(&temporary));
        failpoints.hit("shipper.before_list_rename")?;
        if let Err(e) = written.and_then(|()| fs::rename(&temporary, path).map_err(at(path))) {
            // The disk may be full: the temporary file must not stay.
            let _ = fs::remove_file(&temporary);
            return Err(e);
        }
        match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => File::open(dir).and_then(|d| d.sync_all()).map_err(at(dir)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_thanos() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thanos.shipper.json");
        assert_eq!(Shipped::read(&path).unwrap(), Shipped::default());
        let id = BlockId::parse("01M7XNEDBRHMVA77T71GPE1DE5").unwrap();
        let list = Shipped(BTreeSet::from([id]));
        list.write(&path, &Failpoints::none()).unwrap();
        let text = "{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"01M7XNEDBRHMVA77T71GPE1DE5\"\n\t]\n}";
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(Shipped::read(&path).unwrap(), list);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "the temporary file is gone");
    }

    #[test]
    fn other_texts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for (text, want) in [
            ("{\"version\":1,\"uploaded\":null}", Ok(Shipped::default())),
            ("{\"version\":1,\"uploaded\":[\"x\"]}", Ok(Shipped::default())),
            ("{\"version\":2}", Err("version 2 is unknown")),
            ("{\"version\":1,\"upl", Err("EOF")),
        ] {
            fs::write(&path, text).unwrap();
            match (Shipped::read(&path), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, want) => panic!("{text}: {got:?}, not {want:?}"),
            }
        }
    }
}
