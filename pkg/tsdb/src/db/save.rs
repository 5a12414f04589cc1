//! Open chunks are saved now and then, so that a start after a kill need not make them of the log again.

use super::error::{Error, Result};
use super::saving::Next;
use super::tsdb::Tsdb;
use crate::journal::{Log, log_dir};
use crate::open_chunks::SavedWriter;

impl Tsdb {
    /// To be called when nothing is written any more: saves the open chunks for the end of the log.
    ///
    /// # Errors
    /// The disk refuses. The next start replays more of the log.
    pub(crate) async fn save_last_chunks(&self) -> Result<()> {
        self.journal.sync().await.map_err(|e| Error::Head(format!("saved open chunks: {}", e.message)))?;
        {
            let (wal_dir, end) = (log_dir(&self.blocks.dir, Log::Wal), *self.journal.written().borrow());
            self.saving.lock().choose_last(end, &wal_dir, self.blocks.options.unsaved_bytes, &self.head)?;
        }
        self.save_open_chunks().await
    }

    /// To be called again and again: chooses a place in the log, and saves the open chunks for it with a later call.
    ///
    /// # Errors
    /// The disk refuses. It is tried again when the log is longer.
    pub(crate) async fn save_open_chunks(&self) -> Result<()> {
        if !self.replay.borrow().progress.done {
            return Ok(());
        }
        // Nobody else saves, and no file of chunks is removed.
        let _mapping = self.mapping.lock().await;
        let mut saving = self.saving.lock();
        let (wal_dir, options) = (log_dir(&self.blocks.dir, Log::Wal), &self.blocks.options);
        let Some(next) = &saving.next else {
            let end = *self.journal.written().borrow();
            return saving.choose(end, &wal_dir, options.unsaved_bytes, &self.head);
        };
        if !self.head.is_applied(next.commits) {
            return Ok(());
        }
        let Next { position, next_number, .. } = *next;
        saving.next = None;
        // If it fails, the disk may be full: it is left alone for a while.
        saving.last = Some((position, saving.last.map_or(0, |(_, bytes)| bytes)));
        let failed = |e| Error::Head(format!("saved open chunks: {e}"));
        let disk = &*options.journal.wal.disk;
        let Some(mut writer) = SavedWriter::create(&wal_dir, disk, position, next_number).map_err(failed)? else {
            return Ok(());
        };
        self.head.save_open_chunks(&mut writer).map_err(failed)?;
        self.blocks.deps.failpoints.hit("tsdb.saving.before_rename")?;
        let bytes = writer.finish().map_err(failed)?;
        saving.last = Some((position, bytes));
        tracing::debug!(%position, bytes, "saved the open chunks of the head");
        Ok(())
    }
}
