//! All groups: started, exchanged at a reload, stopped.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::file::GroupSpec;
use crate::group::{Group, GroupSettings, GroupView};
use crate::options::{Deps, Options};
use crate::task;

/// Evaluates groups of rules.
#[derive(Debug)]
pub struct Manager {
    options: Arc<Options>,
    deps: Deps,
    places: Arc<Semaphore>,
    /// One update at a time.
    updating: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<(String, String), Slot>,
    /// Those of `groups`; while they are exchanged, the former ones.
    views: Vec<Arc<GroupView>>,
    /// Groups that come later have no state from before a restart.
    running: bool,
    updated: bool,
}

/// A group: before the start it stands still.
#[derive(Debug)]
struct Slot {
    view: Arc<GroupView>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Waiting(Box<Group>),
    Running { stop: CancellationToken, cancel: CancellationToken, task: JoinHandle<Group> },
}

impl Manager {
    /// A manager without groups. Nothing is evaluated before [`Manager::run`].
    pub fn new(options: Options, deps: Deps) -> Self {
        let places = Arc::new(Semaphore::new(options.concurrent_max));
        Self {
            options: Arc::new(options),
            deps,
            places,
            updating: tokio::sync::Mutex::default(),
            state: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Puts other groups in force. Groups that mean the same go on undisturbed; others of a known name take over the state
    /// of their rules, once the evaluation under way is over. The series of groups that are gone are ended.
    pub async fn update(&self, specs: Vec<GroupSpec>, settings: GroupSettings) {
        let _one = self.updating.lock().await;
        let mut former = std::mem::take(&mut self.state.lock().groups);
        let (updated, running) = {
            let state = self.state.lock();
            (state.updated, state.running)
        };
        let mut groups = BTreeMap::new();
        let mut changed = Vec::new();
        for spec in specs {
            let key = (spec.file.clone(), spec.name.clone());
            match former.remove(&key) {
                Some(slot) if slot.view.spec.is_same(&spec) && slot.view.settings == settings => {
                    groups.insert(key, slot);
                }
                old => changed.push((key, spec, old)),
            }
        }
        // All are told to stop before one is waited for.
        for slot in changed.iter().filter_map(|(_, _, old)| old.as_ref()).chain(former.values()) {
            slot.stop();
        }
        for (key, spec, old) in changed {
            let group = self.group(spec, &settings, updated);
            let group = match old {
                Some(slot) => slot.replaced_by(group).await,
                None => group,
            };
            groups.insert(key, self.slot(group, running));
        }
        for (_, slot) in former {
            self.deps.metrics.forget(&slot.view.spec.key());
            if let Some(group) = slot.stopped().await {
                self.tasks.spawn(task::end(group, self.shutdown.child_token()));
            }
        }
        let mut state = self.state.lock();
        state.views = groups.values().map(|slot| slot.view.clone()).collect();
        state.groups = groups;
        state.updated = true;
    }

    fn group(&self, spec: GroupSpec, settings: &GroupSettings, restored: bool) -> Group {
        let (options, deps) = (self.options.clone(), self.deps.clone());
        Group::new(spec, settings.clone(), options, deps, self.places.clone(), restored)
    }

    fn slot(&self, group: Group, running: bool) -> Slot {
        let view = group.view.clone();
        let place = if running { self.start(group) } else { Place::Waiting(Box::new(group)) };
        Slot { view, place }
    }

    fn start(&self, group: Group) -> Place {
        let (stop, cancel) = (self.shutdown.child_token(), group.asker.cancel.clone());
        let task = self.tasks.spawn(task::run(group, stop.clone()));
        Place::Running { stop, cancel, task }
    }

    /// Evaluates the groups until `shutdown`. Evaluations under way are ended then.
    pub async fn run(&self, shutdown: CancellationToken) {
        {
            let _one = self.updating.lock().await;
            let mut state = self.state.lock();
            state.running = true;
            let groups = std::mem::take(&mut state.groups);
            for (key, slot) in groups {
                let place = match slot.place {
                    Place::Waiting(group) => self.start(*group),
                    running => running,
                };
                state.groups.insert(key, Slot { view: slot.view, place });
            }
        }
        shutdown.cancelled().await;
        self.shutdown.cancel();
        for slot in self.state.lock().groups.values() {
            if let Place::Running { cancel, .. } = &slot.place {
                cancel.cancel();
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// All groups, by file and name.
    pub(crate) fn views(&self) -> Vec<Arc<GroupView>> {
        self.state.lock().views.clone()
    }
}

impl Slot {
    /// Tells the group to stop after its evaluation.
    fn stop(&self) {
        if let Place::Running { stop, .. } = &self.place {
            stop.cancel();
        }
    }

    /// The group, once it stands still; `None` if its task failed.
    async fn stopped(self) -> Option<Group> {
        match self.place {
            Place::Waiting(group) => Some(*group),
            Place::Running { stop, task, .. } => {
                stop.cancel();
                match task.await {
                    Ok(group) => Some(group),
                    Err(error) => {
                        tracing::error!(group = self.view.spec.name, %error, "the task of a rule group ended");
                        None
                    }
                }
            }
        }
    }

    async fn replaced_by(self, mut group: Group) -> Group {
        if let Some(former) = self.stopped().await {
            group.take_state(former);
        }
        group
    }
}
