//! From alerts to Alertmanagers: discovery finds them, the notifier tells them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use assembly::{Deps, Error};
use cloud_auth::Env;
use config::{Discoverers, Loaded, ProviderConfig};
use discovery::{Manager as Discovery, ManagerHandle, ManagerOptions, Snapshot};
use notifier::{Notifier, NotifierConfig};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Discovery of Alertmanagers, and what is sent to them.
pub struct Notifying {
    notifier: Arc<Notifier>,
    sets: ManagerHandle<ProviderConfig>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Until it runs.
    discovery: Mutex<Option<Discovery<ProviderConfig>>>,
    env: Env,
}

impl fmt::Debug for Notifying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifying").field("notifier", &self.notifier).finish_non_exhaustive()
    }
}

impl Notifying {
    /// Both, for the Alertmanagers of `loaded`. Nothing is asked before [`Notifying::run`].
    ///
    /// # Errors
    /// A client that cannot be made.
    pub fn new(config: &Config, deps: &Deps, discoverers: Arc<Discoverers>, loaded: &Loaded) -> Result<Self, Error> {
        let notifier = Arc::new(Notifier::new(config.notifier.clone(), deps.clock.clone(), &deps.metrics));
        let options = ManagerOptions {
            name: "notify",
            interval: config.scrape.discovery_interval,
            clock: deps.clock.clone(),
            build: Box::new(move |set, config| discoverers.build(set, config)),
        };
        let (discovery, sets, snapshots) = Discovery::new(options, &deps.metrics);
        let (discovery, env) = (Mutex::new(Some(discovery)), deps.env.clone());
        let this = Self { notifier, sets, snapshots, discovery, env };
        let prepared = this.prepare(loaded).map_err(|e| Error::Config(format!("--config.file: {e}")))?;
        this.notifier.apply(prepared);
        Ok(this)
    }

    /// What is to be put in force with `loaded`.
    ///
    /// # Errors
    /// A client that cannot be made.
    pub fn prepare(&self, loaded: &Loaded) -> Result<NotifierConfig, String> {
        loaded.config.alerting.notifier(loaded.config.global.external_labels(), &self.env)
    }

    /// Puts another configuration in force. What waits for Alertmanagers that stay is kept.
    pub async fn apply(&self, prepared: NotifierConfig, loaded: &Loaded) {
        self.discover(loaded).await;
        self.notifier.apply(prepared);
    }

    async fn discover(&self, loaded: &Loaded) {
        for failure in self.sets.apply(loaded.config.alerting.providers()).await {
            tracing::error!(failure, "Alertmanagers of a set cannot be discovered, the other sets go on");
        }
    }

    /// Discovers and sends until `shutdown`, then sends what waits.
    pub async fn run(self: Arc<Self>, loaded: Arc<Loaded>, shutdown: CancellationToken) {
        let Some(discovery) = self.discovery.lock().take() else { return };
        let sending = self.notifier.clone().run(self.snapshots.clone(), shutdown.clone());
        tokio::join!(discovery.run(shutdown.clone()), sending, async {
            shutdown.run_until_cancelled(self.discover(&loaded)).await;
        });
    }

    /// Takes alerts.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// How long [`Notifying::run`] may go on after the shutdown.
    pub fn longest_end(&self) -> Duration {
        self.notifier.longest_end()
    }
}
