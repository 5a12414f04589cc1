//! What an operator asks of the database. Requests wait for one another and for compaction.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use labels::Matcher;
use model::TimeRange;
use storage::{Ctx, Result as StorageResult, TsdbAdmin};

use super::error::{Error, Result};
use super::tsdb::Tsdb;
use super::work::aside;

/// A database as its operator sees it.
#[derive(Debug, Clone)]
pub struct Admin(pub Arc<Tsdb>);

impl TsdbAdmin for Admin {
    fn delete_series(
        &self,
        _: &Ctx,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> BoxFuture<'static, StorageResult<()>> {
        let tsdb = self.0.clone();
        outcome(aside(move |_| async move {
            let changing = tsdb.changing().await?;
            // While the log is replayed, samples to be deleted may still come.
            tsdb.replayed().await;
            tsdb.blocks.delete(&changing, &selectors, range)?;
            for matchers in &selectors {
                tsdb.head.delete(range, matchers.clone()).await.map_err(|e| Error::Head(e.to_string()))?;
            }
            Ok(())
        }))
    }

    fn clean_tombstones(&self, _: &Ctx) -> BoxFuture<'static, StorageResult<()>> {
        let tsdb = self.0.clone();
        outcome(aside(move |cancel| async move {
            let changing = tsdb.changing().await?;
            tsdb.blocks.clean_tombstones(&changing, tsdb.head_bytes(), &cancel).await
        }))
    }

    fn snapshot(&self, _: &Ctx, skip_head: bool) -> BoxFuture<'static, StorageResult<String>> {
        let tsdb = self.0.clone();
        outcome(aside(move |cancel| async move {
            // A second one while one is made would be its twin.
            let _one = tsdb.copying.try_lock().map_err(|_| Error::Busy("a snapshot"))?;
            if !skip_head {
                tsdb.replayed().await;
            }
            let changing = tsdb.changing().await?;
            tsdb.blocks.copy(
                &changing,
                &cancel,
                |parent| {
                    if skip_head { Ok(()) } else { tsdb.write_head(parent, &cancel) }
                },
            )
        }))
    }
}

fn outcome<T: 'static>(work: BoxFuture<'static, Result<T>>) -> BoxFuture<'static, StorageResult<T>> {
    work.map(|outcome| outcome.map_err(Into::into)).boxed()
}
