//! One endpoint: its channels, what it has, how it fares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use labels::{Labels, Matcher};
use model::TimeRange;
use parking_lot::RwLock;
use storage::SourceInfo;
use storeapi::{EndpointInfo, InspectClient, StoreClient, fetch_info};
use transport::grpc::Channel;

use super::set::Spec;

/// An endpoint as last seen.
#[derive(Debug)]
pub struct Endpoint {
    /// How it was configured.
    pub spec: Spec,
    /// The address shown in warnings and in `/api/v1/stores`; of a group, the group's.
    pub name: String,
    /// One per address: a group has several and is asked in turn.
    channels: RwLock<Vec<Member>>,
    turn: AtomicUsize,
    health: RwLock<Health>,
}

#[derive(Debug, Clone)]
struct Member {
    address: String,
    channel: Channel,
    healthy: bool,
}

/// What is known of an endpoint's state.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Its last good answer.
    pub info: Option<Arc<EndpointInfo>>,
    /// When it was last asked, ms.
    pub last_check_ms: Option<i64>,
    /// When it last answered well, ms.
    pub last_good_ms: Option<i64>,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

impl Endpoint {
    pub(super) fn new(spec: Spec, name: String, channels: Vec<(String, Channel)>) -> Self {
        let members = channels.into_iter().map(|(address, channel)| Member { address, channel, healthy: true });
        Self {
            spec,
            name,
            channels: RwLock::new(members.collect()),
            turn: AtomicUsize::new(0),
            health: RwLock::new(Health::default()),
        }
    }

    /// What is known of it.
    pub fn health(&self) -> Health {
        self.health.read().clone()
    }

    /// Asks each address who it is and notes the answer.
    pub(super) async fn check(&self, ctx: &storage::Ctx, now_ms: i64) {
        let members = self.channels.read().clone();
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
        let mut health = self.health.write();
        health.last_check_ms = Some(now_ms);
        let mut failure = None;
        let mut good = None;
        for answer in answers {
            match answer {
                Ok(info) => good = good.or(Some(info)),
                Err(e) => failure = Some(e.to_string()),
            }
        }
        match good {
            Some(info) => {
                health.last_good_ms = Some(now_ms);
                health.last_error = None;
                health.info = Some(Arc::new(info));
            }
            None => health.last_error = Some(failure.unwrap_or_else(|| "no address".to_owned())),
        }
    }

    /// Whether it stands for exactly these addresses.
    pub(super) fn has(&self, addresses: &[String]) -> bool {
        let channels = self.channels.read();
        channels.len() == addresses.len() && channels.iter().all(|c| addresses.contains(&c.address))
    }

    /// Drops what it said, when that is too long ago.
    pub(super) fn forget_if_silent(&self, now_ms: i64, timeout_ms: i64) {
        let mut health = self.health.write();
        let silent = health.last_error.is_some();
        if silent && health.last_good_ms.is_some_and(|good| now_ms - good > timeout_ms) {
            health.info = None;
        }
    }

    /// What it has. An endpoint that has not answered yet, or is always to be asked, may have anything.
    pub fn info(&self) -> SourceInfo {
        match &self.health.read().info {
            Some(info) => info.source.clone(),
            None => SourceInfo {
                label_sets: Vec::new(),
                range: TimeRange::ALL,
                supports_sharding: false,
                supports_without_replica_labels: false,
            },
        }
    }

    fn member(&self) -> Option<Member> {
        let channels = self.channels.read();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = || (0..channels.len()).map(|i| &channels[(turn + i) % channels.len()]);
        in_turn().find(|m| m.healthy).or_else(|| in_turn().next()).cloned()
    }

    /// Its series.
    pub fn store(&self) -> Option<StoreClient> {
        self.member().map(|m| StoreClient::new(&self.name, m.channel, self.info()))
    }

    /// Its rules, targets and the like.
    pub fn inspect(&self) -> Option<InspectClient> {
        self.member().map(|m| InspectClient::new(&self.name, m.channel))
    }

    /// Whether it may have series that match, within `range`.
    pub fn may_have(&self, range: TimeRange, matchers: &[Matcher]) -> bool {
        let health = self.health.read();
        let Some(info) = &health.info else { return true };
        if !info.served.store || !info.source.range.overlaps(range) {
            return false;
        }
        if !info.sets.is_empty() {
            return info.sets.iter().any(|s| s.range.overlaps(range) && set_may_match(&s.labels, matchers));
        }
        let sets = &info.source.label_sets;
        sets.is_empty() || sets.iter().any(|s| set_may_match(s, matchers))
    }

    /// Whether one of the `storeMatch[]` selectors chooses it, by `__address__` or external labels.
    pub fn chosen_by(&self, selectors: &[Vec<Matcher>]) -> bool {
        let sets = self.info().label_sets;
        let chosen = |selector: &Vec<Matcher>| {
            let value = |m: &Matcher, set: Option<&Labels>| match m.name() {
                "__address__" => m.matches(&self.name),
                name => m.matches(set.map_or("", |s| s.value(name))),
            };
            match sets.is_empty() {
                true => selector.iter().all(|m| value(m, None)),
                false => sets.iter().any(|set| selector.iter().all(|m| value(m, Some(set)))),
            }
        };
        selectors.is_empty() || selectors.iter().any(chosen)
    }
}

/// Whether series with these external labels may match: labels the set lacks may be the series' own.
fn set_may_match(set: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
}
