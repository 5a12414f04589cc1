//! Stores on loopback and a querier over them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use assembly::{Deps, Listeners};
use bytes::Bytes;
use chunkenc::{Encoding, encode_xor};
use discovery::dns::Resolver;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use labels::{Labels, Matcher};
use promql::{Engine, EngineOptions};
use querier::Querier;
use queryapi::evaluator::{self, EvaluatorOptions, EvaluatorServer};
use serde_json::Value;
use storage::{
    Answer, Budget, Chunk, Ctx, Error, LabelQuery, MemorySource, Result, Select, Series, SeriesEvent, SeriesSource,
    SeriesStream, SourceInfo,
};
use storeapi::{ComponentType, EndpointInfo, InfoServer, Served, ServerOptions, StoreLimits, store_routes};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::service::Routes;
use transport::ServeOptions;
use transport::grpc::{ServerMetrics, ServerStack};
use transport::http::Probe;

/// When the data begins, s.
pub const START_S: i64 = 1_700_000_000;

/// `up` of each job, 1 at each 15 s step in `steps`.
pub fn series(jobs: &[&str], steps: Range<i64>) -> Vec<Series> {
    let time = |step: i64| (START_S + step * 15) * 1000 + 123;
    let one = |job: &&str| {
        let chunks = steps.clone().step_by(50).map(|from| {
            let to = (from + 50).min(steps.end);
            let data = encode_xor((from..to).map(|step| (time(step), 1.0))).unwrap();
            Chunk::raw(time(from), time(to - 1), Encoding::Xor, Bytes::from(data))
        });
        Series { labels: Labels::from_pairs([("__name__", "up"), ("job", job)]), chunks: chunks.collect() }
    };
    jobs.iter().map(one).collect()
}

/// What a store does when asked for series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour {
    Good,
    /// Fails at once.
    Fail,
    /// Fails after the first batch.
    FailLater,
    /// Sends series in the wrong order.
    Lie,
    /// Sends nothing, for ever.
    Stall,
    /// Takes its time for each of many batches.
    Drip,
    /// Refuses with this status.
    Refuse(tonic::Code),
    /// Sends all it has, whatever is asked.
    Stray,
    /// Takes much memory to read.
    Large,
    /// Refuses selectors of nothing but external labels.
    Picky,
    /// Says who it is a while after it was asked.
    Slow,
    /// Is never ready to say who it is.
    NotReady,
}

#[derive(Clone)]
pub struct Store {
    pub labels: Labels,
    /// What it says its label sets are, where that is not `labels`.
    pub sets: Vec<Labels>,
    pub series: Vec<Series>,
    pub behaviour: Behaviour,
    /// Cannot strip replica labels, and says so.
    pub plain: bool,
    /// The version that it says to evaluate for, and the one that it is.
    pub evaluates: Option<[String; 2]>,
}

impl Store {
    pub fn of(cluster: &str, replica: &str, series: Vec<Series>) -> Self {
        let labels = Labels::from_pairs([("cluster", cluster), ("replica", replica)]);
        Self { labels, sets: Vec::new(), series, behaviour: Behaviour::Good, plain: false, evaluates: None }
    }

    /// The same, which evaluates queries too.
    pub fn evaluating(self) -> Self {
        let version = evaluator::version(Metrics::new().build());
        Self { evaluates: Some([version.clone(), version]), ..self }
    }
}

#[derive(Debug)]
struct Source {
    inner: MemorySource,
    sets: Vec<Labels>,
    behaviour: Behaviour,
    plain: bool,
    asked: Arc<AtomicUsize>,
}

impl SeriesSource for Source {
    fn info(&self) -> SourceInfo {
        let info = SourceInfo { supports_without_replica_labels: !self.plain, ..self.inner.info() };
        if self.sets.is_empty() { info } else { SourceInfo { label_sets: self.sets.clone(), ..info } }
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert!(!self.plain || want.without_replica_labels.is_empty(), "asked for what it cannot do");
        let fire = || Err(Error::other("the disk is on fire"));
        if let Err(e) = self.refusal().and_then(|()| self.picked(&want.matchers)) {
            return stream::once(async move { Err(e) }).boxed();
        }
        let all = Select { matchers: Vec::new().into(), ..want.clone() };
        let good = self.inner.select(ctx, want);
        match self.behaviour {
            Behaviour::Fail => stream::once(async move { fire() }).boxed(),
            Behaviour::FailLater => good.take(1).chain(stream::once(async move { fire() })).boxed(),
            Behaviour::Drip => {
                let single = |event| match event {
                    Ok(SeriesEvent::Batch(batch)) => batch.into_iter().flat_map(in_parts).collect(),
                    other => vec![other],
                };
                let parts = good.flat_map(move |event| stream::iter(single(event)));
                let late = |part| async {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    part
                };
                parts.then(late).boxed()
            }
            Behaviour::Lie => good.map(|event| event.map(super::reversed)).boxed(),
            Behaviour::Stall => {
                let open = self.asked.clone();
                stream::pending().inspect(move |_| _ = &open).boxed()
            }
            Behaviour::Stray => self.inner.select(ctx, all),
            Behaviour::Large => match ctx.budget.reserve(16 << 20) {
                Ok(held) => good.inspect(move |_| _ = &held).boxed(),
                Err(e) => stream::once(async move { Err(e) }).boxed(),
            },
            _ => good,
        }
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        match self.refusal() {
            Err(e) => Box::pin(async move { Err(e) }),
            Ok(()) => self.inner.label_names(ctx, want),
        }
    }

    fn label_values(&self, ctx: &Ctx, name: &str, want: LabelQuery) -> BoxFuture<'static, Result<Answer<Vec<String>>>> {
        match self.refusal() {
            Err(e) => Box::pin(async move { Err(e) }),
            Ok(()) => self.inner.label_values(ctx, name, want),
        }
    }
}

/// A series, one chunk at a time.
fn in_parts(series: Series) -> impl Iterator<Item = Result<SeriesEvent>> {
    let labels = series.labels;
    let part = move |chunk| Series { labels: labels.clone(), chunks: vec![chunk] };
    series.chunks.into_iter().map(move |chunk| Ok(SeriesEvent::Batch(vec![part(chunk)])))
}

impl Source {
    fn refusal(&self) -> Result<()> {
        let text = "refused for the test".to_owned();
        match self.behaviour {
            Behaviour::Refuse(Code::InvalidArgument) => Err(Error::Invalid(text)),
            Behaviour::Refuse(Code::ResourceExhausted) => Err(Error::Limit(text)),
            Behaviour::Refuse(Code::Unimplemented) => Err(Error::Unsupported(text)),
            Behaviour::Refuse(Code::DataLoss) => Err(Error::Corrupt(text)),
            Behaviour::Refuse(Code::Cancelled) => Err(Error::Cancelled),
            Behaviour::Refuse(Code::DeadlineExceeded) => Err(Error::Timeout(text)),
            Behaviour::Refuse(_) => Err(Error::other(text)),
            _ => Ok(()),
        }
    }

    /// As Thanos' sidecar does.
    fn picked(&self, matchers: &[Matcher]) -> Result<()> {
        let sets = self.inner.info().label_sets;
        let own = |m: &Matcher| sets.iter().all(|set| set.get(m.name()).is_none());
        if self.behaviour != Behaviour::Picky || matchers.iter().any(own) {
            return Ok(());
        }
        Err(Error::Invalid("no matchers specified (excluding external labels)".to_owned()))
    }
}

/// Names and what they stand for, to be changed while a test runs.
#[derive(Debug, Default, Clone)]
pub struct Names(pub Arc<Mutex<BTreeMap<String, std::result::Result<Vec<IpAddr>, String>>>>);

impl Resolver for Names {
    fn addresses(&self, host: &str) -> BoxFuture<'static, std::result::Result<Vec<IpAddr>, String>> {
        let found = self.0.lock().unwrap().get(host).cloned();
        Box::pin(std::future::ready(found.unwrap_or_else(|| Err(format!("look up {host}: no such name")))))
    }

    fn services(&self, name: &str) -> BoxFuture<'static, std::result::Result<Vec<(String, u16)>, String>> {
        Box::pin(std::future::ready(Err(format!("look up SRV {name}: no such name"))))
    }
}

pub struct World {
    /// Where the HTTP API is.
    pub http: String,
    pub grpc: String,
    client: reqwest::Client,
    stores: Vec<(String, CancellationToken, Arc<AtomicUsize>)>,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.stores.iter().for_each(|(_, stop, _)| stop.cancel());
    }
}

impl World {
    /// Starts all and waits until the querier knows every endpoint.
    pub async fn start(stores: Vec<Store>, args: &[&str]) -> Self {
        let count = stores.len() + args.iter().filter(|a| a.starts_with("--endpoint=")).count();
        Self::start_with(stores, args, Names::default(), count).await
    }

    /// Starts all and waits until the querier knows so many endpoints.
    pub async fn start_with(stores: Vec<Store>, args: &[&str], names: Names, count: usize) -> Self {
        // The test's own HTTP client wants it; tests of one process may each try.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut running = Vec::new();
        for store in stores {
            running.push(serve(store).await);
        }
        let endpoints = running.iter().map(|(address, ..)| format!("--endpoint={address}"));
        let args: Vec<String> = endpoints.chain(args.iter().map(|a| (*a).to_owned())).collect();
        let deps = Deps::isolated(Metrics::new());
        let mut config = assembly::configured::<Querier>(args, &deps).unwrap();
        config.http.serve = ServeOptions::http(Duration::ZERO);
        config.grpc.serve = ServeOptions::grpc(Duration::ZERO, Duration::ZERO);
        let querier = Querier::new(config, Arc::new(names), deps, Probe::new("starting"));
        let listeners = Listeners::loopback().await.unwrap();
        let http = listeners.http_address().unwrap();
        let grpc = listeners.grpc_address().unwrap().unwrap().to_string();
        let (shutdown, set) = (CancellationToken::new(), querier.endpoints());
        tokio::spawn(assembly::serve(querier, listeners, shutdown.clone()));
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while set.all().iter().filter(|e| e.health().info.is_some()).count() < count {
            assert!(std::time::Instant::now() < deadline, "endpoints do not answer: {:?}", set.all());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { http: format!("http://{http}"), grpc, client, stores: running, shutdown }
    }

    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> Value {
        let request = self.client.get(format!("{}{path}", self.http)).query(params);
        let text = request.send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Its own metrics.
    pub async fn metrics(&self) -> String {
        self.client.get(format!("{}/metrics", self.http)).send().await.unwrap().text().await.unwrap()
    }

    pub async fn query(&self, query: &str, time: &str) -> Value {
        self.get("/api/v1/query", &[("query", query), ("time", time)]).await
    }

    /// Series calls per store so far.
    pub fn asked(&self) -> Vec<usize> {
        self.stores.iter().map(|(_, _, asked)| asked.load(Ordering::SeqCst)).collect()
    }

    /// Series calls that a store is still at, which stalls.
    pub fn stalled(&self, i: usize) -> usize {
        // The store has one itself, and so has this.
        Arc::strong_count(&self.stores[i].2) - 2
    }

    pub fn store_address(&self, i: usize) -> String {
        self.stores[i].0.clone()
    }

    /// Starts a store at an address where none is.
    pub async fn start_store(&mut self, address: &str, store: Store) {
        let listener = transport::bind(address).await.unwrap();
        self.stores.push(serve_at(listener, store));
    }

    /// Ends a store and returns its address.
    pub fn stop_store(&mut self, i: usize) -> String {
        self.stores[i].1.cancel();
        self.stores[i].0.clone()
    }
}

/// An instant answer as (labels, value), by labels.
pub fn vector(answer: &Value) -> Vec<(String, f64)> {
    let result = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let mut out: Vec<_> = result
        .iter()
        .map(|s| {
            let pairs =
                s["metric"].as_object().unwrap().iter().map(|(n, v)| (n.clone(), v.as_str().unwrap().to_owned()));
            (Labels::from_pairs(pairs).to_string(), s["value"][1].as_str().unwrap().parse().unwrap())
        })
        .collect();
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

async fn serve(store: Store) -> (String, CancellationToken, Arc<AtomicUsize>) {
    serve_at(transport::bind("127.0.0.1:0").await.unwrap(), store)
}

fn serve_at(listener: TcpListener, store: Store) -> (String, CancellationToken, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let source: Arc<dyn SeriesSource> = Arc::new(Source {
        inner: MemorySource::with_external_labels(store.series, store.labels),
        sets: store.sets,
        behaviour: store.behaviour,
        plain: store.plain,
        asked: asked.clone(),
    });
    let mut routes = Routes::builder();
    let options =
        ServerOptions { limits: StoreLimits::default(), budget: Arc::new(Budget::unlimited), metrics: Metrics::new() };
    store_routes(&mut routes, source.clone(), options);
    let info = EndpointInfo {
        component: ComponentType::Store,
        served: Served { store: true, evaluator: store.evaluates.is_some(), ..Served::default() },
        source: source.info(),
        sets: vec![],
        evaluator: store.evaluates.as_ref().map(|[said, _]| said.clone()).unwrap_or_default(),
    };
    if let Some([_, version]) = store.evaluates {
        let options = EvaluatorOptions {
            version,
            kind: "store",
            limits: StoreLimits::default(),
            budget: Arc::new(Budget::unlimited),
        };
        EvaluatorServer::new(
            source,
            Engine::new(EngineOptions { max_concurrent: 2, ..EngineOptions::default() }),
            options,
        )
        .add_to(&mut routes);
    }
    let behaviour = store.behaviour;
    InfoServer::new(move || {
        if behaviour == Behaviour::Slow {
            std::thread::sleep(Duration::from_millis(300));
        }
        (behaviour != Behaviour::NotReady).then(|| info.clone())
    })
    .add_to(&mut routes);
    let router = ServerStack::new(ServerMetrics::new(&Metrics::new()), Probe::default()).router(routes.routes());
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(transport::serve(listener, router, ServeOptions::grpc(Duration::ZERO, Duration::ZERO), stop.clone()));
    (address, stop, asked)
}
