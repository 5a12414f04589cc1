//! Endpoint addresses as users write them: plain `host:port`, `dns+host:port` (A and AAAA), `dnssrv+name` (SRV),
//! `dnssrvnoa+name` (SRV, its targets used as names).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::proto::rr::RData;

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
    /// Reads `/etc/resolv.conf`.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn new() -> Result<Self, String> {
        let builder = TokioResolver::builder_tokio().map_err(|e| format!("read DNS settings: {e}"))?;
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
    ["dns+", "dnssrv+", "dnssrvnoa+"].iter().any(|p| address.starts_with(p))
}

fn join(ip: IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{ip}:{port}"),
        IpAddr::V6(ip) => format!("[{ip}]:{port}"),
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
