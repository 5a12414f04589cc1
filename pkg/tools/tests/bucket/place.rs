//! A bucket to try commands on, and running them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ::bucket::marks;
use ::bucket::upload::{UploadOptions, upload_block};
use block::{BlockId, BlockMeta, ThanosMeta};
use model::{Clock, FakeClock};
use objstore::{Bucket, OpenOptions};
use service::tool::{Deps, Error};
use testkit::s3::Server;
use tokio_util::sync::CancellationToken;
use tools::Tools;

/// The golden blocks, oldest first.
pub const BLOCKS: [&str; 3] =
    ["01M7XNJ90W1DWS89T9WNHA09R1", "01M7XNJCJY6T27ZNK0F58B9K10", "01M7XNEDBRHMVA77T71GPE1DE5"];
/// When the blocks were uploaded, and now.
pub const NOW_MS: i64 = 1_795_300_000_000;

/// A bucket, somewhere.
pub struct Place {
    pub bucket: Bucket,
    pub config: String,
    pub dir: tempfile::TempDir,
    pub server: Option<Server>,
    pub clock: Arc<FakeClock>,
}

/// The ids.
pub fn id(n: usize) -> BlockId {
    BlockId::parse(BLOCKS[n]).unwrap()
}

pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/golden-blocks")
}

fn open(config: &str) -> Bucket {
    objstore::Config::parse(config, &|_| None).unwrap().open(&OpenOptions::default()).unwrap()
}

impl Place {
    pub fn directory() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", dir.path().join("bucket"));
        Self { bucket: open(&config), config, dir, server: None, clock: Arc::new(FakeClock::at(NOW_MS)) }
    }

    pub async fn s3() -> Self {
        let server = Server::start().await;
        let config = server.config_yaml();
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(NOW_MS));
        Self { bucket: open(&config), config, dir, server: Some(server), clock }
    }

    /// One of each.
    pub async fn all() -> Vec<Self> {
        vec![Self::directory(), Self::s3().await]
    }

    /// Each with the golden blocks.
    pub async fn filled() -> Vec<Self> {
        let places = Self::all().await;
        for place in &places {
            for n in 0..BLOCKS.len() {
                place.add(n).await;
            }
        }
        places
    }

    /// Uploads a golden block; the third's labels differ.
    pub async fn add(&self, n: usize) {
        let dir = golden().join(BLOCKS[n]);
        let json = std::fs::read(dir.join("meta.json")).unwrap();
        let mut meta = BlockMeta::parse("meta.json", &json).unwrap();
        let cluster = if n == 2 { "us" } else { "eu" };
        let labels = [("cluster", cluster), ("replica", "a")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        meta.thanos =
            Some(ThanosMeta { version: 1, labels: labels.into(), source: "sidecar".to_owned(), ..Default::default() });
        let options = UploadOptions { clock: self.clock.clone(), ..UploadOptions::default() };
        upload_block(&self.bucket, &dir, meta, &options).await.unwrap();
    }

    pub async fn mark(&self, n: usize) {
        marks::mark_for_deletion(&self.bucket, id(n), "test", &*self.clock).await.unwrap();
    }

    /// What is in the bucket, sorted.
    pub async fn keys(&self) -> Vec<String> {
        keys(&self.bucket).await
    }

    /// Runs a command line, without `tools bucket`; gives its exit code and what it printed.
    pub async fn run(&self, args: &[&str]) -> (i32, String) {
        let config = format!("--objstore.config={}", self.config);
        let args = ["bucket"].iter().chain(args).map(|a| (*a).to_owned()).chain([config]).collect();
        run(args, self.clock.clone()).await
    }
}

pub async fn keys(bucket: &Bucket) -> Vec<String> {
    use futures::TryStreamExt;
    let objects: Vec<_> = bucket.list_recursive("").try_collect().await.unwrap();
    let mut keys: Vec<String> = objects.into_iter().map(|o| o.path).collect();
    keys.sort();
    keys
}

pub async fn run(args: Vec<String>, clock: Arc<dyn Clock>) -> (i32, String) {
    let call = match Tools::with(&[&compactor::DOWNSAMPLE_TOOL]).parse(args, "v") {
        Ok(call) => call,
        Err((_, e)) => return (2, e.to_string()),
    };
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut deps = Deps {
        out: &mut out,
        err: &mut err,
        clock,
        env: Arc::new(|_| None),
        metrics: telemetry::Metrics::new(),
        random: Arc::new(|| NEXT.fetch_add(1, Relaxed).into()),
        shutdown: CancellationToken::new(),
    };
    let code = match tools::run(&call, &mut deps).await {
        Ok(code) => code.into(),
        Err(Error::Usage(e)) => return (2, e),
        Err(e) => return (1, e.to_string()),
    };
    (code, String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap())
}
