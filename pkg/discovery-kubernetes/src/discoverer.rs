//! A discoverer of one configuration.

use std::sync::Arc;

use discovery::{Discoverer, Update, Updates};
use futures::future::BoxFuture;
use model::TargetGroup;
use std::collections::BTreeMap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::config::{AttachMetadata, KubernetesSdConfig, Role, Selector};
use crate::objects::Resource;
use crate::view::View;
use crate::watch::Wanted;

/// Finds targets in a cluster. Each object is a source: `pod/namespace/name`, `svc/…`, `node/name` and so on, as in Prometheus.
/// A watch that fails is a source, too, as long as it does: `watch/pods`, without targets.
#[derive(Debug)]
pub struct KubernetesDiscoverer {
    role: Role,
    attach: AttachMetadata,
    selectors: Vec<Selector>,
    /// `None` stands for all of them.
    namespaces: Vec<Option<String>>,
    cluster: Arc<Cluster>,
}

impl KubernetesDiscoverer {
    /// A discoverer of what `config` wants of a cluster. `own_namespace` is looked into beside those that `config` names.
    pub fn new(config: &KubernetesSdConfig, own_namespace: Option<String>, cluster: Arc<Cluster>) -> Self {
        let names = config.namespaces.names.iter().cloned().chain(own_namespace);
        let mut namespaces: Vec<Option<String>> = Vec::new();
        // The empty name stands for all of them, as in Kubernetes' own clients.
        for name in names.map(|name| Some(name).filter(|name| !name.is_empty())) {
            if !namespaces.contains(&name) {
                namespaces.push(name);
            }
        }
        if namespaces.is_empty() || namespaces.contains(&None) || config.role == Role::Node {
            namespaces = vec![None];
        }
        let (attach, selectors) = (config.attach_metadata, config.selectors.clone());
        Self { role: config.role, attach, selectors, namespaces, cluster }
    }

    /// The resources whose objects are needed, the role's own first.
    fn resources(&self) -> Vec<Resource> {
        let mut out = vec![Resource::of(self.role)];
        let is_addresses = matches!(self.role, Role::Endpoints | Role::EndpointSlice);
        let has_pods = is_addresses || self.role == Role::Pod;
        let attach = self.attach;
        for (wanted, resource) in [
            (is_addresses, Resource::Service),
            (is_addresses, Resource::Pod),
            (has_pods && attach.node, Resource::Node),
            (self.role != Role::Node && attach.namespace, Resource::Namespace),
            (has_pods && attach.deployment, Resource::ReplicaSet),
            (has_pods && attach.cronjob, Resource::Job),
        ] {
            if wanted {
                out.push(resource);
            }
        }
        out
    }

    fn wanted(&self, resource: Resource, namespace: Option<&String>) -> Wanted {
        let selector = resource.role().and_then(|role| self.selectors.iter().find(|s| s.role == role));
        let (labels, fields) = selector.map(|s| (s.label.clone(), s.field.clone())).unwrap_or_default();
        let namespace = namespace.filter(|_| !resource.is_of_cluster()).cloned();
        Wanted { resource, namespace, labels, fields }
    }

    async fn find(self, updates: Updates) {
        let wake = Arc::new(Notify::new());
        let (resources, mut told) = (self.resources(), BTreeMap::new());
        let view = |namespace: &Option<String>| {
            let watches = resources.iter().map(|resource| {
                let wanted = self.wanted(*resource, namespace.as_ref());
                (wanted.name(), self.cluster.watch(&wanted))
            });
            View::new((self.role, self.attach), watches.collect(), &wake, self.cluster.metrics.clone())
        };
        let mut views: Vec<View> = self.namespaces.iter().map(view).collect();
        loop {
            views.iter_mut().for_each(View::look);
            if !updates.send(failures(&views, &mut told)).await {
                return;
            }
            for view in &mut views {
                while let Some(batch) = view.next() {
                    if !updates.send(batch).await {
                        return;
                    }
                }
            }
            wake.notified().await;
        }
    }
}

/// The watches whose failure is another than `told`, which becomes what they say now.
fn failures(views: &[View], told: &mut BTreeMap<String, Arc<str>>) -> Vec<Update> {
    let now: BTreeMap<String, Arc<str>> = views.iter().flat_map(View::failures).collect();
    let before = std::mem::replace(told, now);
    let update = |name: &String, failure| {
        let source = format!("watch/{name}");
        Update { group: TargetGroup { source, ..TargetGroup::default() }, failure }
    };
    let changed = told.iter().filter(|(name, why)| before.get(*name) != Some(*why));
    let mut out: Vec<Update> = changed.map(|(name, why)| update(name, Some(why.to_string()))).collect();
    out.extend(before.keys().filter(|name| !told.contains_key(*name)).map(|name| update(name, None)));
    out
}

impl Discoverer for KubernetesDiscoverer {
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let taken = updates.clone();
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = taken.closed() => {}
                () = self.find(updates) => {}
            }
        })
    }
}
