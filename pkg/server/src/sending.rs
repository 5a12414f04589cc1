//! From the write-ahead log to remote storages.

use std::sync::Arc;

use assembly::{Deps, Error};
use config::Loaded;
use futures::FutureExt;
use remote::send::{MetadataNow, Prepared, RemoteWrite, SendDeps, cursor_dir};
use scrape::Manager as Scrapes;
use storage::{Ctx, MetadataByMetric, MetadataQuery, MetadataSource};
use tsdb::db::Tsdb;
use tsdb::journal::{Log, log_dir};

use crate::config::Config;

/// The sender, with the queues of `loaded`.
///
/// # Errors
/// A client that cannot be made.
pub fn open(
    config: &Config,
    deps: &Deps,
    tsdb: &Arc<Tsdb>,
    scrapes: &Scrapes,
    loaded: &Loaded,
) -> Result<Arc<RemoteWrite>, Error> {
    let head = tsdb.head().clone();
    let send_deps = SendDeps {
        wal_dir: log_dir(tsdb.dir(), Log::Wal),
        cursor_dir: cursor_dir(tsdb.dir()),
        written: tsdb.written(),
        newest_ms: Arc::new(move || head.range().map(|(_, newest_ms)| newest_ms)),
        metadata: metadata(scrapes.clone()),
        clock: deps.clock.clone(),
        env: deps.env.clone(),
        metrics: deps.metrics.clone(),
    };
    let sender = RemoteWrite::new(send_deps, config.flush_deadline);
    let prepared = prepare(&sender, loaded).map_err(|e| Error::Config(format!("--config.file: {e}")))?;
    sender.apply(prepared);
    Ok(Arc::new(sender))
}

/// The queues of `loaded`, to be put in force.
///
/// # Errors
/// A client that cannot be made.
pub fn prepare(sender: &RemoteWrite, loaded: &Loaded) -> Result<Prepared, String> {
    let queues = loaded.config.remote_write.iter().map(config::RemoteWriteConfig::queue).collect();
    sender.prepare(queues, loaded.config.global.external_labels())
}

/// Metadata of what is scraped now.
pub fn metadata(scrapes: Scrapes) -> MetadataNow {
    Arc::new(move || {
        let scrapes = scrapes.clone();
        async move {
            let all = scrapes.metadata(&Ctx::background(), MetadataQuery::default()).await;
            all.map_or_else(|_| MetadataByMetric::new(), |answer| answer.value)
        }
        .boxed()
    })
}
