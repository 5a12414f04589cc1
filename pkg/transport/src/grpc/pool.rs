//! The connections to one address: as many as its streams need.
//!
//! A stream that nobody reads keeps what it was sent in its window. Were the windows of all streams of a connection
//! larger than the connection's own, unread streams could fill that, and the one that is waited for would get nothing.
//! So a connection carries at most [`STREAMS_PER_CONNECTION`] streams, whose windows fit into its own; streams beyond
//! that get another connection. The number is also what proxies allow on one connection, and the least that RFC 9113
//! (6.5.2) recommends to servers: a stream never waits for another to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

/// Streams that one connection carries at a time.
pub(super) const STREAMS_PER_CONNECTION: u32 = 100;
/// Bytes of one stream that are on their way or unread.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
/// Room for all streams' windows: no number of unread streams closes it.
const CONNECTION_WINDOW_BYTES: u32 = STREAMS_PER_CONNECTION * STREAM_WINDOW_BYTES;

/// Makes one more connection, which connects at its first request.
type Connect = dyn Fn(&Endpoint) -> Channel + Send + Sync;

/// See the module.
#[derive(Clone)]
pub(super) struct Pool {
    endpoint: Endpoint,
    connect: Arc<Connect>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

struct Connection {
    channel: Channel,
    streams: Arc<AtomicU32>,
}

impl Pool {
    /// Connections to `endpoint`, made by `connect`.
    pub fn new(endpoint: Endpoint, connect: impl Fn(&Endpoint) -> Channel + Send + Sync + 'static) -> Self {
        let endpoint = endpoint
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        Self { endpoint, connect: Arc::new(connect), connections: Arc::default() }
    }

    /// A connection with room for one more stream, and the place in it.
    pub fn take(&self) -> (Channel, Place) {
        let mut connections = self.connections.lock();
        // The first connection stays; others go with their last stream.
        let mut number = 0;
        connections.retain(|c| {
            number += 1;
            number == 1 || c.streams.load(Ordering::Relaxed) > 0
        });
        if let Some(open) = connections.iter().find(|c| c.streams.load(Ordering::Relaxed) < STREAMS_PER_CONNECTION) {
            return (open.channel.clone(), Place::of(&open.streams));
        }
        let new = Connection { channel: (self.connect)(&self.endpoint), streams: Arc::default() };
        let taken = (new.channel.clone(), Place::of(&new.streams));
        connections.push(new);
        taken
    }
}

/// A stream's place in its connection, until it is dropped.
pub(super) struct Place(Arc<AtomicU32>);

impl Place {
    /// Counted under the lock of the pool's connections.
    fn of(streams: &Arc<AtomicU32>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Self(streams.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_beyond_a_connection_get_another_which_goes_with_the_last_of_them() {
        let pool = Pool::new(Endpoint::from_static("http://localhost:1"), |endpoint| endpoint.connect_lazy());
        let mut places: Vec<Place> = (0..250).map(|_| pool.take().1).collect();
        let counts =
            || -> Vec<u32> { pool.connections.lock().iter().map(|c| c.streams.load(Ordering::Relaxed)).collect() };
        assert_eq!(counts(), [100, 100, 50]);
        places.drain(100..200);
        let last = pool.take();
        assert_eq!(counts(), [100, 51], "the connection without streams has gone");
        drop(places);
        drop(last);
        let _one = pool.take();
        assert_eq!(counts(), [1]);
    }
}
