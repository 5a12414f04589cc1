//! What a discoverer sends.

use std::collections::BTreeMap;
use std::fmt;

use futures::future::BoxFuture;
use model::TargetGroup;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Sends what it knows of its sources at once, and again whenever that changes.
///
/// * Each [`Update`] is the whole state of its source; nothing is sent of sources that stay as they are.
/// * A source that is gone is sent once more, with no targets.
/// * A failure never takes targets away: they stay in the updates, beside the reason of the failure.
/// * It ends soon after `shutdown`, or once nobody takes its updates.
///
/// `tests/conformance.rs` holds these rules for every implementation.
pub trait Discoverer: fmt::Debug + Send {
    /// Runs until `shutdown`.
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()>;
}

/// The state of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The targets that were found last; none where the source is gone or has never been read.
    pub group: TargetGroup,
    /// Why the source could not be read at the latest attempt; names the place.
    pub failure: Option<String>,
}

impl Update {
    /// The state of a source that could be read.
    pub fn found(group: TargetGroup) -> Self {
        Self { group, failure: None }
    }

    /// Whether there is nothing to know of the source any more.
    pub fn is_gone(&self) -> bool {
        self.group.targets.is_empty() && self.failure.is_none()
    }
}

/// Where one discoverer's updates go.
#[derive(Debug, Clone)]
pub struct Updates {
    provider: usize,
    sender: mpsc::Sender<(usize, Vec<Update>)>,
}

impl Updates {
    /// A sender for the discoverer of this number. Each message carries the number, so that several discoverers may share a
    /// channel.
    pub fn new(provider: usize, sender: mpsc::Sender<(usize, Vec<Update>)>) -> Self {
        Self { provider, sender }
    }

    /// Sends the states of some sources. Waits while the receiver is busy; `false` when it is gone.
    pub async fn send(&self, updates: Vec<Update>) -> bool {
        updates.is_empty() || self.sender.send((self.provider, updates)).await.is_ok()
    }

    /// Completes when the receiver is gone.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// Finds out which sources have changed between two readings of all of them.
#[derive(Debug, Default)]
pub struct Changes {
    sent: BTreeMap<String, Update>,
}

impl Changes {
    /// Of the states of all sources those that differ from the last call's, and one without targets for each source that is
    /// not there any more.
    pub fn of(&mut self, all: Vec<Update>) -> Vec<Update> {
        let now: BTreeMap<String, Update> =
            all.into_iter().filter(|u| !u.is_gone()).map(|u| (u.group.source.clone(), u)).collect();
        let before = std::mem::take(&mut self.sent);
        let changed = now.iter().filter(|(source, update)| before.get(*source) != Some(update));
        let mut out: Vec<Update> = changed.map(|(_, update)| update.clone()).collect();
        let gone = before.into_keys().filter(|source| !now.contains_key(source));
        out.extend(gone.map(|source| Update::found(TargetGroup { source, ..TargetGroup::default() })));
        self.sent = now;
        out
    }
}
