//! What a scraping server has beyond a querier, made up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use api::{ConfigLoad, ConfigView, Notifications, ServerParts};
use futures::future::{BoxFuture, ready};
use labels::{Labels, Matcher};
use model::{FakeClock, MetricMetadata, TimeRange};
use storage::{
    Ctx, Error, RelabelRule, RelabelStep, ReplayProgress, Result, ScrapeView, TargetMetadata, TargetMetadataQuery,
    TsdbAdmin, TsdbView,
};
use telemetry::Metrics;

use super::NOW_MS;

/// Keeps what it was asked to do, and fails when told so.
#[derive(Debug, Default)]
pub struct FakeServer {
    pub done: Mutex<Vec<String>>,
    pub fails: Mutex<Option<Error>>,
    pub not_ready: AtomicBool,
    pub warnings: Mutex<Vec<String>>,
}

impl FakeServer {
    fn note(&self, what: String) -> Result<()> {
        self.done.lock().unwrap().push(what);
        self.fails.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    pub fn parts(self: &Arc<Self>, admin: bool, metrics: &Metrics) -> ServerParts {
        let (one, two) = (self.clone(), self.clone());
        let on = |names: &[(&str, bool)]| names.iter().map(|(n, on)| ((*n).to_owned(), *on)).collect();
        ServerParts {
            admin: admin.then(|| self.clone() as Arc<dyn TsdbAdmin>),
            tsdb: self.clone(),
            scrapes: self.clone(),
            config: self.clone(),
            notifications: Notifications::new(1, Arc::new(FakeClock::at(NOW_MS)), metrics),
            features: Arc::new(BTreeMap::from([("api".to_owned(), on(&[("search", true), ("admin", admin)]))])),
            search: true,
            search_limit_max: 1000,
            ready: Arc::new(move || !one.not_ready.load(Ordering::SeqCst)),
            alertmanagers: Arc::new(|| api::Alertmanagers {
                active: vec!["http://a:9093/api/v2/alerts".to_owned()],
                dropped: vec!["http://b:9093/api/v2/alerts".to_owned()],
            }),
            warnings: Arc::new(move || two.warnings.lock().unwrap().clone()),
        }
    }
}

impl TsdbAdmin for FakeServer {
    fn delete_series(&self, _: &Ctx, selectors: Vec<Vec<Matcher>>, range: TimeRange) -> BoxFuture<'static, Result<()>> {
        let texts: Vec<Vec<String>> = selectors.iter().map(|s| s.iter().map(Matcher::to_string).collect()).collect();
        Box::pin(ready(self.note(format!("delete {texts:?} {} {}", range.min, range.max))))
    }

    fn clean_tombstones(&self, _: &Ctx) -> BoxFuture<'static, Result<()>> {
        Box::pin(ready(self.note("clean".to_owned())))
    }

    fn snapshot(&self, _: &Ctx, skip_head: bool) -> BoxFuture<'static, Result<String>> {
        let done = self.note(format!("snapshot {skip_head}"));
        Box::pin(ready(done.map(|()| "20150701T201030Z-0000000000000001".to_owned())))
    }
}

impl TsdbView for FakeServer {
    fn blocks(&self) -> Vec<String> {
        let meta = r#"{"ulid":"01FZ","minTime":1,"maxTime":2,"stats":{"numSamples":3},
            "compaction":{"level":1,"sources":["01FZ"]},"version":1}"#;
        vec![meta.to_owned()]
    }

    fn replay(&self) -> ReplayProgress {
        ReplayProgress { min: 2, max: 9, current: 5, done: false }
    }

    fn corruptions(&self) -> u64 {
        3
    }
}

impl ConfigView for FakeServer {
    fn yaml(&self) -> String {
        "global: {}\n".to_owned()
    }

    fn last_load(&self) -> ConfigLoad {
        ConfigLoad { success: false, loaded_ms: NOW_MS }
    }

    fn retention(&self) -> String {
        "15d".to_owned()
    }
}

impl ScrapeView for FakeServer {
    fn pools(&self) -> Vec<String> {
        vec!["a".to_owned(), "b".to_owned(), "empty".to_owned()]
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        self.pools().iter().any(|p| p == pool).then(|| format!("job_name: {pool}\n"))
    }

    fn relabel_steps(&self, pool: &str, discovered: &Labels) -> Option<Vec<RelabelStep>> {
        let rule = RelabelRule {
            source_labels: vec!["__address__".to_owned()],
            separator: ";".to_owned(),
            regex: "(.*)".to_owned(),
            target_label: "instance".to_owned(),
            replacement: "$1".to_owned(),
            action: "replace".to_owned(),
            ..RelabelRule::default()
        };
        let instance = discovered.value("__address__").to_owned();
        let output = discovered.overlay(&Labels::from_pairs([("instance", instance.as_str())]));
        self.pool_config(pool)?;
        Some(vec![
            RelabelStep { rule: rule.clone(), output, keep: true },
            RelabelStep {
                rule: RelabelRule { action: "drop".to_owned(), ..rule },
                output: Labels::empty(),
                keep: false,
            },
        ])
    }

    fn dropped_counts(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("a".to_owned(), 0), ("b".to_owned(), 700)])
    }

    fn target_metadata(&self, want: &TargetMetadataQuery) -> Vec<TargetMetadata> {
        let one = |job: &str, metric: &str| TargetMetadata {
            target: Labels::from_pairs([("job", job)]),
            metric: metric.to_owned(),
            metadata: MetricMetadata { metric_type: "gauge".into(), help: "H".into(), unit: String::new() },
        };
        let all = [one("a", "up"), one("a", "x"), one("b", "up")]
            .into_iter()
            .filter(|m| want.matchers.iter().all(|w| w.matches(m.target.value(w.name()))))
            .filter(|m| want.metric.is_empty() || want.metric == m.metric);
        let mut found: Vec<TargetMetadata> = Vec::new();
        for m in all {
            if want.limit > 0 && found.len() >= want.limit && found.last().is_some_and(|last| last.target != m.target) {
                break;
            }
            found.push(m);
        }
        found
    }
}
