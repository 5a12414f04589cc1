//! The demo itself: start, tell, wait, stop.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flags::{Command, Flag, Outcome, Parsed};
use futures::FutureExt;
use model::{Clock, SystemClock};
use objstore::{Config, OpenOptions};
use service::{Ended, Group};
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::ServeOptions;

use crate::history::{BLOCK_MS, Error, History, backfill, lanes};
use crate::live::{self, Replica};
use crate::prometheus::{self, Live};

const DEMO: &[Flag] = &[
    Flag::text(
        "dir",
        "",
        "Folder for the bucket and all other files; kept afterwards. Default: a temporary folder, removed afterwards.",
    )
    .placeholder("<folder>"),
    Flag::count("days", "15", "Days of history."),
    Flag::text(
        "http-address",
        "127.0.0.1:10902",
        "Address of the querier's page and HTTP API; any free port is taken when this one is in use.",
    ),
    Flag::switch_on(
        "compact",
        "Start a compactor: it merges the replicas into blocks of two days, and makes coarser ones.",
    ),
    Flag::switch_on("prometheus", "Start a live Prometheus with a sidecar when a prometheus is on PATH."),
];

/// The common flags, with a log that leaves the screen to the addresses.
const QUIET: &[Flag] = &{
    let mut flags = [Flag::switch("", ""); transport::flags::COMMON.len()];
    flags.copy_from_slice(transport::flags::COMMON);
    flags[LOG_LEVEL].default = "warn";
    flags
};
/// The place of `--log.level` among the common flags.
const LOG_LEVEL: usize = 0;

/// How long the parts may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The command line of `aion demo`.
pub fn command() -> Command {
    Command {
        name: "demo",
        about: "Start a bucket with history, the replicas that go on with it, a store, a compactor, a querier and, where prometheus is on PATH, a live Prometheus with a sidecar, in one process.",
        flags: vec![QUIET, DEMO],
        args: None,
    }
}

/// `aion demo`.
///
/// # Errors
/// Disk full, ports in use, a part that failed.
pub async fn run(parsed: &Parsed, shutdown: CancellationToken, metrics: Metrics) -> Result<(), Error> {
    let temporary;
    let dir = match parsed.text_opt("dir") {
        Some(dir) => PathBuf::from(dir),
        None => {
            temporary = tempfile::Builder::new().prefix("aion-demo-").tempdir()?;
            temporary.path().to_owned()
        }
    };
    let bucket_dir = dir.join("bucket");
    tokio::fs::create_dir_all(&bucket_dir).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let objstore = format!("{{type: FILESYSTEM, config: {{directory: {:?}}}}}", bucket_dir.display().to_string());

    let days = u32::try_from(parsed.count("days")).unwrap_or(u32::MAX).min(3650);
    println!("Writing {days} days of history into {} …", bucket_dir.display());
    let bucket = Config::parse(&objstore, &|_| None)?.open(&OpenOptions {
        metrics: None,
        clock: clock.clone(),
        concurrency_max: 0,
    })?;
    // The replicas serve what is newer.
    let end_ms = clock.now_ms().div_euclid(BLOCK_MS) * BLOCK_MS;
    let history = History { days, end_ms, scratch: dir.join("scratch") };
    let written = tokio::select! {
        written = backfill(&bucket, &history) => written?,
        () = shutdown.cancelled() => return Ok(()),
    };
    println!("{} blocks, {} samples.", written.blocks, written.samples);

    let page = free_or_any(parsed.text("http-address"))?;
    let mut group = Group::new(shutdown.clone());
    let store_grpc = any_port()?;
    let store_http = any_port()?;
    let mut shown = Vec::new();
    let args = [
        format!("--data-dir={}", dir.join("store").display()),
        format!("--objstore.config={objstore}"),
        format!("--grpc-address={store_grpc}"),
        format!("--http-address={store_http}"),
        "--sync-block-duration=10s".to_owned(),
        "--http-grace-period=1s".to_owned(),
        "--grpc-grace-period=1s".to_owned(),
    ];
    let store = command_line(&store_gateway::command(), &args, &mut shown)?;
    let (token, part) = (group.shutdown(), metrics.with_labels(&[("component", "store")]));
    group.spawn("store", async move { store_gateway::run(&store, token, part).await });

    let mut compactor_http = None;
    if parsed.switch("compact") {
        let http = any_port()?;
        let args = [
            "--wait".to_owned(),
            "--wait-interval=10s".to_owned(),
            "--consistency-delay=0s".to_owned(),
            format!("--data-dir={}", dir.join("compact").display()),
            format!("--objstore.config={objstore}"),
            format!("--http-address={http}"),
            "--deduplication.replica-label=replica".to_owned(),
            "--deduplication.func=penalty".to_owned(),
            // so that some days of history show each kind of block
            "--debug.max-compaction-level=3".to_owned(),
            "--downsample.age-1h=10d".to_owned(),
            "--http-grace-period=1s".to_owned(),
        ];
        let compact = command_line(&compactor::command(), &args, &mut shown)?;
        let (token, part) = (group.shutdown(), metrics.with_labels(&[("component", "compact")]));
        group.spawn("compact", async move { compactor::run(&compact, token, part).await });
        compactor_http = Some(http);
    }

    let mut endpoints = vec![store_grpc];
    for lane in lanes() {
        let replica = Replica::new(lane, clock.clone(), end_ms);
        let listener = transport::bind("127.0.0.1:0").await?;
        endpoints.push(listener.local_addr()?.to_string());
        let part = metrics.with_labels(&[("component", "replica")]);
        let options = ServeOptions::grpc(Duration::from_secs(1), Duration::ZERO);
        let serve = transport::serve(listener, live::routes(replica, &part), options, group.shutdown());
        group.spawn("replica", serve.map(Ok::<_, String>));
    }
    let upload = live::upload(bucket, dir.join("scratch"), clock, end_ms, group.shutdown());
    group.spawn("upload", upload.map(Ok::<_, String>));
    let targets: Vec<String> = [&store_http, &page].into_iter().chain(&compactor_http).cloned().collect();
    let live = start_prometheus(parsed, &dir, &targets);
    let mut parts = vec![store_http];
    if let Some(live) = &live {
        // A sidecar that comes first has only to say that it waits.
        ready(&live.address, &group.shutdown()).await;
        let (grpc, http) = (any_port()?, any_port()?);
        let args = [
            format!("--tsdb.path={}", live.data.display()),
            format!("--prometheus.url=http://{}", live.address),
            format!("--objstore.config={objstore}"),
            format!("--grpc-address={grpc}"),
            format!("--http-address={http}"),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ];
        let sidecar = command_line(&sidecar::command(), &args, &mut shown)?;
        let (token, part) = (group.shutdown(), metrics.with_labels(&[("component", "sidecar")]));
        group.spawn("sidecar", async move { sidecar::run(&sidecar, token, part).await });
        endpoints.push(grpc);
        parts.push(http);
    }
    for http in &parts {
        ready(http, &group.shutdown()).await;
    }

    let mut args = vec![
        format!("--http-address={page}"),
        format!("--grpc-address={}", any_port()?),
        "--query.replica-label=replica".to_owned(),
        "--query.auto-downsampling".to_owned(),
        "--http-grace-period=1s".to_owned(),
        "--grpc-grace-period=1s".to_owned(),
    ];
    args.extend(endpoints.iter().map(|e| format!("--endpoint={e}")));
    let query = command_line(&querier::command(), &args, &mut shown)?;
    let (token, part) = (group.shutdown(), metrics.with_labels(&[("component", "query")]));
    group.spawn("query", async move { querier::run(&query, token, part).await });

    let (token, told) = (
        group.shutdown(),
        Told {
            page,
            compactor: compactor_http,
            endpoints: endpoints.len(),
            shown,
            live: live.as_ref().map(|l| l.shown.clone()),
        },
    );
    group.spawn("tell", async move {
        tokio::select! {
            ready = tell_when_ready(&told) => if let Err(e) = ready { warn!(err = %e, "the demo is slow to start") },
            () = token.cancelled() => return Ok::<_, String>(()),
        }
        token.cancelled().await;
        Ok(())
    });
    let ended = group.run(Duration::from_secs(20)).await;
    if let Some(live) = live {
        live.stop().await;
    }
    if parsed.text_opt("dir").is_none() {
        info!(dir = %dir.display(), "removing the demo's files");
    }
    match ended {
        Ended::Asked => Ok(()),
        Ended::Failed(why) => Err(why.into()),
    }
}

/// Parses a part's arguments as if typed, and keeps the line for show.
fn command_line(command: &Command, args: &[String], shown: &mut Vec<String>) -> Result<Parsed, Error> {
    let quoted = args.iter().map(|a| if a.contains([' ', '{', '"']) { format!("'{a}'") } else { a.clone() });
    shown.push(format!("aion {} {}", command.name, quoted.collect::<Vec<_>>().join(" ")));
    match flags::parse(command, args.iter().cloned(), "") {
        Ok(Outcome::Run(parsed)) => Ok(parsed),
        Ok(Outcome::Print(text)) => Err(text.into()),
        Err(e) => Err(e.to_string().into()),
    }
}

fn start_prometheus(parsed: &Parsed, dir: &Path, targets: &[String]) -> Option<Live> {
    if !parsed.switch("prometheus") {
        return None;
    }
    let Some(program) = prometheus::on_path("prometheus") else {
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
struct Told {
    page: String,
    compactor: Option<String>,
    endpoints: usize,
    shown: Vec<String>,
    live: Option<String>,
}

async fn tell_when_ready(told: &Told) -> Result<(), Error> {
    let base = format!("http://{}", told.page);
    let begun = tokio::time::Instant::now();
    loop {
        if let Ok(answer) = reqwest::get(format!("{base}/api/v1/stores")).await
            && let Ok(text) = answer.text().await
            && text.matches("\"lastError\":null").count() >= told.endpoints
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
    for line in told.shown.iter().chain(&told.live) {
        println!("  {line}");
    }
    if let Some(compactor) = &told.compactor {
        println!("\nThe compactor's page: http://{compactor}/");
    }
    println!("\nTry:");
    println!("  {base}/");
    println!("  {base}/api/v1/query?query=count%20by%20(cluster)%20(up)");
    println!(
        "  {base}/api/v1/query_range?query=sum%20by%20(cluster)%20(rate(http_requests_total%5B5m%5D))&start={0}&end={1}&step=3600",
        unix_s() - 2 * 86_400,
        unix_s()
    );
    println!("\nGrafana: add a Prometheus data source with the address {base}");
    println!("The page:  {base}/      Ctrl-C ends all.");
    Ok(())
}

fn unix_s() -> i64 {
    SystemClock.now_ms() / 1000
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_quiet_unless_asked() {
        let level = |args: &[&str]| match flags::parse(&command(), args.iter().map(|a| (*a).to_owned()), "") {
            Ok(Outcome::Run(parsed)) => parsed.text("log.level").to_owned(),
            other => panic!("{other:?}"),
        };
        assert_eq!((level(&[]).as_str(), level(&["--log.level=info"]).as_str()), ("warn", "info"));
    }
}
