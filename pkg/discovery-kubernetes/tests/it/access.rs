//! Ways to reach an API server, over real connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use discovery_kubernetes::{Clusters, Limits, Surroundings};
use telemetry::Metrics;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use transport::ServeOptions;
use transport::http::WebConfig;

use crate::fake::Fake;
use crate::run::{LONG, Run, clusters, config, failures, pod, surroundings};

/// Requires this token.
#[derive(Debug, Clone)]
struct Door {
    fake: Fake,
    token: Arc<Mutex<String>>,
}

impl Door {
    fn new(fake: &Fake, token: &str) -> Self {
        Self { fake: fake.clone(), token: Arc::new(Mutex::new(token.to_owned())) }
    }

    fn app(&self) -> Router {
        let door = self.clone();
        Router::new().fallback(move |request: Request| {
            let door = door.clone();
            async move { door.answer(request).await }
        })
    }

    async fn answer(self, request: Request) -> Response {
        let given = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or("");
        if given != *self.token.lock().unwrap() {
            return Response::builder().status(401).body(Body::from("{\"message\": \"Unauthorized\"}")).unwrap();
        }
        let path = request.uri().path_and_query().unwrap().as_str();
        match self.fake.answer(path.strip_prefix("/prefix").unwrap_or(path)) {
            Some((status, body)) => Response::builder().status(status).body(Body::from_stream(body)).unwrap(),
            None => std::future::pending().await,
        }
    }

    async fn listen(&self) -> SocketAddr {
        self.serve(WebConfig::default()).await
    }

    async fn listen_tls(&self) -> SocketAddr {
        let config = "tls_server_config: {cert_file: server.pem, key_file: server.key}";
        self.serve(WebConfig::parse(config, &pem("")).unwrap()).await
    }

    async fn serve(&self, config: WebConfig) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { tls: config.tls, ..ServeOptions::http(Duration::ZERO) };
        tokio::spawn(transport::serve(listener, self.app(), options, CancellationToken::new()));
        address
    }
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tls").join(name)
}

/// Runs a configuration until the first pod and then another one are known.
async fn works(clusters: &Clusters, yaml: &str, fake: &Fake) {
    fake.put("pods", pod("a", "10.0.0.1"));
    fake.delete_if_there("pods", "default", "b");
    let mut run = Run::start(Box::new(clusters.discoverer(&config(yaml)).unwrap()));
    run.until("the pod", |run| run.addresses() == ["10.0.0.1:1"]).await;
    fake.put("pods", pod("b", "10.0.0.2"));
    run.until("the other pod", |run| run.addresses() == ["10.0.0.1:1", "10.0.0.2:1"]).await;
    run.shutdown.cancel();
    run.ends().await;
}

#[tokio::test]
async fn by_url() {
    let fake = Fake::default();
    let address = Door::new(&fake, "Bearer secret").listen().await;
    for api_server in [format!("http://{address}"), format!("{address}"), format!("http://{address}/prefix/")] {
        works(&clusters().0, &format!("{{role: pod, api_server: '{api_server}', bearer_token: secret}}"), &fake).await;
    }
    let (clusters, _) = clusters();
    let yaml = |token: &str| format!("{{role: pod, api_server: 'http://{address}', bearer_token: {token}}}");
    let mut run = Run::start(Box::new(clusters.discoverer(&config(&yaml("wrong"))).unwrap()));
    run.until("a failure", |run| !run.failures().is_empty()).await;
    let why =
        "list pods of the whole cluster: HTTP status 401: Unauthorized; check the token or the client certificate";
    assert_eq!(run.failures(), [why]);

    // Equal configurations share their watches; others have other rights.
    let before = fake.requests("watch=true").len();
    let mut runs: Vec<Run> =
        (0..5).map(|_| Run::start(Box::new(clusters.discoverer(&config(&yaml("secret"))).unwrap()))).collect();
    for run in &mut runs {
        run.until("the pods", |run| run.addresses().len() == 2).await;
    }
    fake.put("pods", pod("c", "10.0.0.3"));
    for run in &mut runs {
        run.until("all pods", |run| run.addresses().len() == 3).await;
    }
    assert_eq!(fake.requests("watch=true").len(), before + 1);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (clusters, _) = clusters();
    let yaml = format!("{{role: pod, api_server: 'http://{address}'}}");
    let mut run = Run::start(Box::new(clusters.discoverer(&config(&yaml)).unwrap()));
    run.until("a failure", |run| !run.failures().is_empty()).await;
    let why = run.failures()[0];
    assert!(why.starts_with("list pods of the whole cluster: ") && why.contains("onnection refused"), "{why}");
    assert!(!why.contains("limit="), "the words do not change with the request: {why}");
}

fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
         clusters:\n- name: k\n  cluster: {{server: '{server}', certificate-authority: '{}'}}\n\
         users:\n- name: u\n  user: {user}\n",
        pem("ca.pem").display()
    )
}

#[tokio::test]
async fn by_file() {
    let fake = Fake::default();
    let door = Door::new(&fake, "Bearer secret");
    let (address, tls) = (door.listen().await, door.listen_tls().await);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let program = program(dir.path(), "");
    for (server, user) in [
        (format!("http://{address}"), "{token: secret}"),
        (format!("https://{tls}"), "{token: secret}"),
        (format!("https://{tls}"), program.as_str()),
    ] {
        std::fs::write(&path, kubeconfig(&server, user)).unwrap();
        works(&clusters().0, &format!("{{role: pod, kubeconfig_file: '{}'}}", path.display()), &fake).await;
    }
}

/// A user whom a program names, after it did something else.
fn program(dir: &Path, first: &str) -> String {
    let credential = "{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \
                      \"status\": {\"token\": \"secret\"}}";
    let path = dir.join("credential");
    std::fs::write(&path, format!("#!/bin/sh\n{first}\necho '{credential}'\n")).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: '{}'}}}}", path.display())
}

#[tokio::test]
async fn a_program_that_hangs_is_started_once() {
    let fake = Fake::default();
    fake.put("pods", pod("a", "10.0.0.1"));
    let address = Door::new(&fake, "Bearer secret").listen().await;
    let dir = tempfile::tempdir().unwrap();
    let (gate, runs, path) = (dir.path().join("gate"), dir.path().join("runs"), dir.path().join("config"));
    std::fs::write(&gate, "").unwrap();
    let first = format!("echo run >> {}\nwhile [ -e {} ]; do sleep 0.05; done", runs.display(), gate.display());
    std::fs::write(&path, kubeconfig(&format!("http://{address}"), &program(dir.path(), &first))).unwrap();

    let (request_timeout, retry_min) = (Duration::from_millis(50), Duration::from_millis(1));
    let limits = Limits { request_timeout, retry_min, retry_max: 2 * retry_min, ..Limits::default() };
    let metrics = Metrics::new();
    let clusters = Clusters::new(Surroundings { limits, ..surroundings() }, &metrics);
    let yaml = format!("{{role: pod, kubeconfig_file: '{}'}}", path.display());
    let mut run = Run::start(Box::new(clusters.discoverer(&config(&yaml)).unwrap()));
    run.until("a failure", |run| run.failures() == ["list pods of the whole cluster: no answer within 50ms"]).await;
    testkit::wait_for("more failures", LONG, async || failures(&metrics) >= 5).await;
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
    std::fs::remove_file(&gate).unwrap();
    run.until("the pod", |run| run.addresses() == ["10.0.0.1:1"]).await;
}

#[tokio::test]
async fn a_file_is_read_again_when_it_was_not_good() {
    let fake = Fake::default();
    let door = Door::new(&fake, "Bearer new");
    let address = door.listen().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    let (clusters, _) = clusters();
    let yaml = format!("{{role: pod, kubeconfig_file: '{}'}}", path.display());
    let mut run = Run::start(Box::new(clusters.discoverer(&config(&yaml)).unwrap()));
    run.until("a failure", |run| run.failures().iter().any(|why| why.contains("kubeconfig_file /"))).await;
    std::fs::write(&path, kubeconfig(&format!("http://{address}"), "{token: old}")).unwrap();
    run.until("a refusal", |run| run.failures().iter().any(|why| why.contains("HTTP status 401"))).await;
    fake.put("pods", pod("a", "10.0.0.1"));
    std::fs::write(&path, kubeconfig(&format!("http://{address}"), "{token: new}")).unwrap();
    run.until("the pod", |run| run.addresses() == ["10.0.0.1:1"] && run.failures().is_empty()).await;
}

/// Clusters for a program in a pod whose API server is there.
fn inside(address: SocketAddr, account: &Path) -> Clusters {
    let variables = HashMap::from([
        ("KUBERNETES_SERVICE_HOST", address.ip().to_string()),
        ("KUBERNETES_SERVICE_PORT", address.port().to_string()),
    ]);
    let env = Arc::new(move |name: &str| variables.get(name).cloned());
    Clusters::new(Surroundings { env, service_account: account.to_owned(), ..surroundings() }, &Metrics::new())
}

#[tokio::test]
async fn from_inside() {
    let fake = Fake::default();
    let address = Door::new(&fake, "Bearer mine").listen_tls().await;
    let account = tempfile::tempdir().unwrap();
    let clusters = inside(address, account.path());
    let mut run = Run::start(Box::new(clusters.discoverer(&config("role: pod")).unwrap()));
    run.until("a failure", |run| run.failures().iter().any(|why| why.contains("is there a service account?"))).await;
    for (name, text) in [("token", "mine"), ("namespace", "default\n")] {
        std::fs::write(account.path().join(name), text).unwrap();
    }
    std::fs::copy(pem("ca.pem"), account.path().join("ca.crt")).unwrap();
    works(&clusters, "role: pod", &fake).await;
    works(&clusters, "{role: pod, namespaces: {own_namespace: true, names: [default]}}", &fake).await;
    assert!(!fake.requests("/namespaces/default/pods?watch").is_empty());
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_once() {
    let (clusters, _) = clusters();
    let missing = pem("none.pem");
    for (yaml, why) in [
        ("role: pod".to_owned(), "KUBERNETES_SERVICE_HOST is not set"),
        ("{role: pod, namespaces: {own_namespace: true}}".to_owned(), "own_namespace: read /nowhere/namespace"),
        (
            format!("{{role: pod, api_server: 'https://x', tls_config: {{ca_file: '{}'}}}}", missing.display()),
            "none.pem",
        ),
    ] {
        let error = clusters.discoverer(&config(&yaml)).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
