//! Certificates and keys that are replaced while a client is in use.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::config::ClientConfig;

/// Files are looked at this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What tells that a file is another: when it was written, and its length. `None`: it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

/// The connections of a client, opened anew when its files change.
#[derive(Debug)]
pub(super) struct Connections {
    files: Vec<PathBuf>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    client: reqwest::Client,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl Connections {
    pub(super) fn new(client: reqwest::Client, config: &ClientConfig) -> Self {
        let tls = &config.tls_config;
        let files: Vec<PathBuf> =
            [&tls.ca_file, &tls.cert_file, &tls.key_file].into_iter().flatten().cloned().collect();
        let stamps = stamps(&files);
        Self { files, current: Mutex::new(Current { client, stamps, looked: Instant::now() }) }
    }

    /// The client of today. Files that cannot be used leave the one before in use.
    pub(super) fn client(&self, config: &ClientConfig) -> reqwest::Client {
        let mut current = self.current.lock();
        if !self.files.is_empty() && current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let stamps = stamps(&self.files);
            if stamps != current.stamps {
                // Another look comes when they change again: half of a pair may be there now.
                current.stamps = stamps;
                match config.connect() {
                    Ok(client) => {
                        info!(files = ?self.files, "certificates of an HTTP client were read again");
                        current.client = client;
                    }
                    Err(e) => {
                        warn!(error = %e, "certificates of an HTTP client changed and cannot be used: those before stay")
                    }
                }
            }
        }
        current.client.clone()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}
