//! The set of endpoints. Whatever is configured is a member at once: [`EndpointSet::configure`] takes it in,
//! [`EndpointSet::lookup`] finds the addresses behind names, [`EndpointSet::check`] asks who is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use discovery::dns::{Names, Resolved, Resolver, is_dynamic};
use model::Clock;
use parking_lot::{Mutex, RwLock};
use storage::{Budget, Ctx};
use telemetry::{GaugeVec, Metrics};
use tls::ClientTlsConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use transport::grpc::{Channel, ClientMetrics, ClientOptions, Compression, connect};

use super::endpoint::{Endpoint, Health};

/// How much longer than one check may take the first ones are waited for.
const SETTLE_SLACK: Duration = Duration::from_secs(1);

/// How long a request waits for endpoints that may be back.
const BACK_WAIT: Duration = Duration::from_millis(250);

/// How the addresses behind one configured address are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// Each is an endpoint of its own.
    Each,
    /// All have the same data: one is asked, in turn.
    Group,
}

#[derive(Debug, Clone)]
pub struct Spec {
    pub address: String,
    /// Always asked, even when it does not answer.
    pub strict: bool,
    pub mode: Mode,
    pub tls: Option<ClientTlsConfig>,
    pub compression: Compression,
}

impl Spec {
    /// The same for another address.
    pub(super) fn at(&self, address: String) -> Self {
        Self { address, ..self.clone() }
    }

    /// Whether endpoints of both are reached and used in the same way.
    pub(super) fn same(&self, other: &Self) -> bool {
        let tls = |a: &ClientTlsConfig, b: &ClientTlsConfig| {
            (&a.ca, &a.cert, &a.key, &a.server_name, a.skip_verify, &a.min_version)
                == (&b.ca, &b.cert, &b.key, &b.server_name, b.skip_verify, &b.min_version)
        };
        let same_tls = match (&self.tls, &other.tls) {
            (Some(a), Some(b)) => tls(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        same_tls && (self.strict, self.mode, self.compression) == (other.strict, other.mode, other.compression)
    }
}

#[derive(Debug, Clone)]
pub struct SetOptions {
    pub resolver: Arc<dyn Resolver>,
    pub clock: Arc<dyn Clock>,
    /// How long what a silent endpoint said of its data counts.
    pub unhealthy_timeout: Duration,
    /// How long one Info call may take.
    pub check_timeout: Duration,
    pub metric_labels: Vec<String>,
}
#[derive(Debug, Clone, Default)]
pub struct Configured {
    /// Endpoints, each at least an address.
    pub specs: Vec<Spec>,
    /// Files whose endpoints are not known, with the reason.
    pub unread: Vec<(String, String)>,
}

/// One endpoint that there is to be.
struct Wanted {
    spec: Spec,
    /// Or why there are none; `None` = that is not known yet.
    addresses: Result<Vec<String>, Option<String>>,
}
#[derive(Debug)]
pub struct EndpointSet {
    options: SetOptions,
    client_metrics: ClientMetrics,
    configured: Mutex<Configured>,
    names: Names,
    endpoints: RwLock<BTreeMap<String, Arc<Endpoint>>>,
    /// Since when there are endpoints that were never asked.
    unsettled: watch::Sender<Option<Instant>>,
    nodes: GaugeVec,
}

impl EndpointSet {
    pub fn new(options: SetOptions, metrics: &Metrics) -> Self {
        let lookups =
            metrics.counter("thanos_query_store_apis_dns_lookups_total", "DNS lookups of endpoint addresses.");
        let failures = metrics
            .counter("thanos_query_store_apis_dns_failures_total", "DNS lookups of endpoint addresses that failed.");
        Self {
            names: Names::new(options.resolver.clone(), lookups, failures),
            options,
            client_metrics: ClientMetrics::new(metrics),
            configured: Mutex::default(),
            endpoints: RwLock::default(),
            unsettled: watch::Sender::new(None),
            nodes: metrics.gauges(
                "thanos_store_nodes_grpc_connections",
                "Endpoints that answer, by their external labels and type.",
                &["external_labels", "store_type"],
            ),
        }
    }

    /// All endpoints, by name: those that answer, and those whose absence must show.
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().values().cloned().collect()
    }

    /// Names that do not resolve any more while their addresses are still asked, each as a sentence.
    pub fn unresolved(&self) -> Vec<String> {
        let resolved = self.names.all();
        let failed = resolved.iter().filter(|(_, r)| !r.addresses.is_empty());
        failed
            .filter_map(|(name, r)| {
                Some(format!("{name}: does not resolve, the addresses found before are asked: {}", r.failure.as_ref()?))
            })
            .collect()
    }

    /// Returns when each endpoint was asked once, or that takes too long.
    pub async fn settle(&self) {
        let Some(since) = *self.unsettled.borrow() else { return };
        let until = since + self.options.check_timeout + SETTLE_SLACK;
        let mut unsettled = self.unsettled.subscribe();
        let asked = unsettled.wait_for(Option::is_none);
        // After that, what has not answered is missing, with a warning.
        let _ = tokio::time::timeout_at(until.into(), asked).await;
    }

    /// Makes what is configured the members.
    pub fn configure(&self, configured: Configured) {
        *self.configured.lock() = configured;
        self.align();
    }

    /// Looks DNS names up again, all at the same time, and asks who was not known yet; on failure the addresses found
    /// before stay.
    pub async fn lookup(&self) {
        let mut names: Vec<String> = self.configured.lock().specs.iter().map(|s| s.address.clone()).collect();
        names.retain(|n| is_dynamic(n));
        names.sort();
        names.dedup();
        let looked_up = names.iter().map(|name| async move {
            let found = self.names.look_up(name).await;
            if let Some(err) = found.failure {
                warn!(address = name, err, kept = found.addresses.len(), "endpoint address does not resolve");
            }
            // what is found can be asked while others are still looked up
            self.align();
        });
        futures::future::join_all(looked_up).await;
        let configured = self.configured.lock().clone();
        self.names.retain(|name| configured.specs.iter().any(|s| s.address == name));
        self.check_new().await;
    }

    /// Asks all endpoints who they are.
    pub async fn check(&self) {
        self.align();
        self.ask(|_| true).await;
        self.forget(self.options.clock.now_ms());
        self.count();
    }

    /// Asks those that were never asked.
    pub async fn check_new(&self) {
        self.align();
        self.ask(Endpoint::is_new).await;
        self.count();
    }

    /// Asks those again that may have been started since, if that takes no time.
    pub async fn check_back(&self) {
        if self.all().iter().any(|e| e.may_be_back()) {
            // An endpoint that takes longer counts as missing.
            let _ = tokio::time::timeout(BACK_WAIT, self.ask(Endpoint::may_be_back)).await;
        }
    }

    async fn ask(&self, due: impl Fn(&Endpoint) -> bool) {
        let ctx = Ctx {
            cancel: CancellationToken::new(),
            deadline: Some(Instant::now() + self.options.check_timeout),
            budget: Budget::unlimited(),
            tenant: "".into(),
            hints: None,
        };
        let now_ms = self.options.clock.now_ms();
        let (ctx, due) = (&ctx, &due);
        let checks = self.all().into_iter().filter(|e| due(e)).map(|endpoint| async move {
            if let Some(before) = endpoint.check(ctx, now_ms, due).await {
                log_change(&endpoint, &before);
                self.note_settled();
            }
        });
        futures::future::join_all(checks).await;
        self.note_settled();
    }

    fn note_settled(&self) {
        let settled = !self.endpoints.read().values().any(|e| e.is_new());
        self.unsettled.send_if_modified(|since| settled && since.take().is_some());
    }

    /// Brings the members in line with what is configured and what names stand for.
    fn align(&self) {
        let configured = self.configured.lock().clone();
        let wanted = self.wanted(configured);
        let mut endpoints = self.endpoints.write();
        let before = std::mem::take(&mut *endpoints);
        for (name, Wanted { spec, addresses }) in wanted {
            let known = before.get(&name);
            let endpoint = match (addresses, known) {
                (Ok(addresses), Some(known)) if known.is(&spec, &addresses) => known.clone(),
                (Ok(addresses), known) => Arc::new(self.connect(spec, &name, addresses, known)),
                (Err(why), _) => Arc::new(Endpoint::unreachable(spec, name.clone(), why)),
            };
            endpoints.insert(name, endpoint);
        }
        if endpoints.values().any(|e| e.is_new()) {
            let now = Instant::now();
            self.unsettled.send_if_modified(|since| {
                let was_settled = since.is_none();
                since.get_or_insert(now);
                was_settled
            });
        }
    }

    fn wanted(&self, configured: Configured) -> BTreeMap<String, Wanted> {
        let resolved = self.names.all();
        let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
        for spec in configured.specs {
            let addresses = match (is_dynamic(&spec.address), resolved.get(&spec.address)) {
                (false, _) => Ok(vec![spec.address.clone()]),
                (true, None) => Err(None),
                (true, Some(r)) if !r.addresses.is_empty() => Ok(r.addresses.clone()),
                (true, Some(Resolved { failure: Some(e), .. })) => Err(Some(format!("does not resolve: {e}"))),
                (true, Some(_)) => Err(Some("resolves to no address".to_owned())),
            };
            match (spec.mode, addresses) {
                (Mode::Each, Ok(addresses)) => {
                    for address in addresses {
                        let one = || Wanted { spec: spec.clone(), addresses: Ok(vec![address.clone()]) };
                        wanted.entry(address.clone()).or_insert_with(one).spec.strict |= spec.strict;
                    }
                }
                (_, addresses) => {
                    wanted.insert(spec.address.clone(), Wanted { spec, addresses });
                }
            }
        }
        for (address, why) in configured.unread {
            let addresses = Err(Some(format!("does not load, its endpoints are not known: {why}")));
            let spec = Spec {
                address: address.clone(),
                strict: false,
                mode: Mode::Each,
                tls: None,
                compression: Compression::None,
            };
            wanted.insert(address, Wanted { spec, addresses });
        }
        wanted
    }

    /// An endpoint of these addresses. What is known of one of this name stays known.
    fn connect(&self, spec: Spec, name: &str, addresses: Vec<String>, known: Option<&Arc<Endpoint>>) -> Endpoint {
        let options = ClientOptions {
            tls: spec.tls.clone(),
            compression: spec.compression,
            metrics: self.client_metrics.clone(),
            connect_timeout: self.options.check_timeout,
        };
        let channels: Result<Vec<(String, Channel)>, _> =
            addresses.into_iter().map(|a| connect(&a, &options).map(|channel| (a, channel))).collect();
        match channels {
            Ok(channels) => {
                let health = known.map(|e| e.health()).filter(|h| h.info.is_some()).unwrap_or_default();
                Endpoint::new(spec, name.to_owned(), channels, health)
            }
            Err(e) => {
                let why = format!("cannot be used: {e}");
                if known.is_none_or(|k| k.health().last_error.as_ref() != Some(&why)) {
                    warn!(address = name, err = %e, "endpoint cannot be used");
                }
                Endpoint::unreachable(spec, name.to_owned(), Some(why))
            }
        }
    }

    /// After the timeout it is not known any more what a silent endpoint has.
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

fn log_change(endpoint: &Endpoint, before: &Health) {
    let now = endpoint.health();
    match (&before.last_error, before.info.is_some(), &now.last_error) {
        (None, _, Some(e)) => warn!(address = endpoint.name, err = e, "endpoint does not answer"),
        (Some(_), _, None) | (None, false, None) => {
            if let Some(info) = &now.info {
                info!(address = endpoint.name, component = info.component.as_str(), "endpoint answers");
            }
        }
        _ => {}
    }
}
