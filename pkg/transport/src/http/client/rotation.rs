//! Certificates and keys that are replaced while a client is in use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::config::ClientConfig;
use super::token::Tokens;
use crate::Error;

/// Files are looked at this often at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What tells that a file is another: when it was written, and its length. `None`: it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

/// What requests go through.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) client: reqwest::Client,
    pub(super) tokens: Option<Arc<Tokens>>,
}

/// The connections of a client, opened anew when its files change.
#[derive(Debug)]
pub(super) struct Connections {
    files: Vec<PathBuf>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    /// `Err`: files cannot be used, and why.
    opened: Result<Opened, String>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl Connections {
    pub(super) fn new(opened: Result<Opened, String>, config: &ClientConfig) -> Self {
        let files = config.tls_files();
        let stamps = stamps(&files);
        Self { files, current: Mutex::new(Current { opened, stamps, looked: Instant::now() }) }
    }

    /// The connections of today. Files that cannot be used leave those before in use.
    ///
    /// # Errors
    /// Files could not be used so far.
    pub(super) fn opened(&self, config: &ClientConfig) -> Result<Opened, Error> {
        let mut current = self.current.lock();
        if !self.files.is_empty() && current.looked.elapsed() >= LOOK_EVERY {
            current.looked = Instant::now();
            let stamps = stamps(&self.files);
            // Another look comes when they change again: half of a pair may be there now.
            if std::mem::replace(&mut current.stamps, stamps) != current.stamps || current.opened.is_err() {
                match (config.open(), &current.opened) {
                    (Ok(opened), _) => {
                        info!(files = ?self.files, "certificates of an HTTP client were read again");
                        current.opened = Ok(opened);
                    }
                    (Err(e), Ok(_)) => {
                        warn!(error = %e, "certificates of an HTTP client changed and cannot be used: those before stay")
                    }
                    (Err(e), Err(_)) => current.opened = Err(e.to_string()),
                }
            }
        }
        current.opened.clone().map_err(Error::Config)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |path: &PathBuf| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.modified().ok()?, meta.len()))
    };
    files.iter().map(stamp).collect()
}
