//! A connection in between that delays each reply and counts requests, as a distant object store would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Bytes read at a time.
const READ_BYTES: usize = 256 << 10;

/// A listening address before a server. It stops taking connections when dropped.
pub struct Delay {
    /// `host:port`.
    pub address: String,
    requests: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Delay {
    /// Forwards to `server` (`host:port`); the first byte of each reply waits for `reply`.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(server: &str, reply: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let requests = Arc::new(AtomicU64::new(0));
        let (server, counter) = (server.to_owned(), requests.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, counter) = (server.clone(), counter.clone());
                tokio::spawn(async move {
                    // a connection cut short is the client's to tell
                    let _ = forward(client, &server, reply, &counter).await;
                });
            }
        });
        Ok(Self { address, requests, task })
    }

    /// Requests so far. Neither side sends a request before the reply to the last one.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: &str, reply: Duration, requests: &AtomicU64) -> anyhow::Result<()> {
    let server = TcpStream::connect(server).await.with_context(|| server.to_owned())?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut answered) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let mut waits = false;
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                if !waits {
                    requests.fetch_add(1, Ordering::Relaxed);
                }
                waits = true;
                to_server.write_all(&asked[..read]).await?;
            }
            read = from_server.read(&mut answered) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                if waits {
                    tokio::time::sleep(reply).await;
                }
                waits = false;
                to_client.write_all(&answered[..read]).await?;
            }
        }
    }
}
