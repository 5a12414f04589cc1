//! What the API is told: targets, metadata, pools. Nothing here waits for a scrape.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use labels::{Builder, Labels};
use relabel::Rule;
use storage::{
    ActiveTarget, Answer, Ctx, MetadataByMetric, MetadataQuery, MetadataSource, RelabelRule, RelabelStep, Result,
    ScrapeView, TargetHealth, TargetMetadata, TargetMetadataQuery, TargetState, Targets, TargetsQuery, TargetsSource,
};

use crate::families::FamilyMap;
use crate::manager::Manager;
use crate::pool::{Pool, Running};
use crate::target::global_url;

impl Manager {
    /// The metadata of each target, without holding any lock for long.
    fn families(&self) -> Vec<(Labels, Arc<FamilyMap>)> {
        let pools = self.inner.pools.lock();
        let running = pools.by_job.values().flat_map(|pool| pool.running.values());
        running.map(|r| (r.target.public.clone(), r.status.families.lock().clone())).collect()
    }
}

impl TargetsSource for Manager {
    fn targets(&self, _: &Ctx, want: TargetsQuery) -> BoxFuture<'static, Result<Answer<Targets>>> {
        let mut targets = Targets::default();
        let pools = self.inner.pools.lock();
        for pool in pools.by_job.values() {
            if want.state != TargetState::Dropped {
                targets.active.extend(pool.running.values().map(|running| active(pool, running)));
            }
            if want.state != TargetState::Active {
                targets.dropped.extend(pool.dropped());
            }
        }
        Box::pin(ready(Ok(targets.into())))
    }
}

fn active(pool: &Pool, running: &Running) -> ActiveTarget {
    let (target, mut last) = (&running.target, running.status.last.lock().clone());
    if let Some(twin) = &*running.status.twin.lock() {
        if !last.error.is_empty() {
            last.error.push_str("; ");
        }
        last.error.push_str(&twin.text);
        if twin.is_left_out {
            last.health = TargetHealth::Unknown;
        }
    }
    ActiveTarget {
        discovered_labels: target.discovered.clone(),
        labels: target.public.clone(),
        scrape_pool: pool.job.config.job_name.clone(),
        scrape_url: target.url.clone(),
        global_url: {
            let options = &pool.job.shared.options;
            global_url(&target.url, &options.external_url, options.own_port)
        },
        last_error: last.error,
        last_scrape_ns: last.time_ms.map(|ms| ms.saturating_mul(1_000_000)),
        last_scrape_duration_s: last.duration_s,
        health: last.health,
    }
}

impl MetadataSource for Manager {
    fn metadata(&self, _: &Ctx, want: MetadataQuery) -> BoxFuture<'static, Result<Answer<MetadataByMetric>>> {
        let or_all = |limit: usize| if limit == 0 { usize::MAX } else { limit };
        let mut found = MetadataByMetric::new();
        for (_, families) in self.families() {
            let wanted = families.iter().filter(|(name, _)| want.metric.is_empty() || ***name == *want.metric);
            for (name, metadata) in wanted {
                let entries = found.entry(name.to_string()).or_default();
                if entries.len() < or_all(want.limit_per_metric) && !entries.contains(metadata) {
                    entries.push((**metadata).clone());
                }
            }
        }
        let found: MetadataByMetric = found.into_iter().take(or_all(want.limit)).collect();
        Box::pin(ready(Ok(found.into())))
    }
}

impl ScrapeView for Manager {
    fn pools(&self) -> Vec<String> {
        self.inner.pools.lock().by_job.keys().cloned().collect()
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        let job = self.inner.pools.lock().by_job.get(pool)?.job.clone();
        yaml::print(&job.config).ok()
    }

    fn relabel_steps(&self, pool: &str, discovered: &Labels) -> Option<Vec<RelabelStep>> {
        let job = self.inner.pools.lock().by_job.get(pool)?.job.clone();
        let mut labels = Builder::from_labels(discovered);
        let mut keep = true;
        let step = |rule: &Rule| {
            keep = keep && relabel::apply_to(std::slice::from_ref(rule), &mut labels);
            let output = if keep { labels.build() } else { Labels::empty() };
            RelabelStep { rule: shown(rule), output, keep }
        };
        Some(job.config.relabel_configs.iter().map(step).collect())
    }

    fn dropped_counts(&self) -> BTreeMap<String, u64> {
        let pools = self.inner.pools.lock();
        pools.by_job.iter().map(|(job, pool)| (job.clone(), pool.dropped_count())).collect()
    }

    fn target_metadata(&self, want: &TargetMetadataQuery) -> Vec<TargetMetadata> {
        let limit = if want.limit == 0 { usize::MAX } else { want.limit };
        let matches = |labels: &Labels| want.matchers.iter().all(|m| m.matches(labels.value(m.name())));
        let mut found = Vec::new();
        for (target, families) in self.families().into_iter().filter(|(target, _)| matches(target)) {
            // Never a part of a target, as in Prometheus.
            if found.len() >= limit {
                break;
            }
            let wanted = families.iter().filter(|(name, _)| want.metric.is_empty() || ***name == *want.metric);
            let wanted: BTreeSet<_> = wanted.map(|(name, _)| name.clone()).collect();
            for metric in wanted {
                let Some(metadata) = families.get(&metric) else { continue };
                let (metric, metadata) = (metric.to_string(), (**metadata).clone());
                found.push(TargetMetadata { target: target.clone(), metric, metadata });
            }
        }
        found
    }
}

/// A rule as it would stand in a configuration.
fn shown(rule: &Rule) -> RelabelRule {
    let node = yaml::print(rule).ok().and_then(|text| yaml::parse(&text).ok());
    let Some(node) = node else { return RelabelRule::default() };
    let text = |key: &str| node.get(key).and_then(|node| node.text()).unwrap_or_default().to_owned();
    let labels = node.get("source_labels").and_then(|labels| labels.list().ok()).unwrap_or_default();
    RelabelRule {
        source_labels: labels.iter().filter_map(|label| label.text()).map(str::to_owned).collect(),
        separator: text("separator"),
        regex: text("regex"),
        modulus: text("modulus").parse().unwrap_or(0),
        target_label: text("target_label"),
        replacement: text("replacement"),
        action: text("action"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::routing::get;
    use discovery::TargetSet;
    use model::TargetGroup;

    use super::*;
    use crate::config::{GlobalConfig, ScrapeConfig};
    use crate::options::{Deps, Options};

    #[test]
    fn what_a_rule_says_is_shown_even_if_it_is_nothing() {
        let rule = "{source_labels: [a], separator: '', target_label: b, replacement: ''}";
        let config = yaml::parse(&format!("{{job_name: j, relabel_configs: [{rule}]}}")).unwrap();
        let config = ScrapeConfig::from_node(&config, &GlobalConfig::default()).unwrap();
        let printed = yaml::print(&config).unwrap();
        assert!(printed.contains("separator: \"\"\n") && printed.contains("replacement: \"\"\n"), "{printed}");
    }

    /// Whoever looks at targets for long holds up no scrape.
    #[tokio::test]
    async fn views_hold_up_no_scrape() {
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        let page = get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            "a 1\n"
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/metrics", page)).await });
        let manager = Manager::new(
            Options::default(),
            Deps {
                appendable: Arc::new(memory_store::MemoryStore::default()),
                clock: Arc::new(model::SystemClock),
                metrics: telemetry::Metrics::new(),
                budget: storage::Budget::unlimited(),
            },
        );
        let config = yaml::parse("{job_name: j, scrape_interval: 50ms, scrape_timeout: 50ms}").unwrap();
        manager.apply(vec![ScrapeConfig::from_node(&config, &GlobalConfig::default()).unwrap()]).unwrap();
        let targets = vec![Labels::from_pairs([("__address__", address.as_str())])];
        let group = Arc::new(TargetGroup { targets, ..TargetGroup::default() });
        let set = TargetSet { groups: vec![group], failures: Vec::new() };
        manager.sync(&[("j".to_owned(), set)].into());
        let (held, is_held) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        let holder = manager.clone();
        let thread = std::thread::spawn(move || {
            let _pools = holder.inner.pools.lock();
            held.send(()).unwrap();
            let _ = is_done.recv();
        });
        is_held.recv().unwrap();
        let before = requests.load(Ordering::SeqCst);
        let more = async || requests.load(Ordering::SeqCst) >= before + 5;
        testkit::wait_for("scrapes while the pools are looked at", std::time::Duration::from_secs(20), more).await;
        done.send(()).unwrap();
        thread.join().unwrap();
    }
}
