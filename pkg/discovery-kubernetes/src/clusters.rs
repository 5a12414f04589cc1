//! All clusters that are watched.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::access::{Origin, connect};
use crate::cluster::Cluster;
use crate::config::KubernetesSdConfig;
use crate::discoverer::KubernetesDiscoverer;
use crate::limits::{Limits, Random};
use crate::metrics::Metrics;
use crate::server::ApiServer;

/// What discovery in clusters gets from outside.
#[derive(Clone)]
pub struct Surroundings {
    /// The value of a variable of the environment: `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, in a pod.
    pub env: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
    /// Random numbers, another at each call.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Folder with `token`, `ca.crt` and `namespace` of the pod that the program runs in.
    pub service_account: PathBuf,
    /// How much is taken, and how long is waited.
    pub limits: Limits,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, limits) = (&self.service_account, &self.limits);
        f.debug_struct("Surroundings").field("service_account", folder).field("limits", limits).finish_non_exhaustive()
    }
}

/// Where Kubernetes puts the files of [`Surroundings::service_account`].
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// All clusters that are watched. One of these is made for a program and given to all configurations: those that want the same
/// objects share one watch, which ends with the last of them.
#[derive(Debug)]
pub struct Clusters {
    surroundings: Surroundings,
    metrics: Metrics,
    open: Mutex<Vec<(Origin, Weak<Cluster>)>>,
}

impl Clusters {
    /// No clusters yet.
    pub fn new(surroundings: Surroundings, metrics: &telemetry::Metrics) -> Self {
        Self { surroundings, metrics: Metrics::new(metrics), open: Mutex::default() }
    }

    /// A discoverer for a configuration. No connection is made yet.
    ///
    /// # Errors
    /// When the configuration cannot be used here: its files for TLS are not good, or it is for a program inside of a cluster
    /// and this one is not.
    pub fn discoverer(&self, config: &KubernetesSdConfig) -> Result<KubernetesDiscoverer, String> {
        let own_namespace = match config.namespaces.own_namespace {
            true => Some(self.own_namespace()?),
            false => None,
        };
        Ok(KubernetesDiscoverer::new(config, own_namespace, self.cluster(config)?))
    }

    fn cluster(&self, config: &KubernetesSdConfig) -> Result<Arc<Cluster>, String> {
        let origin = Origin::of(config, &*self.surroundings.env)?;
        let mut open = self.open.lock();
        open.retain(|(_, cluster)| cluster.strong_count() > 0);
        let known = open.iter().find(|(known, _)| *known == origin);
        if let Some(cluster) = known.and_then(|(_, cluster)| cluster.upgrade()) {
            return Ok(cluster);
        }
        let cluster = Arc::new(self.cluster_at(connect(&origin, &self.surroundings.service_account)?));
        open.push((origin, Arc::downgrade(&cluster)));
        Ok(cluster)
    }

    /// A cluster behind any server, shared by those who are given it; for tests.
    pub fn cluster_at(&self, server: Arc<dyn ApiServer>) -> Cluster {
        let Surroundings { random, limits, .. } = &self.surroundings;
        Cluster::new(server, *limits, Random(random.clone()), self.metrics.clone())
    }

    fn own_namespace(&self) -> Result<String, String> {
        let path = self.surroundings.service_account.join("namespace");
        let name = std::fs::read_to_string(&path)
            .map_err(|e| format!("own_namespace: read {}: {e}; name the namespace instead", path.display()))?;
        match name.trim() {
            "" => Err(format!("own_namespace: {} is empty; name the namespace instead", path.display())),
            name => Ok(name.to_owned()),
        }
    }
}
