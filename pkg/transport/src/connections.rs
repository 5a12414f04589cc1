//! The open connections of a listener, at most so many: where all places are taken, the one that has been without a
//! request for longest makes room. If none is, a few more are let in, for probes only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Connections beyond the limit that are let in for probes.
const SPARE: usize = 16;

/// Cheap to clone; clones share the places.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    max: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// In the order in which they came.
    all: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug)]
struct State {
    /// Whether it is beyond the limit, so that only probes are answered.
    spare: bool,
    in_flight: AtomicU32,
    /// A whole request head has come.
    asked: AtomicBool,
    first: Notify,
    close: CancellationToken,
}

impl Connections {
    /// At most `max` places; 0 = no limit.
    pub(crate) fn new(max: usize) -> Self {
        Self { max: if max == 0 { usize::MAX } else { max }, open: Arc::default() }
    }

    /// A place for one more connection, and whether another one had to make room for it.
    pub(crate) fn enter(&self) -> (Place, bool) {
        let mut open = self.open.lock();
        let mut evicted = false;
        if open.all.len() >= self.max {
            evicted = open.evict(|s| s.in_flight.load(Ordering::Acquire) == 0)
                || (open.all.len() >= self.max.saturating_add(SPARE) && open.evict(|s| s.spare));
        }
        let state = Arc::new(State {
            spare: open.all.len() >= self.max,
            in_flight: AtomicU32::new(0),
            asked: AtomicBool::new(false),
            first: Notify::new(),
            close: CancellationToken::new(),
        });
        let id = open.next;
        open.next += 1;
        open.all.insert(id, state.clone());
        (Place { id, state, connections: self.clone() }, evicted)
    }
}

impl Open {
    /// Closes the oldest connection of a kind.
    fn evict(&mut self, kind: impl Fn(&State) -> bool) -> bool {
        let Some(id) = self.all.iter().find(|(_, state)| kind(state)).map(|(id, _)| *id) else { return false };
        if let Some(state) = self.all.remove(&id) {
            state.close.cancel();
        }
        true
    }
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    id: u64,
    state: Arc<State>,
    connections: Connections,
}

impl Place {
    /// Whether this connection was let in for probes only.
    pub(crate) fn is_spare(&self) -> bool {
        self.state.spare
    }

    /// Comes true when the connection has to make room for another.
    pub(crate) async fn closing(&self) {
        self.state.close.cancelled().await;
    }

    /// Comes true with the first whole request head.
    pub(crate) async fn asked(&self) {
        while !self.state.asked.load(Ordering::Acquire) {
            self.state.first.notified().await;
        }
    }

    /// What counts this connection's requests.
    pub(crate) fn requests(&self) -> Requests {
        Requests(self.state.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.open.lock().all.remove(&self.id);
    }
}

/// Counts the requests of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<State>);

impl Requests {
    /// A request that is being answered, until it is dropped.
    pub(crate) fn begin(&self) -> InFlight {
        self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        if !self.0.asked.swap(true, Ordering::AcqRel) {
            self.0.first.notify_one();
        }
        InFlight(self.0.clone())
    }
}

/// A request that is being served; dropping it says that it is done, see [`Requests::begin`].
#[derive(Debug)]
pub(crate) struct InFlight(Arc<State>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_idle_make_room_first_then_only_probes_come_in() {
        let connections = Connections::new(2);
        let ((a, _), (b, _)) = (connections.enter(), connections.enter());
        let busy = a.requests().begin();
        let (c, evicted) = connections.enter();
        assert!(evicted && b.state.close.is_cancelled() && !a.state.close.is_cancelled() && !c.is_spare());
        let also_busy = c.requests().begin();
        let spare: Vec<_> = (0..SPARE).map(|_| connections.enter()).collect();
        assert!(spare[0].0.is_spare() && !spare[0].1);
        assert!(spare[..SPARE - 1].iter().all(|(s, _)| s.state.close.is_cancelled()), "idle ones make room for others");
        let _probes: Vec<InFlight> = spare.iter().map(|(s, _)| s.requests().begin()).collect();
        drop((busy, also_busy));
        let (d, evicted) = connections.enter();
        assert!(evicted && a.state.close.is_cancelled(), "{d:?}");
    }

    #[test]
    fn spare_places_are_bounded_even_when_all_are_busy() {
        let connections = Connections::new(1);
        let (first, _) = connections.enter();
        let _busy = first.requests().begin();
        let held: Vec<_> = (0..100)
            .map(|_| {
                let (place, _) = connections.enter();
                let request = place.requests().begin();
                (place, request)
            })
            .collect();
        assert_eq!(connections.open.lock().all.len(), 1 + SPARE);
        assert!(held.iter().all(|(p, _)| p.is_spare()) && !first.state.close.is_cancelled());
        drop(held);
        assert_eq!(connections.open.lock().all.len(), 1);
    }

    #[test]
    fn without_a_limit_nobody_makes_room() {
        let connections = Connections::new(0);
        let places: Vec<_> = (0..100).map(|_| connections.enter()).collect();
        assert!(places.iter().all(|(p, evicted)| !p.is_spare() && !evicted));
    }
}
