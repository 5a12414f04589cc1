//! What operators are told in the UI: a list of texts, and a stream of its changes.

use std::sync::Arc;

use model::Clock;
use parking_lot::Mutex;
use telemetry::{Counter, Gauge, Metrics};
use tokio::sync::mpsc;

/// Changes that a subscriber may be behind; what comes on top of them is dropped for it.
const BEHIND_MAX: usize = 10;

/// A text for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What is the matter.
    pub text: String,
    /// When it was added, or added again, ms since the epoch.
    pub at_ms: i64,
    /// False in the change that takes it away.
    pub active: bool,
}

/// The notifications of a process. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Notifications(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    subscribers_max: usize,
    state: Mutex<State>,
    active_subscribers: Gauge,
    sent: Counter,
    dropped: Counter,
}

#[derive(Debug, Default)]
struct State {
    all: Vec<Notification>,
    subscribers: Vec<(u64, mpsc::Sender<Notification>)>,
    next_id: u64,
    closed: bool,
}

impl Notifications {
    /// An empty list that at most `subscribers_max` may follow at a time (`--web.max-notifications-subscribers`).
    pub fn new(subscribers_max: usize, clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self(Arc::new(Inner {
            clock,
            subscribers_max,
            state: Mutex::default(),
            active_subscribers: metrics
                .gauge("prometheus_api_notification_active_subscribers", "Clients that follow the notifications."),
            sent: metrics.counter("prometheus_api_notification_updates_sent_total", "Changes sent to subscribers."),
            dropped: metrics.counter(
                "prometheus_api_notification_updates_dropped_total",
                "Changes that a subscriber did not get, since it was too far behind.",
            ),
        }))
    }

    /// Adds a text. One that is there already gets the time of now.
    pub fn add(&self, text: &str) {
        let at_ms = self.0.clock.now_ms();
        let mut state = self.0.state.lock();
        let told = match state.all.iter_mut().find(|n| n.text == text) {
            Some(known) => {
                known.at_ms = at_ms;
                known.clone()
            }
            None => {
                let new = Notification { text: text.to_owned(), at_ms, active: true };
                state.all.push(new.clone());
                new
            }
        };
        self.0.tell(&state, &told);
    }

    /// Takes a text away.
    pub fn remove(&self, text: &str) {
        let mut state = self.0.state.lock();
        if let Some(at) = state.all.iter().position(|n| n.text == text) {
            let gone = Notification { active: false, ..state.all.remove(at) };
            self.0.tell(&state, &gone);
        }
    }

    /// Those that are there now.
    pub fn all(&self) -> Vec<Notification> {
        self.0.state.lock().all.clone()
    }

    /// Ends all subscriptions and takes no more: for the shutdown, which would wait for them.
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        state.subscribers.clear();
    }

    /// Those that are there now and all changes from now on; `None` if there are as many subscribers as may be.
    pub fn subscribe(&self) -> Option<Subscription> {
        let mut state = self.0.state.lock();
        if state.closed || state.subscribers.len() >= self.0.subscribers_max {
            return None;
        }
        let (sender, changes) = mpsc::channel(BEHIND_MAX);
        let id = state.next_id;
        state.next_id += 1;
        state.subscribers.push((id, sender));
        self.0.active_subscribers.set(state.subscribers.len() as f64);
        let known = state.all.clone().into_iter();
        Some(Subscription { id, known, changes, of: self.clone() })
    }
}

impl Inner {
    fn tell(&self, state: &State, change: &Notification) {
        for (_, subscriber) in &state.subscribers {
            self.sent.inc();
            if subscriber.try_send(change.clone()).is_err() {
                self.dropped.inc();
            }
        }
    }
}

/// Follows the notifications until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    id: u64,
    known: std::vec::IntoIter<Notification>,
    changes: mpsc::Receiver<Notification>,
    of: Notifications,
}

impl Subscription {
    /// The next one; waits for it.
    pub async fn next(&mut self) -> Option<Notification> {
        match self.known.next() {
            Some(known) => Some(known),
            None => self.changes.recv().await,
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let inner = &self.of.0;
        let mut state = inner.state.lock();
        state.subscribers.retain(|(id, _)| *id != self.id);
        inner.active_subscribers.set(state.subscribers.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use model::FakeClock;

    use super::*;

    #[tokio::test]
    async fn followed_by_a_bounded_number_of_bounded_subscribers() {
        let metrics = Metrics::new();
        let list = Notifications::new(1, Arc::new(FakeClock::at(1000)), &metrics);
        list.add("a");
        let mut follower = list.subscribe().unwrap();
        assert!(list.subscribe().is_none());
        list.add("b");
        list.remove("a");
        list.remove("not there");
        let mut seen = Vec::new();
        for _ in 0..3 {
            let one = follower.next().await.unwrap();
            seen.push((one.text, one.active));
        }
        assert_eq!(seen, [("a".to_owned(), true), ("b".to_owned(), true), ("a".to_owned(), false)]);
        assert_eq!(list.all(), [Notification { text: "b".to_owned(), at_ms: 1000, active: true }]);
        for _ in 0..BEHIND_MAX + 2 {
            list.add("b");
        }
        assert_eq!(list.all().len(), 1);
        let text = metrics.encode();
        assert!(text.contains("prometheus_api_notification_updates_dropped_total 2\n"), "{text}");
        assert!(text.contains("prometheus_api_notification_active_subscribers 1.0\n"), "{text}");
        drop(follower);
        let mut last = list.subscribe().unwrap();
        list.close();
        assert_eq!(last.next().await.map(|n| n.text).as_deref(), Some("b"), "what there is comes first");
        assert_eq!(last.next().await, None);
        assert!(list.subscribe().is_none());
    }
}
