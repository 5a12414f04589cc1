//! One endpoint: its channels, what it has, how it fares.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use labels::{Labels, Matcher};
use model::TimeRange;
use parking_lot::RwLock;
use queryapi::QueryClient;
use queryapi::evaluator::EvaluatorClient;
use storage::SourceInfo;
use storeapi::{EndpointInfo, InspectClient, Served, StoreClient, fetch_info};
use transport::grpc::Channel;

use super::set::Spec;

/// An endpoint as last seen. One that has not answered yet, or has no address yet, is an endpoint too: it may have
/// anything, so its absence must show.
#[derive(Debug)]
pub struct Endpoint {
    pub spec: Spec,
    /// The address shown in warnings and in `/api/v1/stores`; of a group, the group's; of a name that does not resolve,
    /// the name.
    pub name: String,
    /// One per address: a group has several and is asked in turn. None = it cannot be asked, `last_error` says why.
    channels: RwLock<Vec<Member>>,
    turn: AtomicUsize,
    health: RwLock<Health>,
    /// Held while it is asked who it is.
    checking: tokio::sync::Mutex<()>,
}

/// An endpoint whose check failed within this time can be asked again at once: that costs a request no more.
const QUICK: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
struct Member {
    address: String,
    channel: Channel,
    healthy: bool,
}

/// What is known of an endpoint's state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    pub info: Option<Arc<EndpointInfo>>,
    /// When it was last asked, ms.
    pub last_check_ms: Option<i64>,
    /// When it last answered well, ms.
    pub last_good_ms: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// When the last try ended, and how long it took.
    last_try: Option<(Instant, Duration)>,
    /// `info` is so old that what it says of the data counts no more.
    pub outdated: bool,
    /// Label sets in `info` of which it does not say from when to when their data is.
    untimed: Arc<[Labels]>,
    /// All external label sets in `info`, each once.
    label_sets: Arc<[Labels]>,
}

impl Health {
    /// What counts of what it said.
    fn known(&self) -> Option<&Arc<EndpointInfo>> {
        self.info.as_ref().filter(|_| !self.outdated)
    }
}

impl Endpoint {
    /// One that is reached through `channels`; `health` is what is known of it from before.
    pub(super) fn new(spec: Spec, name: String, channels: Vec<(String, Channel)>, health: Health) -> Self {
        let members = channels.into_iter().map(|(address, channel)| Member { address, channel, healthy: true });
        Self {
            spec,
            name,
            channels: RwLock::new(members.collect()),
            turn: AtomicUsize::new(0),
            health: RwLock::new(health),
            checking: tokio::sync::Mutex::new(()),
        }
    }

    /// One that cannot be asked, and why; `None` = that is not known yet.
    pub(super) fn unreachable(spec: Spec, name: String, why: Option<String>) -> Self {
        Self::new(spec, name, Vec::new(), Health { last_error: why, ..Health::default() })
    }

    /// What is known of it.
    pub fn health(&self) -> Health {
        self.health.read().clone()
    }

    /// Whether it has an address.
    pub fn reachable(&self) -> bool {
        !self.channels.read().is_empty()
    }

    /// Whether nothing came of it yet, neither an answer nor a failure.
    pub(super) fn is_new(&self) -> bool {
        let health = self.health.read();
        health.last_check_ms.is_none() && health.last_error.is_none()
    }

    /// Whether it was not there when last asked, which showed at once and some time ago: it may just have been started.
    pub(super) fn may_be_back(&self) -> bool {
        let late = |(ended, took): (Instant, Duration)| took < QUICK && ended.elapsed() > QUICK;
        self.missing().is_some() && self.health.read().last_try.is_some_and(late)
    }

    /// Asks each address who it is and notes the answer, if that is still `due` once nobody else asks. What was known
    /// before.
    pub(super) async fn check(&self, ctx: &storage::Ctx, now_ms: i64, due: impl Fn(&Self) -> bool) -> Option<Health> {
        let _alone = self.checking.lock().await;
        let before = self.health();
        if !due(self) {
            return None;
        }
        let began = Instant::now();
        let members = self.channels.read().clone();
        if members.is_empty() {
            return None;
        }
        let asked = members.iter().map(|m| fetch_info(ctx, &m.address, m.channel.clone()));
        let answers = futures::future::join_all(asked).await;
        {
            let mut channels = self.channels.write();
            for (member, answer) in members.iter().zip(&answers) {
                if let Some(m) = channels.iter_mut().find(|m| m.address == member.address) {
                    m.healthy = answer.is_ok();
                }
            }
        }
        let mut failure = None;
        let mut good = None;
        for answer in answers {
            match answer {
                Ok(info) => good = good.or(Some(info)),
                Err(e) => failure = Some(e.to_string()),
            }
        }
        let mut health = self.health.write();
        health.last_check_ms = Some(now_ms);
        health.last_try = Some((Instant::now(), began.elapsed()));
        match good {
            Some(info) => {
                health.last_good_ms = Some(now_ms);
                health.last_error = None;
                health.outdated = false;
                health.untimed = untimed(&info);
                health.label_sets = named(&info);
                health.info = Some(Arc::new(info));
            }
            None => health.last_error = failure,
        }
        Some(before)
    }

    /// Whether it is what `spec` and `addresses` say, and can be asked.
    pub(super) fn is(&self, spec: &Spec, addresses: &[String]) -> bool {
        let channels = self.channels.read();
        self.spec.same(spec)
            && !channels.is_empty()
            && channels.len() == addresses.len()
            && channels.iter().all(|c| addresses.contains(&c.address))
    }

    /// What it said of its data counts no more, when that is too long ago.
    pub(super) fn forget_if_silent(&self, now_ms: i64, timeout_ms: i64) {
        let mut health = self.health.write();
        let silent = health.last_error.is_some();
        if silent && health.last_good_ms.is_some_and(|good| now_ms - good > timeout_ms) {
            health.outdated = true;
        }
    }

    /// What it has. An endpoint that has not answered yet, or not for long, may have anything.
    pub fn info(&self) -> SourceInfo {
        match self.health.read().known() {
            Some(info) => info.source.clone(),
            None => SourceInfo {
                label_sets: Vec::new(),
                range: TimeRange::ALL,
                supports_sharding: false,
                supports_without_replica_labels: false,
            },
        }
    }

    /// What it said of itself, as far as that counts.
    pub fn known(&self) -> Option<Arc<EndpointInfo>> {
        self.health.read().known().cloned()
    }

    /// All external label sets that it names, whether or not it claims that there are no others.
    pub fn label_sets(&self) -> Arc<[Labels]> {
        let health = self.health.read();
        if health.known().is_some() { health.label_sets.clone() } else { Arc::from([]) }
    }

    /// Whether what `matchers` say of labels that are not external would fit a series without any label. Some peers refuse
    /// such requests.
    pub fn only_external(&self, matchers: &[Matcher]) -> bool {
        let own: Vec<&Matcher> = matchers.iter().filter(|m| !m.matches_empty()).collect();
        if matchers.is_empty() || own.iter().any(|m| m.name() == labels::METRIC_NAME) {
            return false;
        }
        own.iter().all(|m| self.is_external(m.name()))
    }

    /// Whether one of its label sets has this label.
    pub fn is_external(&self, name: &str) -> bool {
        self.label_sets().iter().any(|s| s.get(name).is_some())
    }

    /// Whether it serves an API; one that never answered may serve any.
    pub fn serves(&self, api: impl Fn(&Served) -> bool) -> bool {
        self.health.read().info.as_ref().is_none_or(|i| api(&i.served))
    }

    /// Why it is not worth asking: it has not answered since the start, or not for long. Strict ones are asked always.
    pub fn missing(&self) -> Option<String> {
        let health = self.health.read();
        let reachable = self.reachable();
        if reachable && (self.spec.strict || health.known().is_some()) {
            return None;
        }
        let Some(error) = &health.last_error else { return Some(format!("{}: has not been asked yet", self.name)) };
        let why = error.strip_prefix(&self.name).and_then(|e| e.strip_prefix(": ")).unwrap_or(error);
        let since = match (reachable, health.outdated) {
            (false, _) => "",
            (true, false) => "has not answered since the start: ",
            (true, true) => "has not answered for longer than --store.unhealthy-timeout: ",
        };
        Some(format!("{}: {since}{why}", self.name))
    }

    fn member(&self) -> Option<Member> {
        let channels = self.channels.read();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..channels.len()).map(|i| &channels[(turn + i) % channels.len()]);
        in_turn().find(|m| m.healthy).or_else(|| in_turn().next()).cloned()
    }

    pub fn store(&self) -> Option<StoreClient> {
        self.member().map(|m| StoreClient::new(&self.name, m.channel, self.info()))
    }

    /// Its engine.
    pub fn query(&self) -> Option<QueryClient> {
        self.member().map(|m| QueryClient::new(&self.name, m.channel))
    }

    /// Whether it evaluates queries for queriers of this version.
    pub fn evaluates_for(&self, version: &str) -> bool {
        self.health.read().known().is_some_and(|info| info.served.evaluator && info.evaluator == version)
    }

    /// Its engine, for those who are of its version.
    pub fn evaluator(&self) -> Option<EvaluatorClient> {
        self.member().map(|m| EvaluatorClient::new(&self.name, m.channel))
    }

    /// Its rules, targets and the like.
    pub fn inspect(&self) -> Option<InspectClient> {
        self.member().map(|m| InspectClient::new(&self.name, m.channel))
    }

    /// Whether it may have series that match, within `range`.
    pub fn may_have(&self, range: TimeRange, matchers: &[Matcher]) -> bool {
        let health = self.health.read();
        let Some(info) = health.known() else { return true };
        if !info.source.range.overlaps(range) {
            return false;
        }
        info.source.label_sets.is_empty()
            || info.sets.iter().any(|s| s.range.overlaps(range) && set_may_match(&s.labels, matchers))
            || health.untimed.iter().any(|s| set_may_match(s, matchers))
    }

    /// Whether one of the `storeMatch[]` selectors chooses it, by `__address__` or external labels. What is not known of
    /// it may be what they choose.
    pub fn chosen_by(&self, selectors: &[Vec<Matcher>]) -> bool {
        let health = self.health.read();
        let sets = health.known().map(|i| &i.source.label_sets);
        let addressed = self.reachable();
        let chosen = |selector: &Vec<Matcher>| {
            let fits = |m: &Matcher, set: Option<&Labels>| match (m.name(), sets) {
                ("__address__", _) => !addressed || m.matches(&self.name),
                (_, None) => true,
                (name, Some(_)) => m.matches(set.map_or("", |s| s.value(name))),
            };
            match sets.filter(|s| !s.is_empty()) {
                None => selector.iter().all(|m| fits(m, None)),
                Some(sets) => sets.iter().any(|set| selector.iter().all(|m| fits(m, Some(set)))),
            }
        };
        selectors.is_empty() || selectors.iter().any(chosen)
    }
}

/// Whether series with these external labels may match: labels the set lacks may be the series' own.
fn set_may_match(set: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
}

/// The label sets without times of their own.
fn untimed(info: &EndpointInfo) -> Arc<[Labels]> {
    let timed: HashSet<&Labels> = info.sets.iter().map(|s| &s.labels).collect();
    info.source.label_sets.iter().filter(|l| !timed.contains(l)).cloned().collect()
}

/// All label sets, each once.
fn named(info: &EndpointInfo) -> Arc<[Labels]> {
    let timed = info.sets.iter().map(|s| &s.labels).filter(|l| !l.is_empty());
    let sets: BTreeSet<&Labels> = info.source.label_sets.iter().chain(timed).collect();
    sets.into_iter().cloned().collect()
}
