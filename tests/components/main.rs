//! What holds for every component: probes and metrics, listeners that are taken, shutdown within the grace period, a part
//! that fails, reload at SIGHUP.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assembly::{Component, Config, Deps, Error, GrpcServices, Listeners, Reloads};
use axum::Router;
use compactor::Compact;
use flags::{Command, Outcome, Parsed};
use querier::Querier;
use ruler::Ruler;
use server::Server;
use service::Group;
use sidecar::Sidecar;
use store_gateway::Store;
use telemetry::Metrics;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;
use transport::http::Probe;

const LONG: Duration = Duration::from_secs(30);

/// The flags with which a component runs in `dir` and goes on for ever, whatever it does not reach.
fn args(name: &str, dir: &Path) -> Vec<String> {
    let bucket = dir.join("bucket");
    std::fs::create_dir_all(&bucket).unwrap();
    let bucket = bucket.display().to_string();
    let bucket = format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {bucket:?}}}}}");
    let data = format!("--data-dir={}", dir.join("data").display());
    let mut args = match name {
        "compact" => vec!["--wait".to_owned(), bucket, data],
        "store" => vec![bucket, data],
        // Nobody listens on this port of loopback.
        "sidecar" => vec![format!("--tsdb.path={}", dir.display()), "--prometheus.url=http://127.0.0.1:9".to_owned()],
        "query" => vec!["--endpoint=127.0.0.1:9".to_owned()],
        "rule" => vec!["--query=127.0.0.1:9".to_owned(), data, format!("--rule-file={}/rules/*.yml", dir.display())],
        "server" => {
            let config = dir.join("prometheus.yml");
            std::fs::write(&config, "global: {scrape_interval: 1h}").unwrap();
            let (config, data) = (config.display().to_string(), dir.join("data").display().to_string());
            vec![
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                "--grpc-address=:0".to_owned(),
            ]
        }
        other => panic!("{other} is not a component of this test"),
    };
    args.push(format!("--{}=1s", names(name).grace));
    if name != "compact" {
        args.push("--grpc-grace-period=1s".to_owned());
    }
    args
}

/// What is called otherwise where a component takes the place of a Prometheus.
struct Names {
    address: &'static str,
    grace: &'static str,
    web_config: &'static str,
    /// Status of a request to reload that no flag allows.
    reload_status: u16,
}

fn names(component: &str) -> Names {
    match component {
        // Thanos' ruler reloads without a flag.
        "rule" => {
            Names { address: "http-address", grace: "http-grace-period", web_config: "http.config", reload_status: 200 }
        }
        "server" => Names {
            address: "web.listen-address",
            grace: "web.grace-period",
            web_config: "web.config.file",
            reload_status: 403,
        },
        _ => {
            Names { address: "http-address", grace: "http-grace-period", web_config: "http.config", reload_status: 404 }
        }
    }
}

fn parsed<C: Component>(args: Vec<String>) -> Parsed {
    match flags::parse(&C::command(), args, "").unwrap() {
        Outcome::Run(parsed) => parsed,
        Outcome::Print(text) => panic!("{text}"),
    }
}

/// A component on ports of its own.
struct Running {
    http: String,
    metrics: Metrics,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
    client: reqwest::Client,
}

impl Running {
    async fn start<C: Component>(args: Vec<String>) -> Self {
        Self::start_changed::<C, C>(args, |component| component).await
    }

    async fn start_changed<C: Component, D: Component>(args: Vec<String>, change: impl FnOnce(C) -> D) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let metrics = Metrics::new();
        let deps = Deps::isolated(metrics.clone());
        let config = C::Config::from_flags(&parsed::<C>(args), &deps).unwrap();
        let component = change(C::build(config, deps, Probe::new("starting")).await.unwrap());
        let (listeners, shutdown) = (Listeners::loopback().await.unwrap(), CancellationToken::new());
        let http = format!("http://{}", listeners.http_address().unwrap());
        let task = tokio::spawn(assembly::serve(component, listeners, shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { http, metrics, shutdown, task, client }
    }

    async fn status(&self, path: &str) -> u16 {
        self.client.get(format!("{}{path}", self.http)).send().await.unwrap().status().as_u16()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

async fn has_probes_and_metrics<C: Component>() {
    let (dir, name) = (tempfile::tempdir().unwrap(), C::command().name);
    let running = Running::start::<C>(args(name, dir.path())).await;
    assert_eq!(running.status("/-/healthy").await, 200, "{name}");
    assert!([200, 503].contains(&running.status("/-/ready").await), "{name}");
    let metrics = running.client.get(format!("{}/metrics", running.http)).send().await.unwrap();
    let text = metrics.text().await.unwrap();
    assert!(text.contains(&format!("{}_successful 1", C::reload_metrics())), "{text}");
    let reload = running.client.post(format!("{}/-/reload", running.http)).send().await.unwrap();
    assert_eq!(reload.status(), names(name).reload_status, "{name}");
    running.stop().await;
}

async fn names_the_flag_of_a_taken_address<C: Component>() {
    let (dir, name) = (tempfile::tempdir().unwrap(), C::command().name);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let http = format!("--{}", names(name).address);
    let free = format!("{http}=127.0.0.1:0");
    let mut wrong = vec![(http.as_str(), vec![format!("{http}={address}")])];
    if name != "compact" {
        wrong.push(("--grpc-address", vec![free, format!("--grpc-address={address}")]));
    }
    for (flag, more) in wrong {
        let given = |arg: &String| more.iter().any(|m| m.split('=').next() == arg.split('=').next());
        let args = args(name, dir.path()).into_iter().filter(|arg| !given(arg)).chain(more.clone()).collect();
        let deps = Deps::isolated(Metrics::new());
        let error = assembly::run::<C>(&parsed::<C>(args), deps, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{flag}: listen on {address}: ")), "{name}: {error}");
    }
}

async fn ends_within_its_grace_period<C: Component>() {
    let (dir, name) = (tempfile::tempdir().unwrap(), C::command().name);
    let running = Running::start::<C>(args(name, dir.path())).await;
    assert_eq!(running.status("/-/healthy").await, 200, "{name}");
    // A client that sends half a request and waits holds its connection open.
    let address = running.http.strip_prefix("http://").unwrap().to_owned();
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut half, b"GET / HTTP/1.1\r\n").await.unwrap();
    let begun = Instant::now();
    running.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{name} took {:?}", begun.elapsed());
}

/// A component with a part that fails at once.
struct Broken<C>(Arc<C>);

impl<C: Component> Component for Broken<C> {
    type Config = C::Config;

    fn command() -> Command {
        C::command()
    }

    fn reload_metrics() -> String {
        C::reload_metrics()
    }

    async fn build(config: C::Config, deps: Deps, probe: Probe) -> Result<Self, Error> {
        Ok(Self(Arc::new(C::build(config, deps, probe).await?)))
    }

    fn config(&self) -> &C::Config {
        self.0.config()
    }

    fn deps(&self) -> &Deps {
        self.0.deps()
    }

    fn probe(&self) -> &Probe {
        self.0.probe()
    }

    fn http_routes(&self) -> Router {
        self.0.http_routes()
    }

    fn grpc_services(&self) -> Option<GrpcServices> {
        self.0.grpc_services()
    }

    fn on_reload(self: &Arc<Self>, reloads: &mut Reloads) {
        self.0.on_reload(reloads);
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        self.0.spawn(group);
        group.spawn("weather", async { Err("it rains") });
    }
}

async fn ends_with_the_name_of_a_part_that_failed<C: Component>() {
    let (dir, name) = (tempfile::tempdir().unwrap(), C::command().name);
    let broken = |component| Broken(Arc::new(component));
    let running = Running::start_changed::<C, Broken<C>>(args(name, dir.path()), broken).await;
    let ended = tokio::time::timeout(LONG, running.task).await.unwrap().unwrap();
    assert_eq!(ended.unwrap_err().to_string(), "weather: it rains", "{name}");
    assert!(running.shutdown.is_cancelled(), "{name}: the other parts were told");
}

/// Users of `--http.config`: `nobody` of the password "test", and what does not parse.
const USERS: &str = "basic_auth_users: {nobody: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}";
const WRONG: &str = "basic_auth_users: {nobody: plain}";

async fn reloads_at_a_signal<C: Component>() {
    let (dir, name) = (tempfile::tempdir().unwrap(), C::command().name);
    let web = dir.path().join("web.yml");
    std::fs::write(&web, "").unwrap();
    let mut args = args(name, dir.path());
    args.push(format!("--{}={}", names(name).web_config, web.display()));
    let running = Running::start::<C>(args).await;
    assert_eq!(running.status("/-/healthy").await, 200, "{name}");
    let successful = |is: u8| running.metrics.encode().contains(&format!("{}_successful {is}", C::reload_metrics()));
    let hang_up = || {
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, rustix::process::Signal::HUP).unwrap();
    };
    for (text, is) in [(USERS, 1), (WRONG, 0), (USERS, 1)] {
        // In one step: the signals of the other tests come at any time.
        let next = dir.path().join("next.yml");
        std::fs::write(&next, text).unwrap();
        std::fs::rename(&next, &web).unwrap();
        hang_up();
        let reloaded = async || successful(is) && running.status("/-/healthy").await == 401;
        wait_for(&format!("{name} to reload {text:?}"), LONG, reloaded).await;
    }
    running.stop().await;
}

/// One test per component for each of `checks`.
macro_rules! for_every_component {
    ($($check:ident),* $(,)?) => { $(
        mod $check {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn compact() {
                super::$check::<Compact>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn query() {
                super::$check::<Querier>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn rule() {
                super::$check::<Ruler>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn server() {
                super::$check::<Server>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sidecar() {
                super::$check::<Sidecar>().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn store() {
                super::$check::<Store>().await;
            }
        }
    )* };
}

for_every_component!(
    has_probes_and_metrics,
    names_the_flag_of_a_taken_address,
    ends_within_its_grace_period,
    ends_with_the_name_of_a_part_that_failed,
    reloads_at_a_signal,
);
