//! Addresses behind DNS names, as Thanos' flags write them: plain `host:port`, `dns+host:port` (A and AAAA), `dnssrv+name`
//! (SRV, its targets resolved), `dnssrvnoa+name` (SRV, its targets used as names).

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use parking_lot::Mutex;
use service::{Every, repeat};
use telemetry::Counter;
use tokio_util::sync::CancellationToken;

use crate::{Changes, Discoverer, Update, Updates};

/// The forms of an address that stand for a changing list.
const FORMS: [&str; 3] = ["dns+", "dnssrv+", "dnssrvnoa+"];

/// The label that holds the name a target was found under, as in Prometheus.
const NAME_LABEL: &str = "__meta_dns_name";

/// Turns DNS names into addresses; a seam, so that tests need no DNS server.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The IP addresses of `host`.
    fn addresses(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, String>>;

    /// The targets of the SRV records at `name`: host and port.
    fn services(&self, name: &str) -> BoxFuture<'static, Result<Vec<(String, u16)>, String>>;
}

/// The system's DNS.
#[derive(Clone)]
pub struct SystemResolver(Arc<TokioResolver>);

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}
impl SystemResolver {
    /// Reads `/etc/resolv.conf`. Where it is missing or names no server, this machine's own is asked, as by other programs.
    ///
    /// # Errors
    /// When what it says cannot be used.
    pub fn new() -> Result<Self, String> {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|e| {
            tracing::warn!(err = %e, "no name server is configured in /etc/resolv.conf, 127.0.0.1 and ::1 are asked");
            let local = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            let servers = local.map(NameServerConfig::udp_and_tcp).to_vec();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        });
        let resolver = builder.build().map_err(|e| format!("set up DNS: {e}"))?;
        Ok(Self(Arc::new(resolver)))
    }
}

impl Resolver for SystemResolver {
    fn addresses(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
        let (resolver, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move {
            let found = resolver.lookup_ip(host.as_str()).await.map_err(|e| format!("look up {host}: {e}"))?;
            Ok(found.iter().collect())
        })
    }

    fn services(&self, name: &str) -> BoxFuture<'static, Result<Vec<(String, u16)>, String>> {
        let (resolver, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move {
            let found = resolver.srv_lookup(name.as_str()).await.map_err(|e| format!("look up SRV {name}: {e}"))?;
            let records = found.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(srv) => Some((srv.target.to_utf8().trim_end_matches('.').to_owned(), srv.port)),
                _ => None,
            });
            Ok(records.collect())
        })
    }
}

/// The `host:port` addresses behind one configured address, sorted and unique.
///
/// # Errors
/// The resolver's, or a DNS form without the port it needs.
pub async fn resolve(resolver: &dyn Resolver, address: &str) -> Result<Vec<String>, String> {
    let mut found = if let Some(name) = address.strip_prefix("dns+") {
        let (host, port) = name.rsplit_once(':').ok_or_else(|| format!("{address}: dns+ needs host:port"))?;
        resolver.addresses(host).await?.into_iter().map(|ip| join(ip, port)).collect()
    } else if let Some(name) = address.strip_prefix("dnssrvnoa+") {
        resolver.services(name).await?.into_iter().map(|(host, port)| format!("{host}:{port}")).collect()
    } else if let Some(name) = address.strip_prefix("dnssrv+") {
        // A port in the configured name overrides the record's.
        let (name, fixed) = match name.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.to_owned())),
            None => (name, None),
        };
        let mut out = Vec::new();
        for (host, port) in resolver.services(name).await? {
            let port = fixed.clone().unwrap_or_else(|| port.to_string());
            out.extend(resolver.addresses(&host).await?.into_iter().map(|ip| join(ip, &port)));
        }
        out
    } else {
        vec![address.to_owned()]
    };
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether the address stands for a changing list.
pub fn is_dynamic(address: &str) -> bool {
    FORMS.iter().any(|form| address.starts_with(form))
}

fn join(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
    }
}

/// What a name was last found to stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// The addresses found at the latest lookup that did not fail.
    pub addresses: Vec<String>,
    /// Why the latest lookup failed; `addresses` are from before.
    pub failure: Option<String>,
}

/// Names with what each was last found to stand for. A lookup that fails keeps the addresses found before.
#[derive(Debug)]
pub struct Names {
    resolver: Arc<dyn Resolver>,
    resolved: Mutex<BTreeMap<String, Resolved>>,
    lookups: Counter,
    failures: Counter,
}

impl Names {
    /// No names yet. `lookups` and `failures` count lookups and those that failed.
    pub fn new(resolver: Arc<dyn Resolver>, lookups: Counter, failures: Counter) -> Self {
        Self { resolver, resolved: Mutex::default(), lookups, failures }
    }

    /// Looks an address in one of the DNS forms up, and keeps and returns what is known of it now.
    pub async fn look_up(&self, address: &str) -> Resolved {
        self.lookups.inc();
        let found = resolve(&*self.resolver, address).await;
        let mut resolved = self.resolved.lock();
        let known = resolved.entry(address.to_owned()).or_default();
        match found {
            Ok(addresses) => *known = Resolved { addresses, failure: None },
            Err(e) => {
                self.failures.inc();
                known.failure = Some(e);
            }
        }
        known.clone()
    }

    /// What is known of each address that was looked up.
    pub fn all(&self) -> BTreeMap<String, Resolved> {
        self.resolved.lock().clone()
    }

    /// Forgets addresses that are not wanted any more.
    pub fn retain(&self, wanted: impl Fn(&str) -> bool) {
        self.resolved.lock().retain(|address, _| wanted(address));
    }
}

/// Finds targets behind DNS names. Each name is a source.
#[derive(Debug)]
pub struct DnsDiscoverer {
    names: Names,
    addresses: Vec<String>,
    interval: Duration,
}

impl DnsDiscoverer {
    /// A discoverer that looks `addresses`, each in one of the DNS forms or plain, up every `interval`.
    pub fn new(names: Names, addresses: Vec<String>, interval: Duration) -> Self {
        Self { names, addresses, interval }
    }

    fn state(&self) -> Vec<Update> {
        let update = |(address, resolved): (String, Resolved)| {
            let name = FORMS.iter().find_map(|form| address.strip_prefix(form)).unwrap_or(&address);
            let labels = Labels::from_pairs([(NAME_LABEL, name)]);
            let targets = resolved.addresses.iter().map(|found| Labels::from_pairs([(ADDRESS_LABEL, found)])).collect();
            Update { group: TargetGroup { source: address, targets, labels }, failure: resolved.failure }
        };
        self.names.all().into_iter().map(update).collect()
    }
}

impl Discoverer for DnsDiscoverer {
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let every = Every { interval: self.interval, wait_first: false };
            let changes = Mutex::new(Changes::default());
            let looking = repeat(every, shutdown, || async {
                join_all(self.addresses.iter().map(|address| self.names.look_up(address))).await;
                let changed = changes.lock().of(self.state());
                updates.send(changed).await;
            });
            tokio::select! {
                () = looking => {}
                () = updates.closed() => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::ready;

    #[derive(Debug)]
    struct Fixed;

    impl Resolver for Fixed {
        fn addresses(&self, host: &str) -> BoxFuture<'static, Result<Vec<IpAddr>, String>> {
            let list: &[&str] = match host {
                "store" => &["10.0.0.2", "10.0.0.1", "::1"],
                "a.example" => &["10.0.1.1"],
                _ => return Box::pin(ready(Err(format!("look up {host}: no such name")))),
            };
            Box::pin(ready(Ok(list.iter().map(|ip| ip.parse().unwrap()).collect())))
        }

        fn services(&self, _: &str) -> BoxFuture<'static, Result<Vec<(String, u16)>, String>> {
            Box::pin(ready(Ok(vec![("a.example".to_owned(), 10901)])))
        }
    }

    #[test]
    fn forms() {
        let run = |a: &str| futures::executor::block_on(resolve(&Fixed, a));
        assert_eq!(run("store:1").unwrap(), ["store:1"]);
        assert_eq!(run("dns+store:10901").unwrap(), ["10.0.0.1:10901", "10.0.0.2:10901", "[::1]:10901"]);
        assert_eq!(run("dnssrv+_grpc._tcp.x").unwrap(), ["10.0.1.1:10901"]);
        assert_eq!(run("dnssrv+_grpc._tcp.x:9").unwrap(), ["10.0.1.1:9"]);
        assert_eq!(run("dnssrvnoa+_grpc._tcp.x").unwrap(), ["a.example:10901"]);
        assert!(run("dns+store").unwrap_err().contains("needs host:port"));
        assert!(run("dns+nowhere:1").unwrap_err().contains("no such name"));
    }
}
