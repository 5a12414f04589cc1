//! A copy of the database below `snapshots/`: blocks under second names, and the head as one more block.

use std::path::Path;

use model::format_rfc3339_ms;
use tokio_util::sync::CancellationToken;

use super::blocks::{Blocks, Changing};
use super::error::{Error, Result};
use super::files::{FOR_CREATION, SNAPSHOTS, link_block};

impl Blocks {
    /// Makes a copy of all blocks, and of what `write_head` writes into the directory that it is given. Gives the name
    /// below `snapshots/`. The copy gets this name when it is whole; one that fails leaves nothing. Blocks on the disk.
    pub(crate) fn copy(
        &self,
        _: &Changing<'_>,
        cancel: &CancellationToken,
        write_head: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<String> {
        let name = self.copy_name();
        let parent = self.dir.join(SNAPSHOTS);
        let tmp = parent.join(format!("{name}{FOR_CREATION}"));
        let made = self.try_copy(&tmp, cancel, write_head).and_then(|()| {
            self.deps.failpoints.hit("tsdb.snapshot.before_rename")?;
            let to = parent.join(&name);
            self.deps.disk.rename(&tmp, &to).map_err(Error::io("rename", &tmp))
        });
        if let Err(error) = made {
            if let Err(e) = self.deps.disk.remove_dir(&tmp) {
                tracing::warn!(path = %tmp.display(), error = %e, "cannot remove a copy that failed, the next start will");
            }
            return Err(error);
        }
        tracing::info!(name, "copied the database");
        Ok(name)
    }

    fn try_copy(
        &self,
        tmp: &Path,
        cancel: &CancellationToken,
        write_head: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        let disk = &*self.deps.disk;
        disk.create_dir(tmp).map_err(Error::io("create", tmp))?;
        for block in &self.views.current().blocks {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            link_block(disk, &block.dir, &tmp.join(block.meta.ulid.to_string()), true)?;
        }
        write_head(tmp)
    }

    /// Such as `20261129T063400Z-1f2e3d4c5b6a7988`, as Prometheus names them.
    fn copy_name(&self) -> String {
        let time = format_rfc3339_ms(self.deps.clock.now_ms());
        let (seconds, _) = time.split_once('.').unwrap_or((time.trim_end_matches('Z'), ""));
        let seconds: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
        format!("{seconds}Z-{:x}", (self.deps.random)() as u64 >> 1)
    }
}
