//! What the folder of a demo knows of its history, so that a later run goes on with it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::blocks::Error;
use crate::story::Story;

const FILE: &str = "history.json";

/// The history in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its length when it was made.
    pub days: u32,
    /// Where it ended then, ms.
    pub end_ms: i64,
    /// Until when all samples are in the bucket, ms.
    pub until_ms: i64,
}

impl Record {
    /// What the folder says; `None` where nothing was written yet.
    ///
    /// # Errors
    /// The file cannot be read, or is no such file.
    pub async fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        match tokio::fs::read(&path).await {
            Ok(json) => Ok(Some(
                serde_json::from_slice(&json)
                    .map_err(|e| format!("{}: {e}. Remove the folder to begin anew", path.display()))?,
            )),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{}: {e}", path.display()).into()),
        }
    }

    /// Writes it whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub async fn save(&self, dir: &Path) -> Result<(), Error> {
        let (path, new) = (dir.join(FILE), dir.join("history.new"));
        tokio::fs::write(&new, serde_json::to_vec(self)?).await?;
        Ok(tokio::fs::rename(&new, &path).await?)
    }

    pub fn story(&self) -> Story {
        Story::of(self.end_ms, self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Record::load(dir.path()).await.unwrap(), None);
        let record = Record { days: 90, end_ms: 7_200_000, until_ms: 14_400_000 };
        record.save(dir.path()).await.unwrap();
        assert_eq!(Record::load(dir.path()).await.unwrap(), Some(record));
        std::fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(Record::load(dir.path()).await.unwrap_err().to_string().contains("begin anew"));
    }
}
