//! Components as parts of one process: each started as if its line had been typed.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use assembly::{Component, Config, Deps, Listeners};
use futures::future::BoxFuture;
use service::Group;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use transport::ServeOptions;
use transport::http::Probe;

/// How long all parts may take to end.
const GRACE: Duration = Duration::from_secs(60);
/// How often parts are looked at that are not ready yet.
const LOOK: Duration = Duration::from_millis(5);

pub type Error = service::BoxError;

/// Where a part listens.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    /// The flag that it comes from, for errors; empty = none.
    pub flag: &'static str,
    /// `host:port`.
    pub wanted: String,
    /// Whether it has to be this one, where it is in use.
    pub fixed: bool,
}

impl Address {
    /// Any free port of loopback.
    pub fn any() -> Self {
        Self { flag: "", wanted: "127.0.0.1:0".to_owned(), fixed: true }
    }

    /// The address to take when the wanted one is in use, if there is another.
    fn instead(&self) -> Option<&'static str> {
        (!self.fixed).then_some("127.0.0.1:0")
    }

    /// Binds it.
    pub async fn bind(&self) -> Result<tokio::net::TcpListener, transport::Error> {
        match (transport::bind(&self.wanted).await, self.instead()) {
            (Err(_), Some(other)) => transport::bind(other).await,
            (bound, _) => bound,
        }
    }
}

/// When a part begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    OthersAreReady,
}

/// The addresses of a part that was started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Started {
    pub http: SocketAddr,
    pub grpc: Option<SocketAddr>,
}

/// The parts of one process.
pub(crate) struct Parts {
    deps: Deps,
    group: Group,
    probes: Vec<Probe>,
    /// Command lines, to show.
    lines: Vec<String>,
}

impl Parts {
    pub fn new(deps: Deps, shutdown: CancellationToken) -> Self {
        let mut group = Group::new(shutdown);
        group.allow(GRACE);
        Self { deps, group, probes: Vec::new(), lines: Vec::new() }
    }

    pub fn shutdown(&self) -> CancellationToken {
        self.group.shutdown()
    }

    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Further work, with the parts' fate.
    pub fn spawn<T: service::Outcome>(&mut self, name: &str, task: impl Future<Output = T> + Send + 'static) {
        self.group.spawn(name, task);
    }

    /// Starts a component whose HTTP address is given by the flag `http_flag`, at once or when all parts that were
    /// started before are ready. Its gRPC services, if it has any, get a free port of loopback.
    pub fn start<'a, C: Component>(
        &'a mut self,
        http_flag: &'a str,
        http: &'a Address,
        when: When,
        args: Vec<String>,
    ) -> BoxFuture<'a, Result<Started, Error>> {
        Box::pin(async move {
            let command = C::command();
            let metrics = self.deps.metrics.with_labels(&[("component", command.name)]);
            let deps = Deps { metrics, ..self.deps.clone() };
            let (config, listeners) = bind::<C>(http_flag, http, &args, &deps).await?;
            let started = Started { http: listeners.http_address()?, grpc: listeners.grpc_address()? };
            self.lines.push(line(command.name, http_flag, started, &args));
            let (before, probe, shutdown) = (self.ready(), Probe::new("starting"), self.shutdown());
            self.probes.push(probe.clone());
            self.group.spawn(command.name, async move {
                if when == When::OthersAreReady {
                    shutdown.run_until_cancelled(before).await;
                }
                assembly::run_on::<C>(config, listeners, probe, deps, shutdown).await
            });
            Ok(started)
        })
    }

    /// Serves routes that are no component's.
    pub fn serve(&mut self, name: &str, listener: tokio::net::TcpListener, routes: axum::Router) {
        let options = ServeOptions::http(Duration::from_secs(1));
        self.group.spawn(name, transport::serve(listener, routes, options, self.shutdown()));
    }

    /// Waits until every component is ready.
    pub fn ready(&self) -> impl Future<Output = ()> + Send + 'static {
        let probes = self.probes.clone();
        async move {
            while !probes.iter().all(Probe::is_ready) {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Goes on until the shutdown, or until a part ends.
    ///
    /// # Errors
    /// The first part that failed.
    pub async fn run(self) -> Result<(), Error> {
        Ok(self.group.run().await?)
    }
}

/// The settings of a component and its sockets.
async fn bind<C: Component>(
    http_flag: &str,
    http: &Address,
    args: &[String],
    deps: &Deps,
) -> Result<(C::Config, Listeners), Error> {
    let config = |address: &str| -> Result<C::Config, Error> {
        let grpc = C::command().find("grpc-address").map(|_| "--grpc-address=127.0.0.1:0".to_owned());
        let all = args.iter().cloned().chain([format!("--{http_flag}={address}")]).chain(grpc);
        Ok(assembly::configured::<C>(all, deps)?)
    };
    let wanted = config(&http.wanted)?;
    match (Listeners::bind(wanted.http(), wanted.grpc()).await, http.instead()) {
        (Err(e @ assembly::Error::Listener { .. }), Some(other)) => {
            warn!(err = %e, "the address is in use, another port is taken");
            let config = config(other)?;
            let listeners = Listeners::bind(config.http(), config.grpc()).await?;
            Ok((config, listeners))
        }
        (Err(assembly::Error::Listener { source, .. }), _) if !http.flag.is_empty() => {
            Err(format!("--{}: {source}", http.flag).into())
        }
        (bound, _) => Ok((wanted, bound?)),
    }
}

/// What could be typed to start the part alone.
fn line(command: &str, http_flag: &str, started: Started, args: &[String]) -> String {
    let mut line = format!("aion {command} --{http_flag}={}", started.http);
    if let Some(grpc) = started.grpc {
        line.push_str(&format!(" --grpc-address={grpc}"));
    }
    for arg in args {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
        match arg.chars().all(plain) {
            true => line.push_str(&format!(" {arg}")),
            false => line.push_str(&format!(" '{}'", arg.replace('\'', "'\\''"))),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_can_be_typed() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let started = Started { http: address(1), grpc: Some(address(2)) };
        let args = ["--data-dir=./a b".to_owned(), "--wait".to_owned(), "--objstore.config={it's: x}".to_owned()];
        assert_eq!(
            line("store", "http-address", started, &args),
            "aion store --http-address=127.0.0.1:1 --grpc-address=127.0.0.1:2 '--data-dir=./a b' --wait \
             '--objstore.config={it'\\''s: x}'"
        );
    }

    #[tokio::test]
    async fn a_default_address_gives_way_and_a_given_one_does_not() {
        let taken = Address::any().bind().await.unwrap();
        let wanted = taken.local_addr().unwrap().to_string();
        let other = Address { flag: "", wanted: wanted.clone(), fixed: false }.bind().await.unwrap();
        assert_ne!(other.local_addr().unwrap(), taken.local_addr().unwrap());
        assert!(Address { flag: "", wanted, fixed: true }.bind().await.is_err());
    }
}
