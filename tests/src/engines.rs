//! One scenario, to be asked through different programs.
//!
//! The *reference* is one Prometheus with all samples of two clusters, `cluster` a label of its own. Cluster `eu` is
//! also scraped by two replicas with gaps at different times, cluster `us` by one; their blocks are shipped to a bucket
//! by our sidecar, and the first two then taken away from them: those hours only the bucket has. The next two are in
//! both places, the head in the replicas only.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use testkit::wait_for;

use crate::aion::Component;
use crate::client::{Api, http};
use crate::data::{HOUR_MS, TICK_MS, fleet};
use crate::peer::{Prometheus, PrometheusOptions};
use crate::remote_write::fill;
use crate::s3::Bucket;

/// A rule file for all of the world's Prometheus. The interval is such that nothing is evaluated within a test.
const RULES: &str = "groups:
- name: demo
  interval: 1000h
  rules:
  - {record: 'demo:requests:rate5m', expr: 'sum by (path) (rate(demo_requests_total[5m]))'}
  - {alert: DemoDown, expr: 'demo_up == 0', for: 5m, labels: {severity: page}}
";

/// Blocks that Prometheus cuts of the data.
const BLOCKS: usize = 4;
/// Of these, the ones that only the bucket has.
const OLD_BLOCKS: usize = 2;

/// Whose program plays a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// Ours.
    Aion,
    /// Stock Thanos.
    Thanos,
}

/// Who plays which part.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// Beside each replica.
    pub sidecar: Maker,
    /// Before the bucket.
    pub store: Maker,
    /// Before all.
    pub query: Maker,
    /// `--grpc-compression` of the querier.
    pub compression: &'static str,
}

impl Cast {
    /// Ours in every part.
    pub const AION: Self = Self { sidecar: Maker::Aion, store: Maker::Aion, query: Maker::Aion, compression: "none" };
}

/// The programs of the makers.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The real Prometheus.
    pub prometheus: PathBuf,
    /// Ours.
    pub aion: PathBuf,
    /// Thanos, where a cast needs it.
    pub thanos: Option<PathBuf>,
    /// Who scrapes: `aion server` in place of the real one. The reference is the real one always.
    pub aion_scrapes: bool,
}

impl Programs {
    /// The program of the replicas.
    fn scraper(&self) -> &Path {
        if self.aion_scrapes { &self.aion } else { &self.prometheus }
    }

    fn of(&self, maker: Maker) -> anyhow::Result<&Path> {
        match maker {
            Maker::Aion => Ok(&self.aion),
            Maker::Thanos => self.thanos.as_deref().context("no thanos"),
        }
    }
}

/// A replica: its external labels, and the hours in which it has no samples.
struct Replica {
    cluster: &'static str,
    name: &'static str,
    gaps_hours: &'static [(f64, f64)],
}

const REPLICAS: [Replica; 3] = [
    Replica { cluster: "eu", name: "a", gaps_hours: &[(1.1, 1.6), (3.8, 4.3), (8.5, 8.8)] },
    Replica { cluster: "eu", name: "b", gaps_hours: &[(0.3, 0.8), (5.0, 6.4), (9.0, 9.2)] },
    Replica { cluster: "us", name: "a", gaps_hours: &[] },
];

impl Replica {
    fn has(&self, tick: i64) -> bool {
        let hours = (tick * TICK_MS) as f64 / HOUR_MS as f64;
        !self.gaps_hours.iter().any(|(from, to)| (*from..*to).contains(&hours))
    }

    fn external_labels(&self) -> Vec<(String, String)> {
        vec![("cluster".into(), self.cluster.into()), ("replica".into(), self.name.into())]
    }
}

/// Instances in a cluster.
fn instances(cluster: &str) -> usize {
    if cluster == "eu" { 3 } else { 2 }
}

/// The servers with data, and the bucket.
pub struct World {
    /// All samples in one place.
    pub reference: Prometheus,
    /// The scraping ones.
    pub replicas: Vec<Prometheus>,
    /// The bucket.
    pub bucket: Bucket,
    programs: Programs,
    dir: TempDir,
}

impl World {
    /// Writes the samples, ships the blocks, takes the old ones away.
    ///
    /// # Errors
    /// Any program fails; texts have the end of its log.
    pub async fn start(programs: Programs) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("aion-e2e-").tempdir()?;
        let bucket = Bucket::open(dir.path()).await?;
        // one file for all: replicas' groups are the same group if their file is the same
        let rules = dir.path().join("rules.yml");
        std::fs::write(&rules, RULES)?;
        let client = http()?;
        let reference = async {
            let options = PrometheusOptions { rules: Some(rules.clone()), ..Default::default() };
            let reference = Prometheus::start(&programs.prometheus, &dir.path().join("reference"), &options).await?;
            // both clusters at once: one after the other would come too late for the head
            let mut series = Vec::new();
            for cluster in ["eu", "us"] {
                series.extend(fleet(cluster, instances(cluster)).into_iter().map(|mut s| {
                    s.labels.push(("cluster".into(), cluster.into()));
                    s
                }));
            }
            fill(&client, &reference.base, &series, &[], |_| true).await.context("reference")?;
            anyhow::Ok(reference)
        };
        let replicas = futures::future::try_join_all(REPLICAS.iter().map(|replica| {
            let (client, programs, bucket, dir, rules) = (&client, &programs, &bucket, dir.path(), &rules);
            async move { ship_history(programs, client, bucket, dir, rules, replica).await }
        }));
        let (reference, replicas) = tokio::try_join!(reference, replicas)?;
        Ok(Self { reference, replicas, bucket, programs, dir })
    }

    /// Starts sidecars, a store and a querier, and waits until the querier sees them all.
    ///
    /// # Errors
    /// Any program fails; texts have the end of its log.
    pub async fn layer(&self, cast: Cast) -> anyhow::Result<Layer> {
        let dir = tempfile::Builder::new().prefix("layer-").tempdir_in(self.dir.path())?;
        let mut parts = Vec::new();
        for (replica, prometheus) in REPLICAS.iter().zip(&self.replicas) {
            let args = [
                format!("--tsdb.path={}", prometheus.data().display()),
                format!("--prometheus.url={}", prometheus.base),
            ];
            let folder = dir.path().join(format!("{}-{}", replica.cluster, replica.name));
            parts.push(Component::start(self.programs.of(cast.sidecar)?, "sidecar", &folder, &args, &[])?);
        }
        let args = [
            format!("--data-dir={}", dir.path().join("store-data").display()),
            format!("--objstore.config={}", self.bucket.config()),
        ];
        parts.push(Component::start(self.programs.of(cast.store)?, "store", &dir.path().join("store"), &args, &[])?);
        for part in &mut parts {
            part.ready().await?;
        }
        let mut args =
            vec!["--query.replica-label=replica".to_owned(), format!("--grpc-compression={}", cast.compression)];
        args.extend(parts.iter().map(|part| format!("--endpoint={}", part.grpc)));
        let mut query =
            Component::start(self.programs.of(cast.query)?, "query", &dir.path().join("query"), &args, &[])?;
        query.ready().await?;
        let (wanted, api) = (parts.len(), query.api.clone());
        wait_for("the querier to see all endpoints", Duration::from_secs(60), async || seen(&api).await == wanted)
            .await;
        Ok(Layer { parts, query, _dir: dir })
    }
}

/// With `AION_E2E_HOLD` set, says where everything listens and leaves it running until Ctrl-C, to look at a failure.
pub async fn hold(world: &World, layer: &Layer) {
    if std::env::var_os("AION_E2E_HOLD").is_none() {
        return;
    }
    eprintln!("reference {}, querier {}", world.reference.base, layer.query.api.base);
    for (prometheus, part) in world.replicas.iter().zip(&layer.parts) {
        eprintln!("replica {}, sidecar {}", prometheus.base, part.grpc);
    }
    // an error here means that there is no such signal, and nothing to wait for
    let _ = tokio::signal::ctrl_c().await;
}

/// Endpoints that a querier sees, with no error and some time range.
async fn seen(api: &Api) -> usize {
    let Ok(stores) = api.get("/api/v1/stores", &[]).await else { return 0 };
    let kinds = stores["data"].as_object().into_iter().flatten();
    let all = kinds.filter_map(|(_, list)| list.as_array()).flatten();
    all.filter(|s| s["lastError"].is_null() && s["labelSets"].as_array().is_some_and(|l| !l.is_empty())).count()
}

async fn ship_history(
    programs: &Programs,
    client: &reqwest::Client,
    bucket: &Bucket,
    dir: &Path,
    rules: &Path,
    replica: &Replica,
) -> anyhow::Result<Prometheus> {
    let dir = dir.join(format!("{}-{}", replica.cluster, replica.name));
    let options = PrometheusOptions {
        subcommand: programs.aion_scrapes.then_some("server"),
        external_labels: replica.external_labels(),
        rules: Some(rules.to_owned()),
        ..Default::default()
    };
    let prometheus = Prometheus::start(programs.scraper(), &dir, &options).await?;
    let series = fleet(replica.cluster, instances(replica.cluster));
    fill(client, &prometheus.base, &series, &[], |tick| replica.has(tick)).await.context(replica.name)?;
    wait_for("the blocks to be cut", Duration::from_secs(60), async || prometheus.blocks().len() == BLOCKS).await;
    let args = [
        format!("--tsdb.path={}", prometheus.data().display()),
        format!("--prometheus.url={}", prometheus.base),
        format!("--objstore.config={}", bucket.config()),
    ];
    let mut sidecar = Component::start(&programs.aion, "sidecar", &dir, &args, &[])?;
    sidecar.ready().await?;
    let blocks = prometheus.blocks();
    let data = prometheus.data();
    wait_for("the blocks to be shipped", Duration::from_secs(60), async || {
        let uploaded = shipped(&data);
        blocks.iter().all(|b| uploaded.contains(b))
    })
    .await;
    let errors = sidecar.stop(&[]).await?;
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    prometheus.stop().await?;
    for block in &blocks[..OLD_BLOCKS] {
        std::fs::remove_dir_all(data.join(block))?;
    }
    Prometheus::start(programs.scraper(), &dir, &options).await
}

/// The blocks that a sidecar has noted as uploaded.
pub fn shipped(data: &Path) -> Vec<String> {
    let text = std::fs::read(data.join("thanos.shipper.json")).unwrap_or_default();
    let noted: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let list = noted["uploaded"].as_array().cloned().unwrap_or_default();
    list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
}

/// Running programs between the world and who asks.
pub struct Layer {
    /// Sidecars and, last, the store.
    pub parts: Vec<Component>,
    /// The querier.
    pub query: Component,
    _dir: TempDir,
}

impl Layer {
    /// Ends all in good order; lines of level error in our logs.
    ///
    /// # Errors
    /// A program does not end.
    pub async fn stop(self) -> anyhow::Result<Vec<String>> {
        let mut errors = Vec::new();
        for part in [self.query].into_iter().chain(self.parts) {
            let ours = part.name.starts_with("aion");
            let lines = part.stop(&[]).await?;
            errors.extend(lines.into_iter().filter(|_| ours));
        }
        Ok(errors)
    }
}
