//! The demo itself: start, announce, wait, stop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use assembly::{BucketConfig, Component, Deps};
use flags::{Outcome, Parsed};
use futures::future::BoxFuture;
use objstore::Bucket;
use service::Group;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::ServeOptions;

use crate::history::{BLOCK_MS, Error, History, backfill, lanes};
use crate::live::{self, Replica};
use crate::prometheus::{self, Live};

/// How long the parts may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long all parts may take to end.
const GRACE: Duration = Duration::from_secs(15);

/// `aion demo`.
///
/// # Errors
/// Disk full, ports in use, a part that failed.
pub fn run(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> BoxFuture<'_, Result<(), Error>> {
    Box::pin(show(parsed, deps, shutdown))
}

async fn show(parsed: &Parsed, deps: Deps, shutdown: CancellationToken) -> Result<(), Error> {
    let temporary;
    let dir = match parsed.text_opt("dir") {
        Some(dir) => PathBuf::from(dir),
        None => {
            temporary = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
            temporary.path().to_owned()
        }
    };
    let mut demo = Demo::new(dir, deps, shutdown.clone()).await?;
    let days = u32::try_from(parsed.count("days")).unwrap_or(u32::MAX).min(3650);
    println!("Writing {days} days of history into {} …", demo.dir.join("bucket").display());
    let history = History { days, end_ms: demo.end_ms, scratch: demo.dir.join("scratch") };
    let written = tokio::select! {
        written = backfill(&demo.bucket, &history) => written?,
        () = shutdown.cancelled() => return Ok(()),
    };
    println!("{} blocks, {} samples.", written.blocks, written.samples);

    let page = free_or_any(parsed.text("http-address"))?;
    let store = demo.start_store()?;
    let compactor = if parsed.switch("compact") { Some(demo.start_compactor()?) } else { None };
    demo.start_replicas().await?;
    let targets: Vec<String> = [&store, &page].into_iter().chain(&compactor).cloned().collect();
    let live = start_prometheus(parsed, &(demo.deps.env)("PATH").unwrap_or_default(), &demo.dir, &targets);
    let mut parts = vec![store];
    if let Some(live) = &live {
        // A sidecar that comes first has only to say that it waits.
        ready(&live.address, &shutdown).await;
        parts.push(demo.start_sidecar(live)?);
    }
    for http in &parts {
        ready(http, &demo.group.shutdown()).await;
    }
    demo.start_querier(&page)?;

    let Demo { dir, deps, mut group, shown, endpoints, .. } = demo;
    let lines = shown.into_iter().chain(live.as_ref().map(|l| l.shown.clone())).collect();
    let now_s = deps.clock.now_ms() / 1000;
    let announcement = Announcement { page, compactor, endpoints: endpoints.len(), lines, now_s };
    group.spawn("announcement", announce(announcement, group.shutdown()));
    let ended = group.run().await;
    if let Some(live) = live {
        live.stop().await;
    }
    if parsed.text_opt("dir").is_none() {
        info!(dir = %dir.display(), "removing the demo's files");
    }
    Ok(ended?)
}

struct Demo {
    dir: PathBuf,
    deps: Deps,
    group: Group,
    bucket: Bucket,
    /// The bucket's configuration.
    objstore: String,
    /// Where history ends and the replicas go on, ms.
    end_ms: i64,
    /// Command lines, to show.
    shown: Vec<String>,
    /// What the querier asks.
    endpoints: Vec<String>,
}

impl Demo {
    async fn new(dir: PathBuf, deps: Deps, shutdown: CancellationToken) -> Result<Self, Error> {
        let bucket_dir = dir.join("bucket");
        tokio::fs::create_dir_all(&bucket_dir).await?;
        let objstore = format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket_dir.display().to_string());
        // What the demo itself does to the bucket is in no component's metrics.
        let of_demo = Deps { clock: deps.clock.clone(), ..Deps::isolated(Metrics::new()) };
        let config = BucketConfig { yaml: objstore.clone(), origin: "demo".to_owned(), ..BucketConfig::default() };
        let bucket = config.open_required(&of_demo)?;
        let end_ms = deps.clock.now_ms().div_euclid(BLOCK_MS) * BLOCK_MS;
        let mut group = Group::new(shutdown);
        group.allow(GRACE);
        Ok(Self { dir, deps, group, bucket, objstore, end_ms, shown: Vec::new(), endpoints: Vec::new() })
    }

    /// Starts a component as if its line had been typed, and keeps the line for show.
    fn start<C: Component>(&mut self, args: &[String]) -> Result<(), Error> {
        let command = C::command();
        let quoted = args.iter().map(|a| if a.contains([' ', '{', '"']) { format!("'{a}'") } else { a.clone() });
        self.shown.push(format!("aion {} {}", command.name, quoted.collect::<Vec<_>>().join(" ")));
        let parsed = match flags::parse(&command, args.iter().cloned(), "")? {
            Outcome::Run(parsed) => parsed,
            Outcome::Print(text) => return Err(text.into()),
        };
        let metrics = self.deps.metrics.with_labels(&[("component", command.name)]);
        let (deps, shutdown) = (Deps { metrics, ..self.deps.clone() }, self.group.shutdown());
        self.group.spawn(command.name, async move { assembly::run::<C>(&parsed, deps, shutdown).await });
        Ok(())
    }

    /// Gives the address of its pages.
    fn start_store(&mut self) -> Result<String, Error> {
        let (grpc, http) = (any_port()?, any_port()?);
        self.start::<store_gateway::Store>(&[
            format!("--data-dir={}", self.dir.join("store").display()),
            format!("--objstore.config={}", self.objstore),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
            "--sync-block-duration=10s".to_owned(),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ])?;
        self.endpoints.push(grpc);
        Ok(http)
    }

    /// Gives the address of its pages.
    fn start_compactor(&mut self) -> Result<String, Error> {
        let http = any_port()?;
        self.start::<compactor::Compact>(&[
            "--wait".to_owned(),
            "--wait-interval=10s".to_owned(),
            "--consistency-delay=0s".to_owned(),
            format!("--data-dir={}", self.dir.join("compact").display()),
            format!("--objstore.config={}", self.objstore),
            format!("--http-address={http}"),
            "--deduplication.replica-label=replica".to_owned(),
            "--deduplication.func=penalty".to_owned(),
            // So that some days of history show each kind of block.
            "--debug.max-compaction-level=3".to_owned(),
            "--downsample.age-1h=10d".to_owned(),
            "--http-grace-period=1s".to_owned(),
        ])?;
        Ok(http)
    }

    async fn start_replicas(&mut self) -> Result<(), Error> {
        for lane in lanes() {
            let replica = Replica::new(lane, self.deps.clock.clone(), self.end_ms);
            let listener = transport::bind("127.0.0.1:0").await?;
            self.endpoints.push(listener.local_addr()?.to_string());
            let part = self.deps.metrics.with_labels(&[("component", "replica")]);
            let options = ServeOptions::grpc(Duration::from_secs(1), Duration::ZERO);
            let serve = transport::serve(listener, live::routes(replica, &part), options, self.group.shutdown());
            self.group.spawn("replica", serve);
        }
        let (scratch, clock) = (self.dir.join("scratch"), self.deps.clock.clone());
        let upload = live::upload(self.bucket.clone(), scratch, clock, self.end_ms, self.group.shutdown());
        self.group.spawn("upload", upload);
        Ok(())
    }

    /// Gives the address of its page.
    fn start_sidecar(&mut self, live: &Live) -> Result<String, Error> {
        let (grpc, http) = (any_port()?, any_port()?);
        self.start::<sidecar::Sidecar>(&[
            format!("--tsdb.path={}", live.data.display()),
            format!("--prometheus.url=http://{}", live.address),
            format!("--objstore.config={}", self.objstore),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ])?;
        self.endpoints.push(grpc);
        Ok(http)
    }

    fn start_querier(&mut self, page: &str) -> Result<(), Error> {
        let mut args = vec![
            format!("--http-address={page}"),
            format!("--grpc-address={}", any_port()?),
            "--query.replica-label=replica".to_owned(),
            "--query.auto-downsampling".to_owned(),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ];
        args.extend(self.endpoints.iter().map(|e| format!("--endpoint={e}")));
        self.start::<querier::Querier>(&args)
    }
}

fn start_prometheus(parsed: &Parsed, path: &str, dir: &Path, targets: &[String]) -> Option<Live> {
    if !parsed.switch("prometheus") {
        return None;
    }
    let Some(program) = prometheus::on_path(path, "prometheus") else {
        println!("No prometheus on PATH: history only, no live data.");
        return None;
    };
    let port = any_port().ok()?.rsplit_once(':')?.1.parse().ok()?;
    match prometheus::start(&program, &dir.join("prometheus"), port, targets) {
        Ok(live) => Some(live),
        Err(e) => {
            warn!(err = %e, program = %program.display(), "cannot start prometheus, going on without live data");
            None
        }
    }
}

/// Waits until the part whose HTTP address this is is ready, or will hardly be so any more.
async fn ready(address: &str, shutdown: &CancellationToken) {
    let asked = async {
        while !reqwest::get(format!("http://{address}/-/ready")).await.is_ok_and(|a| a.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = shutdown.run_until_cancelled(tokio::time::timeout(READY_WITHIN, asked)).await;
}

/// What to say once all is up.
struct Announcement {
    page: String,
    compactor: Option<String>,
    endpoints: usize,
    lines: Vec<String>,
    now_s: i64,
}

async fn announce(announcement: Announcement, shutdown: CancellationToken) {
    if let Some(Err(e)) = shutdown.run_until_cancelled(announce_when_ready(&announcement)).await {
        warn!(err = %e, "the demo is slow to start");
    }
    shutdown.cancelled().await;
}

async fn announce_when_ready(announcement: &Announcement) -> Result<(), Error> {
    let base = format!("http://{}", announcement.page);
    let begun = tokio::time::Instant::now();
    loop {
        if let Ok(answer) = reqwest::get(format!("{base}/api/v1/stores")).await
            && let Ok(text) = answer.text().await
            && text.matches("\"lastError\":null").count() >= announcement.endpoints
            // Until it has answered, nobody knows what an endpoint is.
            && !text.contains("unknown component type")
        {
            break;
        }
        if begun.elapsed() > READY_WITHIN {
            return Err(format!("not all parts answer within {READY_WITHIN:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!("\nRunning, in this one process:");
    for line in &announcement.lines {
        println!("  {line}");
    }
    if let Some(compactor) = &announcement.compactor {
        println!("\nThe compactor's page: http://{compactor}/");
    }
    println!("\nTry:");
    println!("  {base}/");
    println!("  {base}/api/v1/query?query=count%20by%20(cluster)%20(up)");
    println!(
        "  {base}/api/v1/query_range?query=sum%20by%20(cluster)%20(rate(http_requests_total%5B5m%5D))&start={0}&end={1}&step=3600",
        announcement.now_s - 2 * 86_400,
        announcement.now_s
    );
    println!("\nGrafana: add a Prometheus data source with the address {base}");
    println!("The page:  {base}/      Ctrl-C ends all.");
    Ok(())
}

/// The wanted address if it is free, else any port on the same host.
fn free_or_any(wanted: &str) -> Result<String, Error> {
    match TcpListener::bind(wanted) {
        Ok(listener) => Ok(listener.local_addr()?.to_string()),
        Err(_) => any_port(),
    }
}

/// A free port on loopback. It is let go before the part binds it: on one machine and within a second, that is safe
/// enough for a demo.
fn any_port() -> Result<String, Error> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
