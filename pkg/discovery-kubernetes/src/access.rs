//! How an API server is reached: by URL, by a kubeconfig file, or from inside of its cluster.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt};
use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tower::{BoxError, ServiceBuilder};
use transport::http::{ClientConfig, HttpClient};

use crate::config::KubernetesSdConfig;
use crate::server::{Answer, ApiServer};

/// Where a cluster is, and who the client is there. Equal ones share their watches.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Origin {
    Url(String, Box<ClientConfig>),
    File(PathBuf),
    /// URL of the API server of the cluster that the program runs in.
    Inside(String),
}

impl Origin {
    pub(crate) fn of(config: &KubernetesSdConfig, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        if let Some(url) = &config.api_server {
            return Ok(Self::Url(base_url(url), Box::new(config.client.clone())));
        }
        if !config.kubeconfig_file.as_os_str().is_empty() {
            return Ok(Self::File(config.kubeconfig_file.clone()));
        }
        let variable = |name: &str| {
            env(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                format!("{name} is not set, so this is no pod of a cluster: set api_server or kubeconfig_file")
            })
        };
        let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self::Inside(format!("https://{host}:{port}")))
    }
}

/// A URL to which paths can be added. Without a scheme it is plain HTTP.
fn base_url(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// What carries requests there.
pub(crate) fn connect(origin: &Origin, service_account: &Path) -> Result<Arc<dyn ApiServer>, String> {
    Ok(match origin {
        Origin::Url(base, config) => {
            let client = config.as_ref().clone().build().map_err(|e| e.to_string())?;
            Arc::new(ByUrl { base: base.clone(), client })
        }
        Origin::File(path) => Arc::new(ByIdentity::new(Identity::File(path.clone()))),
        Origin::Inside(url) => Arc::new(ByIdentity::new(Identity::Pod(url.clone(), service_account.to_owned()))),
    })
}

/// With the HTTP client of the configuration.
#[derive(Debug)]
struct ByUrl {
    base: String,
    client: HttpClient,
}

impl ApiServer for ByUrl {
    fn get(&self, path: &str) -> BoxFuture<'static, Result<Answer, String>> {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(http::Method::GET, &url);
        Box::pin(async move {
            let request = request.await.map_err(|e| e.to_string())?;
            // Limits count the bytes that come.
            let request = request.header("Accept", "application/json").header("Accept-Encoding", "identity");
            let answer = request.send().await.map_err(|e| causes(&e.without_url()))?;
            let status = answer.status().as_u16();
            let body = answer.bytes_stream().map_err(|e| causes(&e.without_url())).boxed();
            Ok(Answer { status, body })
        })
    }
}

/// An error with its causes, which say what happened. The words of the outermost alone are "error sending request".
fn causes(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !out.ends_with(&text) {
            out = format!("{out}: {text}");
        }
        cause = error.source();
    }
    out
}

/// Who the client is.
#[derive(Debug, Clone)]
enum Identity {
    /// Whom a kubeconfig file says, which may run a program to find out.
    File(PathBuf),
    /// The account of the pod: URL of the server, folder of the account.
    Pod(String, PathBuf),
}

/// With certificates and tokens of an [`Identity`].
#[derive(Debug, Clone)]
struct ByIdentity {
    identity: Identity,
    state: Arc<Mutex<Making>>,
}

/// The client of an [`Identity`], or the attempt to make it.
#[derive(Default)]
struct Making {
    /// None until the first request, and again after one that failed: files may have changed.
    client: Option<kube::Client>,
    /// Goes on when nobody waits for it any more: a program that hangs is not started again and again.
    attempt: Option<JoinHandle<Result<kube::Client, String>>>,
}

impl fmt::Debug for Making {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Making").field("made", &self.client.is_some()).finish_non_exhaustive()
    }
}

impl ByIdentity {
    fn new(identity: Identity) -> Self {
        Self { identity, state: Arc::default() }
    }

    async fn client(&self) -> Result<kube::Client, String> {
        let mut state = self.state.lock().await;
        if let Some(client) = &state.client {
            return Ok(client.clone());
        }
        let attempt = state.attempt.get_or_insert_with(|| {
            let (identity, runtime) = (self.identity.clone(), tokio::runtime::Handle::current());
            // Files are read, and a program may be run.
            tokio::task::spawn_blocking(move || runtime.block_on(identity.client()))
        });
        let made = attempt.await;
        state.attempt = None;
        let client = made.map_err(|e| e.to_string())??;
        state.client = Some(client.clone());
        Ok(client)
    }
}

impl ApiServer for ByIdentity {
    fn get(&self, path: &str) -> BoxFuture<'static, Result<Answer, String>> {
        let (this, path) = (self.clone(), path.to_owned());
        Box::pin(async move {
            let client = this.client().await?;
            let request = http::Request::get(path).header("Accept", "application/json").body(Body::empty());
            let request = request.map_err(|e| e.to_string())?;
            let result = client.send(request).await;
            let is_good = result.as_ref().is_ok_and(|answer| answer.status() != http::StatusCode::UNAUTHORIZED);
            if !is_good {
                this.state.lock().await.client = None;
            }
            let (head, body) = result.map_err(|e| causes(&e))?.into_parts();
            let body = body.into_data_stream().map_err(|e| causes(&e)).boxed();
            Ok(Answer { status: head.status.as_u16(), body })
        })
    }
}

impl Identity {
    async fn client(self) -> Result<kube::Client, String> {
        let config = match &self {
            Self::File(path) => {
                let wrong = |e| format!("kubeconfig_file {}: {}", path.display(), causes(&e));
                let file = Kubeconfig::read_from(path).map_err(wrong)?;
                let options = KubeConfigOptions::default();
                let mut config = kube::Config::from_custom_kubeconfig(file, &options).await.map_err(wrong)?;
                if let Some(exec) = &mut config.auth_info.exec {
                    // Nobody sits before a server.
                    exec.interactive_mode = Some(ExecInteractiveMode::Never);
                }
                config
            }
            Self::Pod(url, folder) => pod(url, folder)?,
        };
        client(&config).map_err(|e| causes(&e))
    }
}

fn pod(url: &str, folder: &Path) -> Result<kube::Config, String> {
    let token = folder.join("token");
    // Both are read again and again; that they are there at all is found out now.
    for path in [&token, &folder.join("ca.crt")] {
        std::fs::metadata(path).map_err(|e| format!("read {}: {e}; is there a service account?", path.display()))?;
    }
    let mut config = kube::Config::new(url.parse().map_err(|e| format!("{url}: {e}"))?);
    config.root_cert_file = Some(folder.join("ca.crt"));
    config.auth_info.token_file = Some(token.display().to_string());
    Ok(config)
}

/// As [`kube::Client::try_from`] makes it, without its own log lines and retries.
fn client(config: &kube::Config) -> Result<kube::Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    let hyper = Hyper::builder(TokioExecutor::new());
    let namespace = config.default_namespace.clone();
    macro_rules! client {
        ($connector:expr) => {{
            let https = config.rustls_https_connector_with_connector($connector)?;
            let service = ServiceBuilder::new()
                .layer(config.base_uri_layer())
                .option_layer(config.auth_layer()?)
                .layer(config.extra_headers_layer()?)
                .map_err(BoxError::from)
                .service(hyper.build::<_, Body>(https));
            Ok(kube::Client::new(service, namespace))
        }};
    }
    match config.proxy_url.clone() {
        None => client!(connector),
        Some(proxy) => client!(Tunnel::new(proxy, connector)),
    }
}
