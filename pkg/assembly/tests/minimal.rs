//! The smallest component there can be, and what `assembly` does around it.

use std::sync::Arc;
use std::time::Duration;

use assembly::{Component, Config, Deps, Error, HttpConfig, Listeners, Reloads};
use axum::Router;
use axum::routing::get;
use flags::{Command, Flag, Parsed};
use service::Group;
use telemetry::Metrics;
use testkit::{free_port, wait_for};
use tokio_util::sync::CancellationToken;
use transport::http::Probe;

const LONG: Duration = Duration::from_secs(20);

const FLAGS: &[Flag] = &[
    Flag::duration("build-time", "0s", "How long the build waits."),
    Flag::switch("web.enable-lifecycle", "Serve /-/reload."),
    Flag::text("web.route-prefix", "", "Prefix of all routes."),
];

#[derive(Clone)]
struct Settings {
    http: HttpConfig,
    build_time: Duration,
}

impl Config for Settings {
    fn from_flags(parsed: &Parsed, _: &Deps) -> Result<Self, Error> {
        let build_time = Duration::from_millis(parsed.duration_ms("build-time").max(0) as u64);
        Ok(Self { http: HttpConfig::from_flags(parsed)?, build_time })
    }

    fn http(&self) -> &HttpConfig {
        &self.http
    }
}

struct Minimal {
    config: Settings,
    deps: Deps,
    probe: Probe,
}

impl Component for Minimal {
    type Config = Settings;

    fn command() -> Command {
        let flags = vec![transport::flags::COMMON, transport::flags::HTTP, FLAGS];
        Command { name: "minimal", about: "Says hello.", flags, args: None }
    }

    async fn build(config: Settings, deps: Deps, probe: Probe) -> Result<Self, Error> {
        if !config.build_time.is_zero() {
            probe.not_ready("waiting for the test");
            tokio::time::sleep(config.build_time).await;
        }
        Ok(Self { config, deps, probe })
    }

    fn config(&self) -> &Settings {
        &self.config
    }

    fn deps(&self) -> &Deps {
        &self.deps
    }

    fn probe(&self) -> &Probe {
        &self.probe
    }

    fn http_routes(&self) -> Router {
        Router::new().route("/hello", get(|| async { "hello" }))
    }

    fn on_reload(self: &Arc<Self>, reloads: &mut Reloads) {
        reloads.add("nothing", || async { Err("there is nothing to read") });
    }

    fn spawn(self: &Arc<Self>, group: &mut Group) {
        self.probe.ready();
        let shutdown = group.shutdown();
        group.spawn("wait", async move { shutdown.cancelled().await });
    }
}

fn parsed(args: &[&str]) -> Parsed {
    let outcome = flags::parse(&Minimal::command(), args.iter().map(|a| (*a).to_owned()), "").unwrap();
    let flags::Outcome::Run(parsed) = outcome else { panic!("{outcome:?}") };
    parsed
}

fn deps() -> Deps {
    Deps::isolated(Metrics::new())
}

fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap()
}

async fn answer(request: reqwest::RequestBuilder) -> Option<(u16, String)> {
    let response = request.send().await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

#[tokio::test]
async fn probes_are_served_while_it_is_built() {
    let port = free_port().unwrap();
    let (address, shutdown) = (format!("--http-address=127.0.0.1:{port}"), CancellationToken::new());
    let run = {
        let (parsed, shutdown) = (parsed(&[&address, "--build-time=1h", "--web.route-prefix=/p"]), shutdown.clone());
        tokio::spawn(async move { assembly::run::<Minimal>(&parsed, deps(), shutdown).await })
    };
    let client = client();
    let get = async |path: &str| answer(client.get(format!("http://127.0.0.1:{port}{path}"))).await;
    wait_for("the probe", LONG, async || get("/-/healthy").await.is_some()).await;
    assert_eq!(get("/-/ready").await.unwrap(), (503, "NOT OK: waiting for the test".to_owned()));
    assert_eq!(get("/p/-/ready").await.unwrap(), get("/-/ready").await.unwrap());
    assert_eq!(get("/metrics").await.unwrap().0, 200);
    assert_eq!(get("/hello").await.unwrap().0, 503);
    shutdown.cancel();
    tokio::time::timeout(LONG, run).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn it_goes_on_with_the_same_listener_once_it_is_built() {
    let port = free_port().unwrap();
    let (address, shutdown) = (format!("--http-address=127.0.0.1:{port}"), CancellationToken::new());
    let run = {
        let (parsed, shutdown) = (parsed(&[&address, "--build-time=300ms"]), shutdown.clone());
        tokio::spawn(async move { assembly::run::<Minimal>(&parsed, deps(), shutdown).await })
    };
    let client = client();
    let get = async |path: &str| answer(client.get(format!("http://127.0.0.1:{port}{path}"))).await;
    let hello = async || get("/hello").await.is_some_and(|(status, text)| (status, text.as_str()) == (200, "hello"));
    wait_for("the route", LONG, hello).await;
    assert_eq!(get("/-/ready").await.unwrap().0, 200);
    shutdown.cancel();
    tokio::time::timeout(LONG, run).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_reload_over_http_is_served_where_a_flag_enables_it() {
    for (args, outcome) in [
        (&[][..], (403, "Lifecycle API is not enabled.\n".to_owned())),
        (&["--web.enable-lifecycle"], (500, "failed to reload config: nothing: there is nothing to read\n".to_owned())),
        (
            &["--web.enable-lifecycle", "--web.route-prefix=/p"],
            (500, "failed to reload config: nothing: there is nothing to read\n".to_owned()),
        ),
    ] {
        // Sidecars of Prometheus ask below the prefix.
        let prefix = if args.len() > 1 { "/p" } else { "" };
        let (config, deps) = (Settings::from_flags(&parsed(args), &deps()).unwrap(), deps());
        let minimal = Minimal::build(config, deps.clone(), Probe::new("starting")).await.unwrap();
        let listeners = Listeners::loopback().await.unwrap();
        let (address, shutdown) = (listeners.http_address().unwrap(), CancellationToken::new());
        let serve = tokio::spawn(assembly::serve(minimal, listeners, shutdown.clone()));
        let asked = answer(client().post(format!("http://{address}{prefix}/-/reload"))).await.unwrap();
        assert_eq!(asked, outcome, "{args:?}");
        let failed = deps.metrics.encode().contains("thanos_minimal_config_last_reload_successful 0");
        assert_eq!(failed, asked.0 == 500);
        let quit = answer(client().post(format!("http://{address}/-/quit"))).await.unwrap();
        if args.is_empty() {
            assert_eq!(quit.0, 403);
            shutdown.cancel();
        } else {
            assert_eq!(quit, (200, "Requesting termination... Goodbye!\n".to_owned()));
        }
        serve.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_taken_address_names_its_flag() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let parsed = parsed(&[&format!("--http-address={}", taken.local_addr().unwrap())]);
    let error = assembly::run::<Minimal>(&parsed, deps(), CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().starts_with("--http-address: listen on 127.0.0.1:"), "{error}");
}
