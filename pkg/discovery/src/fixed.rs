//! Lists of targets that never change: `static_configs`.

use futures::future::BoxFuture;
use model::TargetGroup;
use tokio_util::sync::CancellationToken;

use crate::{Discoverer, Update, Updates};

/// Sends its groups once. Their sources are their places in the list, "0" being the first, as in Prometheus.
#[derive(Debug)]
pub struct FixedDiscoverer {
    groups: Vec<TargetGroup>,
}

impl FixedDiscoverer {
    /// A discoverer of these groups, whatever sources they name.
    pub fn new(groups: Vec<TargetGroup>) -> Self {
        let named = |(i, group): (usize, TargetGroup)| TargetGroup { source: i.to_string(), ..group };
        Self { groups: groups.into_iter().enumerate().map(named).collect() }
    }
}

impl Discoverer for FixedDiscoverer {
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let all = self.groups.into_iter().map(Update::found).filter(|update| !update.is_gone()).collect();
            let rest = async {
                updates.send(all).await;
                updates.closed().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = rest => {}
            }
        })
    }
}
