//! Watches a Consul catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use model::TargetGroup;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::{ConsulApi, Services};
use super::target::group;
use crate::config::ConsulYaml;
use crate::{Discoverer, Update, Updates};

/// The pause after a failure.
const RETRY: Duration = Duration::from_secs(15);

/// What discovery may ask of a Consul.
#[derive(Debug, Clone, Copy)]
pub struct ConsulLimits {
    /// Requests that wait at Consul for a change, the one for the list of services excepted. Services beyond these are asked
    /// for again and again: Consul refuses clients with more than 200 connections.
    pub watches_max: usize,
    /// Of these, requests at a time.
    pub polls_max: usize,
}

impl Default for ConsulLimits {
    fn default() -> Self {
        Self { watches_max: 100, polls_max: 8 }
    }
}

/// Finds instances of services. Each service is a source.
#[derive(Debug)]
pub struct ConsulDiscoverer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    api: Arc<dyn ConsulApi>,
    config: ConsulYaml,
    watches: Semaphore,
    polls: Semaphore,
    datacenter: Mutex<String>,
}

impl ConsulDiscoverer {
    /// A discoverer of what `config` selects.
    pub fn new(api: Arc<dyn ConsulApi>, config: ConsulYaml, limits: ConsulLimits) -> Self {
        let watches = Semaphore::new(limits.watches_max);
        let polls = Semaphore::new(limits.polls_max.max(1));
        Self { shared: Arc::new(Shared { api, config, watches, polls, datacenter: Mutex::default() }) }
    }
}

/// What was last sent of one source, so that only changes are sent.
struct Source {
    sent: Option<Update>,
    updates: mpsc::Sender<Update>,
}

impl Source {
    /// Sends what is new; `false` when nobody takes it any more.
    async fn send(&mut self, update: Update) -> bool {
        let known = match &self.sent {
            Some(sent) => *sent == update,
            None => update.is_gone(),
        };
        if known {
            return true;
        }
        self.sent = (!update.is_gone()).then(|| update.clone());
        self.updates.send(update).await.is_ok()
    }

    /// The targets stay; the failure is told.
    async fn fail(&mut self, name: &str, why: String) -> bool {
        let group = match &self.sent {
            Some(sent) => sent.group.clone(),
            None => TargetGroup { source: name.to_owned(), ..TargetGroup::default() },
        };
        self.send(Update { group, failure: Some(why) }).await
    }
}

impl Shared {
    fn is_wanted(&self, name: &str, tags: Option<&Vec<String>>) -> bool {
        let (names, wanted) = (&self.config.services, &self.config.tags);
        let has = |tag: &String| tags.is_some_and(|tags| tags.contains(tag));
        (names.is_empty() || names.iter().any(|own| own == name)) && wanted.iter().all(has)
    }

    fn needs_catalog(&self) -> bool {
        let config = &self.config;
        config.services.is_empty() || !config.tags.is_empty() || !config.filter.is_empty()
    }

    /// Follows the instances of a service until it is dropped.
    async fn follow(self: Arc<Self>, name: String, updates: mpsc::Sender<Update>) {
        let mut source = Source { sent: None, updates };
        // Whoever comes first may wait at Consul; the others ask again and again.
        let watch = self.watches.try_acquire().ok();
        let mut index = 0;
        loop {
            let poll = match &watch {
                Some(_) => None,
                None => self.polls.acquire().await.ok(),
            };
            let after = watch.as_ref().map(|_| index);
            let found = self.api.instances(&name, after).await;
            drop(poll);
            let (goes_on, pause) = match found {
                Ok(found) => {
                    index = next_index(index, found.index);
                    let datacenter = self.datacenter.lock().clone();
                    let group = group(&name, &datacenter, &self.config.tag_separator, &found.value);
                    (source.send(Update::found(group)).await, self.config.refresh_interval.std())
                }
                Err(why) => (source.fail(&name, why).await, RETRY),
            };
            if !goes_on {
                return;
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The index to wait from: an answer without one, or with one that went back, begins anew.
fn next_index(before: u64, found: u64) -> u64 {
    if found < before { 0 } else { found }
}

/// The services that are followed.
struct Followed {
    shared: Arc<Shared>,
    updates: mpsc::Sender<Update>,
    services: BTreeMap<String, JoinHandle<()>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.services.values().for_each(JoinHandle::abort);
    }
}

impl Followed {
    fn begin(&mut self, name: &str) {
        let following = self.shared.clone().follow(name.to_owned(), self.updates.clone());
        self.services.insert(name.to_owned(), tokio::spawn(following));
    }

    /// Follows the services of the catalog and no others.
    async fn change(&mut self, catalog: &Services) {
        let shared = self.shared.clone();
        let wanted = |name: &String| catalog.get(name).is_some_and(|tags| shared.is_wanted(name, tags.as_ref()));
        let gone: Vec<String> = self.services.keys().filter(|name| !wanted(name)).cloned().collect();
        for name in gone {
            if let Some(task) = self.services.remove(&name) {
                task.abort();
                // Once it has ended, all that it sent stands before what follows.
                drop(task.await);
            }
            drop(self.updates.send(Update::found(TargetGroup { source: name, ..TargetGroup::default() })).await);
        }
        for name in catalog.keys().filter(|name| wanted(name)) {
            if !self.services.contains_key(name) {
                self.begin(name);
            }
        }
    }
}

/// Finds the services, and follows each of them.
async fn watch(shared: Arc<Shared>, updates: mpsc::Sender<Update>) {
    let catalog = "catalog/services";
    let mut source = Source { sent: None, updates: updates.clone() };
    loop {
        match shared.api.datacenter().await {
            Ok(datacenter) => break *shared.datacenter.lock() = datacenter,
            Err(why) => {
                if !source.fail(catalog, why).await {
                    return;
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    let clear = || Update::found(TargetGroup { source: catalog.to_owned(), ..TargetGroup::default() });
    source.send(clear()).await;
    let mut followed = Followed { shared: shared.clone(), updates, services: BTreeMap::new() };
    if !shared.needs_catalog() {
        shared.config.services.iter().for_each(|name| followed.begin(name));
        return std::future::pending().await;
    }
    let mut index = 0;
    loop {
        let (goes_on, pause) = match shared.api.services(Some(index)).await {
            Ok(found) => {
                index = next_index(index, found.index);
                followed.change(&found.value).await;
                (source.send(clear()).await, shared.config.refresh_interval.std())
            }
            Err(why) => (source.fail(catalog, why).await, RETRY),
        };
        if !goes_on {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

impl Discoverer for ConsulDiscoverer {
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (sender, mut found) = mpsc::channel::<Update>(1);
            let mut known = BTreeSet::new();
            let passing_on = async {
                while let Some(update) = found.recv().await {
                    // A service may go before it had anything to tell.
                    let source = &update.group.source;
                    let new = match update.is_gone() {
                        true => known.remove(source),
                        false => known.contains(source) || known.insert(source.clone()),
                    };
                    if new && !updates.send(vec![update]).await {
                        return;
                    }
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = updates.closed() => {}
                () = passing_on => {}
                () = watch(self.shared, sender) => {}
            }
        })
    }
}
