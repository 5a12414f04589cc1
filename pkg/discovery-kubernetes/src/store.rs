//! The objects of one watch, and who is told of their changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::{Event, Metrics};
use crate::objects::{Key, Object, Resource};

/// The objects that a watch has shown, as they were last.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) resource: Resource,
    objects_max: usize,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: HashMap<Key, Object>,
    /// Whether all were there at some time.
    synced: bool,
    failure: Option<Arc<str>>,
    listeners: Vec<Weak<Listener>>,
}

/// Someone who wants to know what changed. The keys of changed objects gather until they are taken, each once: a slow listener
/// takes no more memory than keys of all objects do.
#[derive(Debug)]
pub(crate) struct Listener {
    changed: Mutex<HashSet<Key>>,
    wake: Arc<Notify>,
}

impl Listener {
    /// The keys of the objects that changed since the last call.
    pub(crate) fn take(&self) -> HashSet<Key> {
        std::mem::take(&mut *self.changed.lock())
    }
}

impl State {
    /// Tells all listeners; drops those that are gone.
    fn tell(&mut self, key: Option<&Key>) {
        self.listeners.retain(|listener| {
            let Some(listener) = listener.upgrade() else { return false };
            if let Some(key) = key {
                listener.changed.lock().insert(key.clone());
            }
            listener.wake.notify_one();
            true
        });
    }
}

impl Store {
    /// No objects yet; at most `objects_max` will be held.
    pub(crate) fn new(resource: Resource, objects_max: usize, metrics: Metrics) -> Self {
        Self { resource, objects_max, metrics, state: Mutex::default() }
    }

    /// Makes `wake` known of each change from now on. All objects that are there count as changed.
    pub(crate) fn listen(&self, wake: Arc<Notify>) -> Arc<Listener> {
        let mut state = self.state.lock();
        let changed = state.objects.keys().cloned().collect();
        wake.notify_one();
        let listener = Arc::new(Listener { changed: Mutex::new(changed), wake });
        state.listeners.push(Arc::downgrade(&listener));
        listener
    }

    /// The object, as it was last.
    pub(crate) fn get(&self, key: &str) -> Option<Object> {
        self.state.lock().objects.get(key).cloned()
    }

    /// Whether all objects were there at some time; why the watch fails now, if it does.
    pub(crate) fn status(&self) -> (bool, Option<Arc<str>>) {
        let state = self.state.lock();
        (state.synced, state.failure.clone())
    }

    /// Takes an object in, unless it is known in this very version.
    ///
    /// # Errors
    /// The object, when it is one too many.
    pub(crate) fn put(&self, object: Object) -> Result<(), Object> {
        let key = object.meta().key();
        let mut state = self.state.lock();
        let (event, more) = match state.objects.get(&key) {
            Some(known) => {
                let version = &known.meta().resource_version;
                if !version.is_empty() && *version == object.meta().resource_version {
                    return Ok(());
                }
                (Event::Update, 0)
            }
            None if state.objects.len() >= self.objects_max => return Err(object),
            None => (Event::Add, 1),
        };
        state.objects.insert(key.clone(), object);
        state.tell(Some(&key));
        drop(state);
        self.metrics.event(self.resource, event);
        self.metrics.held(self.resource, more);
        Ok(())
    }

    /// Forgets an object.
    pub(crate) fn remove(&self, key: &Key) {
        let mut state = self.state.lock();
        if state.objects.remove(key).is_some() {
            state.tell(Some(key));
            drop(state);
            self.metrics.event(self.resource, Event::Delete);
            self.metrics.held(self.resource, -1);
        }
    }

    /// Forgets all objects but these.
    pub(crate) fn forget_others(&self, these: &HashSet<Key>) {
        let others = |state: &State| state.objects.keys().filter(|key| !these.contains(*key)).cloned().collect();
        let gone: Vec<Key> = others(&self.state.lock());
        gone.iter().for_each(|key| self.remove(key));
    }

    /// Notes that all objects are there.
    pub(crate) fn set_synced(&self) {
        let mut state = self.state.lock();
        if !state.synced {
            state.synced = true;
            state.tell(None);
        }
    }

    /// Sets why the watch fails, or that it does not.
    pub(crate) fn set_failure(&self, why: Option<&str>) {
        let mut state = self.state.lock();
        if state.failure.as_deref() != why {
            state.failure = why.map(Arc::from);
            state.tell(None);
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let held = self.state.get_mut().objects.len();
        self.metrics.held(self.resource, -i64::try_from(held).unwrap_or(i64::MAX));
    }
}
