//! Discovery over the network: lists from an HTTP server, a Consul's API.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use discovery::config::{ConsulConfig, HttpConfig};
use discovery::consul::{ConsulApi, ConsulDiscoverer, ConsulLimits, ConsulMetrics, HttpConsul};
use discovery::http::HttpLookup;
use discovery::{Discoverer, Lookup, Update, Updates};
use telemetry::{Counter, Metrics};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

fn counter() -> Counter {
    Metrics::new().counter("test_total", "Test.")
}

#[tokio::test]
async fn lists_of_an_http_server() {
    let answer = Arc::new(Mutex::new((StatusCode::OK, "application/json", "[]".to_owned())));
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let (state, headers) = (answer.clone(), seen.clone());
    let app = Router::new().route(
        "/sd",
        get(async move |got: HeaderMap| {
            *headers.lock().unwrap() = got;
            let (status, kind, body) = state.lock().unwrap().clone();
            (status, [("Content-Type", kind)], body)
        }),
    );
    let address = serve(app).await;
    let text = format!("{{url: 'http://u:hidden@{address}/sd', refresh_interval: 90s}}");
    let config = HttpConfig::from_node(&yaml::parse(&text).unwrap()).unwrap();
    let failures = counter();
    let lookup = HttpLookup::new(&config, 1000, failures.clone()).unwrap();
    let look = async |status: StatusCode, kind: &'static str, body: &str| {
        *answer.lock().unwrap() = (status, kind, body.to_owned());
        lookup.look().await
    };
    let json = "application/json; charset=utf-8";
    let found =
        look(StatusCode::OK, json, r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["b:1"]}]"#).await;
    let found = found.unwrap();
    let shown = format!("http://u:xxxxx@{address}/sd");
    let sources: Vec<&str> = found.iter().map(|update| update.group.source.as_str()).collect();
    assert_eq!(sources, [format!("{shown}:0"), format!("{shown}:1")]);
    assert_eq!(found[0].group.labels.get("__meta_url"), Some(shown.as_str()));
    let headers = seen.lock().unwrap().clone();
    for (name, value) in [
        ("accept", "application/json"),
        ("x-prometheus-refresh-interval-seconds", "90"),
        ("authorization", "Basic dTpoaWRkZW4="),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    for (status, kind, body, why) in [
        (StatusCode::INTERNAL_SERVER_ERROR, json, "[]", "500"),
        (StatusCode::OK, "text/html", "[]", "text/html"),
        (StatusCode::OK, json, "{", "no list of target groups"),
        (StatusCode::OK, json, &" ".repeat(2000), "longer than 1000 bytes"),
    ] {
        let error = look(status, kind, body).await.unwrap_err();
        assert!(error.starts_with(&shown) && error.contains(why) && !error.contains("hidden"), "{error}");
    }
    assert_eq!(failures.get(), 4);
}

/// A Consul with services, their instances and an index that grows with each change.
#[derive(Clone)]
struct Consul {
    services: Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>,
    index: Arc<watch::Sender<u64>>,
    fails: Arc<Mutex<bool>>,
    queries: Arc<Mutex<Vec<String>>>,
    /// Requests that wait now, and the most there were.
    waiting: Arc<(AtomicUsize, AtomicUsize)>,
}

impl Consul {
    fn new() -> Self {
        Self {
            services: Arc::default(),
            index: Arc::new(watch::Sender::new(7)),
            fails: Arc::default(),
            queries: Arc::default(),
            waiting: Arc::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Vec<&'static str>>)) {
        change(&mut self.services.lock().unwrap());
        self.index.send_modify(|index| *index += 1);
    }

    async fn serve(&self) -> String {
        let app = Router::new()
            .route("/base/v1/agent/self", get(async || r#"{"Config": {"Datacenter": "dc1"}}"#))
            .route("/base/v1/catalog/services", get(services))
            .route("/base/v1/health/service/{name}", get(instances))
            .with_state(self.clone());
        serve(app).await
    }

    /// Holds a request as Consul does, then answers.
    async fn answer(&self, query: Option<String>, headers: &HeaderMap, body: impl FnOnce(&Self) -> String) -> Response {
        let query = query.unwrap_or_default();
        self.queries.lock().unwrap().push(query.clone());
        if headers.get("x-consul-token").is_none_or(|token| token != "secret") {
            return (StatusCode::FORBIDDEN, "rpc error: Permission denied").into_response();
        }
        let after = query.split('&').find_map(|pair| pair.strip_prefix("index=")?.parse::<u64>().ok());
        if let Some(after) = after.filter(|after| *after >= *self.index.borrow()) {
            let now = self.waiting.0.fetch_add(1, Ordering::SeqCst) + 1;
            self.waiting.1.fetch_max(now, Ordering::SeqCst);
            drop(self.index.subscribe().wait_for(|index| *index > after).await);
            self.waiting.0.fetch_sub(1, Ordering::SeqCst);
        }
        if *self.fails.lock().unwrap() {
            return (StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader").into_response();
        }
        ([("X-Consul-Index", self.index.borrow().to_string())], body(self)).into_response()
    }
}

async fn services(State(consul): State<Consul>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let list = |consul: &Consul| {
        let names: BTreeMap<String, Vec<&str>> =
            consul.services.lock().unwrap().keys().map(|name| (name.clone(), vec!["v1"])).collect();
        serde_json::to_string(&names).unwrap()
    };
    consul.answer(query, &headers, list).await
}

async fn instances(
    State(consul): State<Consul>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let list = |consul: &Consul| {
        let hosts = consul.services.lock().unwrap().get(&name).cloned().unwrap_or_default();
        let one = |host: &&str| serde_json::json!({"Node": {"Address": host}, "Service": {"Port": 80}});
        serde_json::to_string(&hosts.iter().map(one).collect::<Vec<_>>()).unwrap()
    };
    consul.answer(query, &headers, list).await
}

/// A discoverer that runs against a server.
struct Run {
    inbox: mpsc::Receiver<(usize, Vec<Update>)>,
    known: BTreeMap<String, Update>,
    shutdown: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Run {
    fn start(address: &str, keys: &str, limits: ConsulLimits) -> Self {
        let text = format!("{{server: '{address}', path_prefix: /base, token: secret, refresh_interval: 1ms{keys}}}");
        let config = ConsulConfig::from_node(&yaml::parse(&text).unwrap()).unwrap();
        let api = HttpConsul::new(&config, 1 << 20, ConsulMetrics::new(&Metrics::new())).unwrap();
        let discoverer = Box::new(ConsulDiscoverer::new(Arc::new(api), config.own, limits));
        let (sender, inbox) = mpsc::channel(4);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(discoverer.run(Updates::new(0, sender), shutdown.clone()));
        Self { inbox, known: BTreeMap::new(), shutdown, task }
    }

    async fn until(&mut self, what: impl Fn(&BTreeMap<String, Update>) -> bool) {
        while !what(&self.known) {
            let waited = tokio::time::timeout(Duration::from_secs(60), self.inbox.recv()).await;
            let (_, updates) = waited.unwrap_or_else(|_| panic!("nothing comes: {:?}", self.known)).unwrap();
            for update in updates {
                match update.is_gone() {
                    true => drop(self.known.remove(&update.group.source).expect("it was there")),
                    false => drop(self.known.insert(update.group.source.clone(), update)),
                }
            }
        }
    }

    async fn finds(&mut self, want: &[(&str, &[&str])]) {
        let want: Vec<(String, Vec<String>)> = want
            .iter()
            .map(|(name, hosts)| ((*name).to_owned(), hosts.iter().map(|host| format!("{host}:80")).collect()))
            .collect();
        let is = |known: &BTreeMap<String, Update>| {
            let now = known.iter().map(|(name, u)| (name.clone(), u.group.addresses().map(str::to_owned).collect()));
            now.collect::<Vec<(String, Vec<String>)>>() == want
        };
        self.until(is).await;
    }

    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(60), self.task).await.expect("it goes on").unwrap();
    }
}

#[tokio::test]
async fn services_of_a_consul_come_and_go() {
    let consul = Consul::new();
    consul.change(|services| services.extend([("web".to_owned(), vec!["a", "b"]), ("db".to_owned(), vec!["c"])]));
    let keys = ", node_meta: {rack: r1}, filter: 'x == y', tags: [v1], datacenter: '', namespace: ns, partition: p";
    let mut run = Run::start(&consul.serve().await, keys, ConsulLimits::default());
    run.finds(&[("db", &["c"]), ("web", &["a", "b"])]).await;
    assert_eq!(run.known["web"].group.labels.get("__meta_consul_dc"), Some("dc1"));
    let queries = consul.queries.lock().unwrap().clone();
    let has = |part: &str| queries.iter().any(|query| query.contains(part));
    for part in ["stale=", "node-meta=rack%3Ar1", "filter=x+%3D%3D+y", "tag=v1", "ns=ns", "partition=p", "wait=120s"] {
        assert!(has(part), "{part}: {queries:?}");
    }
    consul.change(|services| drop(services.insert("web".to_owned(), vec!["d"])));
    run.finds(&[("db", &["c"]), ("web", &["d"])]).await;
    consul.change(|services| drop(services.remove("db")));
    run.finds(&[("web", &["d"])]).await;
    // A Consul without a leader takes no target away.
    *consul.fails.lock().unwrap() = true;
    consul.change(|_| ());
    let failed = |known: &BTreeMap<String, Update>| {
        let failures: Vec<&str> = known.values().filter_map(|update| update.failure.as_deref()).collect();
        failures.len() == 2 && failures.iter().all(|why| why.contains("No cluster leader"))
    };
    run.until(failed).await;
    assert_eq!(run.known["web"].group.addresses().collect::<Vec<_>>(), ["d:80"]);
    run.end().await;
}

#[tokio::test]
async fn requests_that_wait_at_a_consul_are_limited() {
    let consul = Consul::new();
    let name = |i: usize| format!("s{i:02}");
    consul.change(|services| services.extend((0..30).map(|i| (name(i), vec!["a"]))));
    let limits = ConsulLimits { watches_max: 5, polls_max: 2 };
    let mut run = Run::start(&consul.serve().await, "", limits);
    run.until(|known| known.len() == 30).await;
    consul.change(|services| services.values_mut().for_each(|hosts| *hosts = vec!["b"]));
    let changed = |known: &BTreeMap<String, Update>| {
        known.len() == 30 && known.values().all(|update| update.group.addresses().eq(["b:80"]))
    };
    run.until(changed).await;
    // The list of services, and the watches.
    let most = consul.waiting.1.load(Ordering::SeqCst);
    assert!((1..=6).contains(&most), "{most}");
    run.end().await;
}

#[tokio::test]
async fn a_consul_says_what_is_wrong() {
    let consul = Consul::new();
    let address = consul.serve().await;
    let api = |keys: &str| {
        let config = ConsulConfig::from_node(&yaml::parse(&format!("{{server: '{address}'{keys}}}")).unwrap()).unwrap();
        HttpConsul::new(&config, 1 << 20, ConsulMetrics::new(&Metrics::new())).unwrap()
    };
    let denied = api(", path_prefix: /base/, token: wrong").services(None).await.unwrap_err();
    assert!(denied.contains("403") && denied.contains("Permission denied"), "{denied}");
    let nowhere = api("").services(None).await.unwrap_err();
    assert!(nowhere.contains("/v1/catalog/services") && nowhere.contains("404"), "{nowhere}");
}
