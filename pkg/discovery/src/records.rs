//! Records of DNS names: `dns_sd_configs`.
//!
//! A name that does not exist has no targets. A name that no server answers for keeps those it had.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use parking_lot::Mutex;
use telemetry::Counter;

use crate::Update;
use crate::config::{DnsConfig, DnsType};
use crate::refresh::Lookup;

/// A record that stands for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Of type A or AAAA.
    Address(IpAddr),
    /// Of type SRV: target as it is written, port.
    Service(String, u16),
    /// Of type MX: exchange as it is written.
    Mail(String),
    /// Of type NS: name server as it is written.
    NameServer(String),
}

/// Looks records up; a seam, so that tests need no DNS server.
pub trait Records: fmt::Debug + Send + Sync {
    /// All records of a type that a name has; none where it does not exist. `Err`: it is not known what it has.
    fn records(&self, name: &str, kind: DnsType) -> BoxFuture<'static, Result<Vec<Record>, String>>;
}

/// The system's DNS, without a cache: how often it is asked is configured.
#[derive(Clone)]
pub struct SystemRecords {
    system: Arc<Mutex<Arc<System>>>,
    /// Whether the system's settings may change.
    follows: bool,
}

struct System {
    /// The settings as text, to see whether they are others.
    settings: String,
    resolver: TokioResolver,
    search: Vec<Name>,
    ndots: usize,
}

impl fmt::Debug for SystemRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemRecords")
    }
}

impl SystemRecords {
    /// Reads `/etc/resolv.conf`, now and before each lookup.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn new() -> Result<Self, String> {
        let (config, options) = settings()?;
        Ok(Self { follows: true, ..Self::with(config, options)? })
    }

    /// Asks the servers of this configuration.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn with(config: ResolverConfig, options: ResolverOpts) -> Result<Self, String> {
        let system = Arc::new(System::new(config, options)?);
        Ok(Self { system: Arc::new(Mutex::new(system)), follows: false })
    }

    /// What to ask now. Settings that cannot be read leave those from before.
    fn system(&self) -> Arc<System> {
        let mut system = self.system.lock();
        if self.follows
            && let Ok((config, options)) = settings()
            && system.settings != described(&config, &options)
            && let Ok(other) = System::new(config, options)
        {
            *system = Arc::new(other);
        }
        system.clone()
    }
}

fn settings() -> Result<(ResolverConfig, ResolverOpts), String> {
    hickory_resolver::system_conf::read_system_conf().map_err(|e| format!("read DNS settings: {e}"))
}

fn described(config: &ResolverConfig, options: &ResolverOpts) -> String {
    format!("{config:?} {options:?}")
}

impl System {
    fn new(config: ResolverConfig, mut options: ResolverOpts) -> Result<Self, String> {
        let settings = described(&config, &options);
        options.cache_size = 0;
        let (search, ndots) = (config.search().to_vec(), options.ndots);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let resolver = builder.build().map_err(|e| format!("set up DNS: {e}"))?;
        Ok(Self { settings, resolver, search, ndots })
    }

    /// The full names that a name may stand for, in the order in which they are tried.
    fn full_names(&self, name: &str) -> Result<Vec<Name>, String> {
        let bad = |e| format!("{name:?} is no DNS name: {e}");
        let mut own = Name::from_utf8(name).map_err(bad)?;
        if name.ends_with('.') {
            return Ok(vec![own]);
        }
        let mut all: Vec<Name> =
            self.search.iter().map(|domain| own.clone().append_domain(domain)).filter_map(Result::ok).collect();
        own.set_fqdn(true);
        let first = name.matches('.').count() >= self.ndots;
        all.insert(if first { 0 } else { all.len() }, own);
        Ok(all)
    }

    async fn look_up(&self, name: &str, kind: DnsType) -> Result<Vec<Record>, String> {
        let mut failure = None;
        for full in self.full_names(name)? {
            match self.resolver.lookup(full.clone(), record_type(kind)).await {
                Ok(found) => return Ok(found.answers().iter().filter_map(|record| read(&record.data, kind)).collect()),
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.response_code == ResponseCode::NoError => {
                    return Ok(Vec::new());
                }
                Err(NetError::Dns(DnsError::NoRecordsFound(none))) if none.response_code == ResponseCode::NXDomain => {}
                Err(e) => failure = Some(format!("look up {full}: {e}")),
            }
        }
        // While one of the names may exist, it is not known that there is none.
        failure.map_or(Ok(Vec::new()), Err)
    }
}

fn record_type(kind: DnsType) -> RecordType {
    match kind {
        DnsType::A => RecordType::A,
        DnsType::Aaaa => RecordType::AAAA,
        DnsType::Srv => RecordType::SRV,
        DnsType::Mx => RecordType::MX,
        DnsType::Ns => RecordType::NS,
    }
}

/// The record, if it is of the type that was asked for: answers may hold the aliases that led to it.
fn read(data: &RData, kind: DnsType) -> Option<Record> {
    match (data, kind) {
        (RData::A(ip), DnsType::A) => Some(Record::Address(IpAddr::V4(ip.0))),
        (RData::AAAA(ip), DnsType::Aaaa) => Some(Record::Address(IpAddr::V6(ip.0))),
        (RData::SRV(srv), DnsType::Srv) => Some(Record::Service(srv.target.to_utf8(), srv.port)),
        (RData::MX(mx), DnsType::Mx) => Some(Record::Mail(mx.exchange.to_utf8())),
        (RData::NS(ns), DnsType::Ns) => Some(Record::NameServer(ns.0.to_utf8())),
        _ => None,
    }
}

impl Records for SystemRecords {
    fn records(&self, name: &str, kind: DnsType) -> BoxFuture<'static, Result<Vec<Record>, String>> {
        let (system, name) = (self.system(), name.to_owned());
        Box::pin(async move { system.look_up(&name, kind).await })
    }
}

/// The names of a section. Each is a source.
#[derive(Debug)]
pub struct DnsLookup {
    records: Arc<dyn Records>,
    config: DnsConfig,
    lookups: Counter,
    failures: Counter,
}

impl DnsLookup {
    /// `lookups` and `failures` count lookups and those that failed.
    pub fn new(records: Arc<dyn Records>, config: DnsConfig, lookups: Counter, failures: Counter) -> Self {
        Self { records, config, lookups, failures }
    }

    async fn one(&self, name: &str) -> Update {
        self.lookups.inc();
        let source = name.to_owned();
        match self.records.records(name, self.config.kind).await {
            Ok(records) => {
                let mut targets: Vec<Labels> =
                    records.iter().map(|record| target(name, record, self.config.port)).collect();
                // Servers turn the order of records around.
                targets.sort();
                targets.dedup();
                Update::found(TargetGroup { source, targets, labels: Labels::default() })
            }
            Err(why) => {
                self.failures.inc();
                Update { group: TargetGroup { source, ..TargetGroup::default() }, failure: Some(why) }
            }
        }
    }
}

/// The labels of a record, as in Prometheus.
fn target(name: &str, record: &Record, port: u16) -> Labels {
    let at = |host: &str, port: u16| match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{}:{port}", host.trim_end_matches('.')),
    };
    let mut pairs = vec![("__meta_dns_name", name.to_owned())];
    match record {
        Record::Address(ip) => pairs.push((ADDRESS_LABEL, at(&ip.to_string(), port))),
        Record::Service(host, own) => pairs.extend([
            (ADDRESS_LABEL, at(host, *own)),
            ("__meta_dns_srv_record_target", host.clone()),
            ("__meta_dns_srv_record_port", own.to_string()),
        ]),
        Record::Mail(host) => {
            pairs.extend([(ADDRESS_LABEL, at(host, port)), ("__meta_dns_mx_record_target", host.clone())]);
        }
        Record::NameServer(host) => {
            pairs.extend([(ADDRESS_LABEL, at(host, port)), ("__meta_dns_ns_record_target", host.clone())]);
        }
    }
    Labels::from_pairs(pairs)
}

impl Lookup for DnsLookup {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Update>, String>> {
        Box::pin(async move { Ok(join_all(self.config.names.iter().map(|name| self.one(name))).await) })
    }

    fn name(&self) -> &str {
        self.config.names.first().map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_records() {
        let address = |record: &Record| target("n", record, 9).get(ADDRESS_LABEL).unwrap_or("").to_owned();
        assert_eq!(address(&Record::Address("1.2.3.4".parse().unwrap())), "1.2.3.4:9");
        assert_eq!(address(&Record::Address("::1".parse().unwrap())), "[::1]:9");
        assert_eq!(
            target("n", &Record::Service("a.b.".to_owned(), 80), 9),
            Labels::from_pairs([
                (ADDRESS_LABEL, "a.b:80"),
                ("__meta_dns_name", "n"),
                ("__meta_dns_srv_record_target", "a.b."),
                ("__meta_dns_srv_record_port", "80"),
            ])
        );
        let mail = target("n", &Record::Mail("m.".to_owned()), 25);
        assert_eq!((mail.get(ADDRESS_LABEL), mail.get("__meta_dns_mx_record_target")), (Some("m:25"), Some("m.")));
        let server = target("n", &Record::NameServer("s.".to_owned()), 53);
        assert_eq!((server.get(ADDRESS_LABEL), server.get("__meta_dns_ns_record_target")), (Some("s:53"), Some("s.")));
    }

    #[tokio::test]
    async fn names_are_tried_as_the_system_does() {
        let config = ResolverConfig::from_parts(None, vec![Name::from_utf8("x.y.").unwrap()], vec![]);
        let records = SystemRecords::with(config, ResolverOpts::default()).unwrap();
        let names = |name: &str| -> Vec<String> {
            records.system().full_names(name).unwrap().iter().map(|name| name.to_utf8()).collect()
        };
        assert_eq!(names("a"), ["a.x.y.", "a."]);
        assert_eq!(names("a.b"), ["a.b.", "a.b.x.y."]);
        assert_eq!(names("a.b."), ["a.b."]);
        assert!(records.system().full_names(&"a".repeat(70)).is_err());
    }
}
