//! What one configuration makes of the objects of one namespace, kept up to date object by object.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use discovery::Update;
use model::TargetGroup;
use tokio::sync::Notify;
use xxhash_rust::xxh3::Xxh3;

use crate::cluster::Shared;
use crate::config::{AttachMetadata, Role};
use crate::metrics::Metrics;
use crate::objects::{Key, Object, Resource};
use crate::store::{Listener, Store};
use crate::targets::{Find, Made, Related, make, source};

/// Sources and targets of one message; a source is never divided.
const BATCH_SOURCES: usize = 256;
const BATCH_TARGETS: usize = 2048;

/// A watch that the view takes objects from.
#[derive(Debug)]
struct Source {
    name: String,
    store: Arc<Store>,
    listener: Arc<Listener>,
    /// Keeps the watch.
    _watch: Option<Arc<Shared>>,
}

/// The targets of one namespace, or of all of them.
#[derive(Debug)]
pub(crate) struct View {
    role: Role,
    attach: AttachMetadata,
    sources: Vec<Source>,
    /// Objects of the role whose targets are to be made again.
    dirty: BTreeSet<Key>,
    /// Which objects of the role were made with another object, there or not.
    users: HashMap<(Resource, Key), HashSet<Key>>,
    /// The other direction of `users`.
    used: HashMap<Key, Vec<(Resource, Key)>>,
    /// Digests of what was sent; of the objects without targets nothing was.
    sent: HashMap<Key, u128>,
    metrics: Metrics,
}

/// The stores of a view, to be searched.
struct Stores<'a>(&'a [Source]);

impl Find for Stores<'_> {
    fn find(&self, resource: Resource, key: &str) -> Option<Object> {
        self.0.iter().find(|source| source.store.resource == resource)?.store.get(key)
    }
}

impl View {
    /// A view of watches, each with its name, that of the role's own objects first. `wake` is notified of changes.
    pub(crate) fn new(
        (role, attach): (Role, AttachMetadata),
        watches: Vec<(String, Arc<Shared>)>,
        wake: &Arc<Notify>,
        metrics: Metrics,
    ) -> Self {
        let source = |(name, watch): (String, Arc<Shared>)| Source {
            name,
            store: watch.store.clone(),
            listener: watch.store.listen(wake.clone()),
            _watch: Some(watch),
        };
        Self::of((role, attach), watches.into_iter().map(source).collect(), metrics)
    }

    fn of((role, attach): (Role, AttachMetadata), sources: Vec<Source>, metrics: Metrics) -> Self {
        Self {
            role,
            attach,
            sources,
            dirty: BTreeSet::new(),
            users: HashMap::new(),
            used: HashMap::new(),
            sent: HashMap::new(),
            metrics,
        }
    }

    /// Why watches fail, by their names.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (String, Arc<str>)> {
        self.sources.iter().filter_map(|source| Some((source.name.clone(), source.store.status().1?)))
    }

    /// Finds out which targets are to be made again.
    pub(crate) fn look(&mut self) {
        for source in &self.sources {
            let resource = source.store.resource;
            for key in source.listener.take() {
                if resource == Resource::of(self.role) {
                    self.dirty.insert(key);
                } else if let Some(users) = self.users.get(&(resource, key)) {
                    self.dirty.extend(users.iter().cloned());
                }
            }
        }
    }

    /// Changes of a few sources; `None` when there is nothing left to do. There is nothing before all objects have
    /// been seen once: without its service, an address would be a target with other labels.
    pub(crate) fn next(&mut self) -> Option<Vec<Update>> {
        if self.dirty.is_empty() || !self.sources.iter().all(|source| source.store.status().0) {
            return None;
        }
        let (mut out, mut looked_at, mut targets) = (Vec::new(), 0, 0);
        while looked_at < BATCH_SOURCES && targets < BATCH_TARGETS {
            let Some(key) = self.dirty.pop_first() else { break };
            let update = self.update(&key);
            looked_at += 1;
            targets += update.as_ref().map_or(0, |update| update.group.targets.len());
            out.extend(update);
        }
        self.metrics.queued(self.role, looked_at);
        Some(out)
    }

    fn update(&mut self, key: &Key) -> Option<Update> {
        let stores = Stores(&self.sources);
        let object = stores.find(Resource::of(self.role), key);
        let mut related = Related::new(&stores, self.attach);
        let made = object.map(|object| make(&object, &mut related)).unwrap_or_default();
        let used = related.used;
        self.note(key, used);
        let update = Update {
            group: TargetGroup {
                source: source(self.role, key),
                targets: made.targets.clone(),
                labels: made.labels.clone(),
            },
            failure: made.trouble.clone(),
        };
        let changed = match update.is_gone() {
            true => self.sent.remove(key).is_some(),
            false => {
                let digest = digest(&made);
                self.sent.insert(key.clone(), digest) != Some(digest)
            }
        };
        changed.then_some(update)
    }

    /// Notes what an object was made with, in place of what it was made with before.
    fn note(&mut self, key: &Key, mut used: Vec<(Resource, Key)>) {
        used.sort_unstable();
        used.dedup();
        let before = match used.is_empty() {
            true => self.used.remove(key),
            false => self.used.insert(key.clone(), used.clone()),
        };
        for other in before.into_iter().flatten() {
            if used.binary_search(&other).is_err()
                && let Some(users) = self.users.get_mut(&other)
            {
                users.remove(key);
                if users.is_empty() {
                    self.users.remove(&other);
                }
            }
        }
        for other in used {
            self.users.entry(other).or_default().insert(key.clone());
        }
    }
}

/// A digest of 128 bits: two different groups have the same one as good as never.
fn digest(made: &Made) -> u128 {
    let mut hasher = Xxh3::new();
    for labels in std::iter::once(&made.labels).chain(&made.targets) {
        hasher.update(&(labels.as_bytes().len() as u64).to_le_bytes());
        hasher.update(labels.as_bytes());
    }
    hasher.update(made.trouble.as_deref().unwrap_or("").as_bytes());
    hasher.digest128()
}
