//! The set of endpoints, kept up to date by [`EndpointSet::update`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Clock;
use parking_lot::RwLock;
use storage::{Budget, Ctx};
use telemetry::{Counter, GaugeVec, Metrics};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};
use transport::tls::ClientTlsConfig;

use super::endpoint::Endpoint;
use crate::resolve::{Resolver, is_dynamic, resolve};

/// How the addresses behind one configured address are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Each is an endpoint of its own.
    Each,
    /// All have the same data: one is asked, in turn.
    Group,
}

/// A configured endpoint.
#[derive(Debug, Clone)]
pub struct Spec {
    /// As written.
    pub address: String,
    /// Always asked, even when it does not answer.
    pub strict: bool,
    /// See [`Mode`].
    pub mode: Mode,
    /// TLS, or plain.
    pub tls: Option<ClientTlsConfig>,
    /// How requests are packed.
    pub compression: Compression,
}

/// What the set needs.
#[derive(Debug, Clone)]
pub struct SetOptions {
    /// DNS.
    pub resolver: Arc<dyn Resolver>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How long an endpoint that stopped answering is remembered, and its absence told in every answer.
    pub unhealthy_timeout: Duration,
    /// How long one Info call may take.
    pub check_timeout: Duration,
    /// `--query.conn-metric.label`.
    pub metric_labels: Vec<String>,
}

/// The endpoints in use.
#[derive(Debug)]
pub struct EndpointSet {
    options: SetOptions,
    client_metrics: ClientMetrics,
    endpoints: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    resolved: RwLock<BTreeMap<String, Vec<String>>>,
    lookups: Counter,
    lookup_failures: Counter,
    nodes: GaugeVec,
}

impl EndpointSet {
    /// An empty set.
    pub fn new(options: SetOptions, metrics: &Metrics) -> Self {
        Self {
            options,
            client_metrics: ClientMetrics::new(metrics),
            endpoints: RwLock::default(),
            resolved: RwLock::default(),
            lookups: metrics.counter("thanos_query_store_apis_dns_lookups_total", "DNS lookups of endpoint addresses."),
            lookup_failures: metrics.counter(
                "thanos_query_store_apis_dns_failures_total",
                "DNS lookups of endpoint addresses that failed.",
            ),
            nodes: metrics.gauges(
                "thanos_store_nodes_grpc_connections",
                "Endpoints that answer, by their external labels and type.",
                &["external_labels", "store_type"],
            ),
        }
    }

    /// All endpoints, by name.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().values().cloned().collect()
    }

    /// Endpoints to ask: those that answer, those that lately did (their absence must show), strict ones.
    pub fn active(&self) -> Vec<Arc<Endpoint>> {
        self.all().into_iter().filter(|e| e.spec.strict || e.health().info.is_some()).collect()
    }

    /// Looks DNS names up again; on failure the addresses found before stay.
    pub async fn lookup(&self, specs: &[Spec]) {
        let mut resolved = BTreeMap::new();
        for spec in specs {
            if !is_dynamic(&spec.address) {
                resolved.insert(spec.address.clone(), vec![spec.address.clone()]);
                continue;
            }
            self.lookups.inc();
            match resolve(&*self.options.resolver, &spec.address).await {
                Ok(found) => {
                    resolved.insert(spec.address.clone(), found);
                }
                Err(e) => {
                    self.lookup_failures.inc();
                    let before = self.resolved.read().get(&spec.address).cloned().unwrap_or_default();
                    warn!(address = spec.address, err = e, kept = before.len(), "endpoint address does not resolve");
                    resolved.insert(spec.address.clone(), before);
                }
            }
        }
        *self.resolved.write() = resolved;
    }

    /// Brings the set in line with `specs` and asks every endpoint who it is.
    pub async fn update(&self, specs: &[Spec]) {
        self.align(specs);
        let ctx = Ctx {
            cancel: CancellationToken::new(),
            deadline: Some(Instant::now() + self.options.check_timeout),
            budget: Budget::unlimited(),
            tenant: "".into(),
            report: None,
        };
        let now_ms = self.options.clock.now_ms();
        let all = self.all();
        let before: Vec<_> = all.iter().map(|e| e.health()).collect();
        futures::future::join_all(all.iter().map(|e| e.check(&ctx, now_ms))).await;
        for (endpoint, before) in all.iter().zip(before) {
            let now = endpoint.health();
            match (&before.last_error, before.info.is_some(), &now.last_error) {
                (_, _, Some(e)) if before.last_error.is_none() => {
                    warn!(address = endpoint.name, err = e, "endpoint does not answer");
                }
                (Some(_), _, None) | (None, false, None) => {
                    let kind = now.info.as_ref().map_or("", |i| i.component.as_str());
                    info!(address = endpoint.name, component = kind, "endpoint answers");
                }
                _ => {}
            }
        }
        self.forget(now_ms);
        self.count();
    }

    fn align(&self, specs: &[Spec]) {
        let resolved = self.resolved.read().clone();
        let mut wanted: BTreeMap<String, (Spec, Vec<String>)> = BTreeMap::new();
        for spec in specs {
            let addresses = match resolved.get(&spec.address) {
                Some(list) => list.clone(),
                None if is_dynamic(&spec.address) => Vec::new(),
                None => vec![spec.address.clone()],
            };
            match spec.mode {
                Mode::Group => {
                    wanted.insert(spec.address.clone(), (spec.clone(), addresses));
                }
                Mode::Each => {
                    for address in addresses {
                        let entry = wanted.entry(address.clone()).or_insert_with(|| (spec.clone(), vec![address]));
                        entry.0.strict |= spec.strict;
                    }
                }
            }
        }
        let mut endpoints = self.endpoints.write();
        endpoints.retain(|name, e| wanted.get(name).is_some_and(|(_, addresses)| e.has(addresses)));
        for (name, (spec, addresses)) in wanted {
            if endpoints.contains_key(&name) || addresses.is_empty() {
                continue;
            }
            let options = ClientOptions {
                tls: spec.tls.clone(),
                compression: spec.compression,
                metrics: self.client_metrics.clone(),
                connect_timeout: self.options.check_timeout,
            };
            let channels: Result<Vec<_>, _> =
                addresses.into_iter().map(|a| connect(&a, &options).map(|channel| (a, channel))).collect();
            match channels {
                Ok(channels) => {
                    endpoints.insert(name.clone(), Arc::new(Endpoint::new(spec, name, channels)));
                }
                Err(e) => warn!(address = name, err = %e, "endpoint cannot be used"),
            }
        }
    }

    /// After the timeout a silent endpoint is taken for gone: it is not asked until it answers again.
    fn forget(&self, now_ms: i64) {
        let timeout_ms = self.options.unhealthy_timeout.as_millis() as i64;
        for endpoint in self.all() {
            endpoint.forget_if_silent(now_ms, timeout_ms);
        }
    }

    fn count(&self) {
        self.nodes.clear();
        for endpoint in self.all() {
            let health = endpoint.health();
            if let (Some(info), None) = (&health.info, &health.last_error) {
                let sets: Vec<_> = info.source.label_sets.iter().map(ToString::to_string).collect();
                let wants = |name: &str| {
                    self.options.metric_labels.is_empty() || self.options.metric_labels.iter().any(|l| l == name)
                };
                let labels = if wants("external_labels") { sets.join(",") } else { String::new() };
                let kind = if wants("store_type") { info.component.as_str() } else { "" };
                self.nodes.with(&[&labels, kind]).inc();
            }
        }
    }
}
