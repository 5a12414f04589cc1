//! Notifications of the file system, gathered into "something changed".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use telemetry::{Counter, Gauge};
use tokio::sync::mpsc;
use tracing::warn;

use super::ReloaderOptions;

/// Tells of changes to the watched paths. Without notifications (none left, or none on this file system) it never tells,
/// and the caller's interval has to do.
pub(super) struct Watcher {
    inner: Option<RecommendedWatcher>,
    events: mpsc::Receiver<()>,
    /// Kept, so that `events` does not end with the watcher.
    _sender: mpsc::Sender<()>,
    watched: BTreeSet<PathBuf>,
    watches: Gauge,
    errors: Counter,
}

impl Watcher {
    pub(super) fn new(options: &ReloaderOptions, watches: &Gauge, errors: &Counter) -> Self {
        let (sender, events) = mpsc::channel(1);
        let (to, failed) = (sender.clone(), errors.clone());
        let told = move |event: notify::Result<notify::Event>| match event {
            // reading the files is an event as well
            Ok(event) if event.kind.is_access() => {}
            // one that waits already says it all
            Ok(_) => drop(to.try_send(())),
            Err(_) => {
                failed.inc();
            }
        };
        let inner = match notify::recommended_watcher(told) {
            Ok(watcher) => Some(watcher),
            Err(e) => {
                warn!(err = %e, "no notifications of changed files, looking at each interval");
                None
            }
        };
        let mut this = Self {
            inner,
            events,
            _sender: sender,
            watched: BTreeSet::new(),
            watches: watches.clone(),
            errors: errors.clone(),
        };
        this.refresh(options);
        this
    }

    /// Watches what is there now: directories come and go, and links lead elsewhere.
    pub(super) fn refresh(&mut self, options: &ReloaderOptions) {
        let mut wanted = BTreeSet::new();
        // the directory too: files are replaced by renaming, and mounted ones are links
        if let Some(dir) = options.config_file.as_deref().and_then(Path::parent) {
            wanted.insert(if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() });
        }
        for dir in &options.rule_dirs {
            collect_dirs(&std::fs::canonicalize(dir).unwrap_or_else(|_| dir.clone()), &mut wanted);
        }
        let Some(inner) = &mut self.inner else { return };
        for gone in self.watched.difference(&wanted) {
            // it is mostly deleted, and its watch with it
            let _ = inner.unwatch(gone);
        }
        let mut watched: BTreeSet<PathBuf> = self.watched.intersection(&wanted).cloned().collect();
        for path in wanted.difference(&self.watched) {
            match inner.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    watched.insert(path.clone());
                }
                Err(e) => {
                    self.errors.inc();
                    warn!(path = %path.display(), err = %e, "cannot watch, looking at each interval");
                }
            }
        }
        self.watched = watched;
        self.watches.set(self.watched.len() as f64);
    }

    /// Completes once something has changed and nothing more came for `settle`.
    pub(super) async fn changed(&mut self, settle: Duration) {
        if self.events.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        // at most ten times as long, for what never settles
        for _ in 0..10 {
            match tokio::time::timeout(settle, self.events.recv()).await {
                Ok(Some(())) => tokio::time::sleep(settle).await,
                _ => return,
            }
        }
    }
}

fn collect_dirs(dir: &Path, into: &mut BTreeSet<PathBuf>) {
    into.insert(dir.to_owned());
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            collect_dirs(&entry.path(), into);
        }
    }
}
