//! Where recorded series go: a TSDB, or a log that is sent to other storages.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use assembly::{Deps, Error};
use bucket::shipper::{Shipper, ShipperOptions};
use futures::FutureExt;
use remote::send::{RemoteWrite, SendDeps, cursor_dir};
use storage::Budget;
use storage::append::Appendable;
use tokio_util::sync::CancellationToken;
use tsdb::agent::{AgentOptions, AgentStore};
use tsdb::db::{Retention, Tsdb, TsdbDeps, TsdbOptions};
use tsdb::head::HeadOptions;
use tsdb::journal::JournalOptions;
use wal::Compression;

use crate::config::Config;

/// How long what is left may be sent for at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(60);

/// Where recorded series go.
#[derive(Debug, Clone)]
pub enum Recorded {
    Own(Arc<Tsdb>),
    Sent(AgentStore, Arc<RemoteWrite>),
}

impl Recorded {
    /// Opens the data directory.
    ///
    /// # Errors
    /// It cannot be used, or a remote storage cannot be spoken to in the configured way.
    pub async fn open(config: &Config, deps: &Deps) -> Result<Self, Error> {
        match config.remote_write.is_empty() {
            true => open_own(config, deps).await,
            false => open_sent(config, deps).await,
        }
    }

    /// Takes series.
    pub fn appendable(&self) -> Arc<dyn Appendable> {
        match self {
            Self::Own(tsdb) => tsdb.clone(),
            Self::Sent(store, _) => Arc::new(store.clone()),
        }
    }

    /// The TSDB, if there is one.
    pub fn own(&self) -> Option<&Arc<Tsdb>> {
        match self {
            Self::Own(tsdb) => Some(tsdb),
            Self::Sent(..) => None,
        }
    }

    /// Ready when what was recorded before is known.
    pub async fn replayed(&self) {
        if let Self::Own(tsdb) = self {
            tsdb.replayed().await;
        }
    }

    /// Works in the background until `shutdown`.
    pub async fn run(&self, shutdown: CancellationToken) {
        match self {
            Self::Own(tsdb) => tsdb.run(shutdown).await,
            Self::Sent(store, send) => {
                let needed = send.clone();
                let truncating = store.clone().run(move || needed.needed_segment(), shutdown.clone());
                tokio::join!(truncating, send.clone().run(shutdown));
            }
        }
    }

    /// Brings everything to disk.
    pub async fn close(&self) {
        match self {
            Self::Own(tsdb) => {
                if let Err(error) = tsdb.close().await {
                    tracing::error!(%error, "the TSDB could not be closed in good order, its log is read at the next start");
                }
            }
            Self::Sent(store, _) => {
                let store = store.clone();
                // A panic there is in the log.
                let _ = tokio::task::spawn_blocking(move || store.close()).await;
            }
        }
    }
}

async fn open_own(config: &Config, deps: &Deps) -> Result<Recorded, Error> {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let block_ms = millis(config.tsdb.block);
    let ships = !config.bucket.yaml.is_empty() || deps.bucket.is_some();
    let options = TsdbOptions {
        block_ms,
        block_ms_max: block_ms,
        retention: Retention { time_ms: millis(config.tsdb.retention), ..Retention::default() },
        no_lockfile: !config.tsdb.lockfile,
        compaction: !ships,
        head: HeadOptions { chunk_range_ms: block_ms, ..HeadOptions::default() },
        journal: journal(config),
        ..TsdbOptions::default()
    };
    let tsdb_deps = TsdbDeps {
        failpoints: deps.failpoints.clone(),
        budget: Budget::unlimited(),
        ..TsdbDeps::new(deps.clock.clone(), deps.metrics.clone(), deps.random.clone())
    };
    let tsdb = Tsdb::open(&config.data_dir, options, tsdb_deps).await.map_err(|e| Error::flag("data-dir", e))?;
    Ok(Recorded::Own(tsdb))
}

async fn open_sent(config: &Config, deps: &Deps) -> Result<Recorded, Error> {
    let options = AgentOptions {
        journal: journal(config),
        no_lockfile: !config.tsdb.lockfile,
        seed: (deps.random)() as u64,
        ..AgentOptions::new(deps.clock.clone())
    };
    let (dir, metrics) = (config.data_dir.clone(), deps.metrics.clone());
    let opened = tokio::task::spawn_blocking(move || AgentStore::open(&dir, options, &metrics)).await;
    let store = opened.map_err(|e| Error::flag("data-dir", e))?.map_err(|e| Error::flag("data-dir", e))?;
    let newest = store.clone();
    let send_deps = SendDeps {
        wal_dir: store.log_dir().to_owned(),
        cursor_dir: cursor_dir(&config.data_dir),
        written: store.written(),
        newest_ms: Arc::new(move || newest.newest_ms()),
        metadata: Arc::new(|| async { Default::default() }.boxed()),
        clock: deps.clock.clone(),
        env: deps.env.clone(),
        metrics: deps.metrics.clone(),
    };
    let send = Arc::new(RemoteWrite::new(send_deps, FLUSH_DEADLINE));
    let queues = config.remote_write.iter().map(config::RemoteWriteConfig::queue).collect();
    let prepared = send.prepare(queues, config.labels.clone()).map_err(|e| Error::flag("remote-write.config", e))?;
    send.apply(prepared);
    Ok(Recorded::Sent(store, send))
}

fn journal(config: &Config) -> JournalOptions {
    let compression = if config.tsdb.compressed { Compression::Snappy } else { Compression::None };
    JournalOptions { wal: wal::Options { compression, ..wal::Options::default() }, ..JournalOptions::default() }
}

/// What uploads blocks; `None` without a bucket, or without a TSDB.
///
/// # Errors
/// A bucket that cannot be used, or no labels that tell this ruler's blocks from others.
pub fn shipper(config: &Config, deps: &Deps, recorded: &Recorded) -> Result<Option<Arc<Shipper>>, Error> {
    let Some(bucket) = config.bucket.open(deps)? else {
        tracing::info!("no supported bucket was configured, uploads will be disabled");
        return Ok(None);
    };
    if recorded.own().is_none() {
        tracing::warn!(
            "a bucket is configured and no TSDB is kept, since series go by remote write: nothing is uploaded"
        );
        return Ok(None);
    }
    if config.labels.is_empty() {
        let why = "no labels are configured: blocks in a bucket are told apart by them, give for example \
                   --label='ruler=\"a\"'";
        return Err(Error::flag("label", why));
    }
    let options = ShipperOptions {
        dir_flag: "--data-dir",
        list_file: config.ship.meta_file_name.clone(),
        upload_compacted: config.ship.upload_compacted,
        allow_out_of_order: config.ship.allow_out_of_order,
        hash: config.ship.hash,
        source: "ruler".to_owned(),
        clock: deps.clock.clone(),
        failpoints: deps.failpoints.clone(),
        ..ShipperOptions::new(Path::new(&config.data_dir))
    };
    let labels = config.labels.clone();
    Ok(Some(Arc::new(Shipper::new(bucket, options, move || labels.clone(), &deps.metrics))))
}
