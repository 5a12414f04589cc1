//! Which parts there are, and with which flags each is started.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assembly::Deps;
use flags::Parsed;
use futures::future::BoxFuture;
use hostmetrics::Host;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::files::Folder;
use crate::flags::{HOST, PAGE, SERVER};
use crate::parts::{Address, Error, Parts, When};
use crate::show::{self, Addresses, say};

/// What a system is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of all files.
    pub dir: PathBuf,
    /// Prometheus configuration of the server; `None` = the one in `dir`.
    pub config_file: Option<PathBuf>,
    /// The flag that names the bucket; `None` = a folder in `dir`.
    pub bucket: Option<String>,
    /// Further flags of the store.
    pub store: Vec<String>,
    /// Further flags of the compactor; `None` = there is none.
    pub compact: Option<Vec<String>>,
    page: Address,
    server: Address,
    host: Address,
}

impl Settings {
    /// Files in `dir`, the addresses that the flags name, and otherwise nothing special.
    pub fn new(parsed: &Parsed, dir: PathBuf) -> Self {
        let address =
            |flag: &'static str| Address { flag, wanted: parsed.text(flag).to_owned(), fixed: parsed.is_set(flag) };
        let (page, server, host) = (address(PAGE), address(SERVER), address(HOST));
        let (store, compact) = (Vec::new(), Some(Vec::new()));
        Self { dir, config_file: None, bucket: None, store, compact, page, server, host }
    }
}

/// A system in one process.
pub struct System {
    settings: Settings,
    folder: Folder,
    /// The flag that names the bucket.
    bucket: String,
    deps: Deps,
    parts: Parts,
    /// What the querier asks.
    endpoints: Vec<String>,
    begun: Instant,
}

impl System {
    /// Makes the folder and its files.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(
        settings: Settings,
        deps: Deps,
        shutdown: CancellationToken,
    ) -> BoxFuture<'static, Result<Self, Error>> {
        Box::pin(async move {
            let begun = Instant::now();
            let folder = Folder::open(settings.dir.clone()).await?;
            let bucket = match settings.bucket.clone() {
                Some(flag) => flag,
                None => format!("--objstore.config-file={}", folder.bucket().await?.display()),
            };
            let parts = Parts::new(deps.clone(), shutdown);
            Ok(Self { settings, folder, bucket, deps, parts, endpoints: Vec::new(), begun })
        })
    }

    /// The file that describes the bucket, where it is a folder of this system.
    pub fn bucket_file(&self) -> Option<&Path> {
        self.bucket.strip_prefix("--objstore.config-file=").map(Path::new)
    }

    pub fn shutdown(&self) -> CancellationToken {
        self.parts.shutdown()
    }

    /// Further work, with the fate of the parts.
    pub fn spawn<T: service::Outcome>(&mut self, name: &str, task: impl Future<Output = T> + Send + 'static) {
        self.parts.spawn(name, task);
    }

    /// A further endpoint of the querier, to be added before [`start`](Self::start).
    pub fn endpoint(&mut self, grpc: String) {
        self.endpoints.push(grpc);
    }

    /// Starts all parts.
    ///
    /// # Errors
    /// Flags or files that cannot be used, addresses that are in use.
    pub fn start(&mut self) -> BoxFuture<'_, Result<Addresses, Error>> {
        Box::pin(async move {
            let host = self.host().await?;
            let server = self.server().await?;
            self.store().await?;
            let compactor = self.compactor().await?;
            let page = self.querier().await?;
            Ok(Addresses { page, server, host, compactor })
        })
    }

    async fn host(&mut self) -> Result<SocketAddr, Error> {
        let bind = self.settings.host.bind().await;
        let listener = bind.map_err(|e| format!("--{HOST}: {e}"))?;
        let address = listener.local_addr()?;
        let host = Arc::new(Host::new(hostmetrics::Options::default(), self.deps.clock.clone()));
        self.folder.target("node", &address.to_string(), &host.name()).await?;
        self.parts.serve("host", listener, hostmetrics::routes(host));
        Ok(address)
    }

    async fn server(&mut self) -> Result<SocketAddr, Error> {
        let config = match &self.settings.config_file {
            Some(file) => file.clone(),
            None => self.folder.config().await?,
        };
        let args = vec![
            format!("--config.file={}", config.display()),
            "--config.auto-reload".to_owned(),
            "--config.auto-reload-interval=5s".to_owned(),
            format!("--storage.tsdb.path={}", self.folder.join("server").display()),
            self.bucket.clone(),
            "--web.enable-remote-write-receiver".to_owned(),
            "--web.grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ];
        let (flag, at) = ("web.listen-address", &self.settings.server);
        let started = self.parts.start::<server::Server>(flag, at, When::Now, args).await?;
        self.endpoints.extend(started.grpc.map(|a| a.to_string()));
        self.folder.target("aion", &started.http.to_string(), "aion").await?;
        Ok(started.http)
    }

    async fn store(&mut self) -> Result<(), Error> {
        let mut args = vec![
            format!("--data-dir={}", self.folder.join("store").display()),
            self.bucket.clone(),
            "--index-cache-size=16MB".to_owned(),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ];
        args.extend(self.settings.store.iter().cloned());
        let started = self.parts.start::<store_gateway::Store>(PAGE, &Address::any(), When::Now, args).await?;
        self.endpoints.extend(started.grpc.map(|a| a.to_string()));
        Ok(())
    }

    async fn compactor(&mut self) -> Result<Option<SocketAddr>, Error> {
        let Some(more) = &self.settings.compact else { return Ok(None) };
        let mut args = vec![
            "--wait".to_owned(),
            format!("--data-dir={}", self.folder.join("compact").display()),
            self.bucket.clone(),
            "--http-grace-period=1s".to_owned(),
        ];
        args.extend(more.iter().cloned());
        Ok(Some(self.parts.start::<compactor::Compact>(PAGE, &Address::any(), When::Now, args).await?.http))
    }

    async fn querier(&mut self) -> Result<SocketAddr, Error> {
        let mut args = vec![
            "--query.replica-label=replica".to_owned(),
            "--query.auto-downsampling".to_owned(),
            "--http-grace-period=1s".to_owned(),
            "--grpc-grace-period=1s".to_owned(),
        ];
        args.extend(self.endpoints.iter().map(|e| format!("--endpoint={e}")));
        let (at, when) = (&self.settings.page, When::OthersAreReady);
        Ok(self.parts.start::<querier::Querier>(PAGE, at, when, args).await?.http)
    }

    /// Says where everything is as soon as all is ready, with `more` to try, and goes on until the shutdown or until a
    /// part ends.
    ///
    /// # Errors
    /// The first part that failed.
    pub fn run(mut self, found: Addresses, more: String) -> BoxFuture<'static, Result<(), Error>> {
        let config = self.settings.config_file.clone().unwrap_or_else(|| self.folder.join("prometheus.yml"));
        let text = [
            show::addresses(&found, self.folder.path(), &config),
            show::tries(found.page) + &more,
            show::lines(self.parts.lines()),
        ];
        let (ready, begun, shutdown) = (self.parts.ready(), self.begun, self.shutdown());
        self.parts.spawn("announcement", async move {
            if shutdown.run_until_cancelled(ready).await.is_some() {
                let seconds = begun.elapsed().as_secs_f64();
                say(&format!("Ready in {seconds:.2} s. {}\nCtrl-C ends all.", text.join("\n")));
            }
            shutdown.cancelled().await;
        });
        Box::pin(self.parts.run())
    }
}
