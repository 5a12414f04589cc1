//! An API over series in memory.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod server;

use std::sync::{Arc, Mutex};

use api::{ApiOptions, ApiState, ServerParts, StoreStatus, StoresAnswer, router};
use axum::Router;
use axum::body::Body;
use futures::future::{BoxFuture, ready};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use labels::Labels;
use model::{Exemplar, ExemplarSeries, FakeClock, MetricMetadata};
use promql::{Engine, EngineOptions, LocalEvaluator, QuerySource, ReadOptions};
use storage::{
    ActiveTarget, AlertInstance, AlertRule, AlertState, Answer, Budget, Ctx, ExemplarsQuery, ExemplarsSource, Inspect,
    LabelQuery, MemorySource, MetadataByMetric, MetadataQuery, MetadataSource, PartialResponse, Rule, RuleGroup,
    RulesQuery, RulesSource, Select, SeriesSource, SeriesStream, SourceInfo, StatisticsByTenant, StatisticsQuery,
    StatisticsSource, TargetHealth, Targets, TargetsQuery, TargetsSource, TsdbStatistics,
};
use telemetry::Metrics;
use telemetry::build::BuildInfo;
use testkit::series;
use tower::ServiceExt;

/// The time of requests that name none: 2015-07-01T20:10:30Z.
pub const NOW_MS: i64 = 1_435_781_430_000;

/// Gives every request the same series and keeps what it was asked.
#[derive(Debug)]
pub struct Source {
    pub series: Arc<dyn SeriesSource>,
    pub asked: Mutex<Vec<ReadOptions>>,
    /// Whom the last select was for.
    pub tenant: Arc<Mutex<String>>,
}

impl QuerySource for Source {
    fn for_request(&self, options: &ReadOptions) -> storage::Result<Arc<dyn SeriesSource>> {
        self.asked.lock().unwrap().push(options.clone());
        Ok(Arc::new(Watched { series: self.series.clone(), tenant: self.tenant.clone() }))
    }
}

/// Notes whom it is asked for.
#[derive(Debug)]
struct Watched {
    series: Arc<dyn SeriesSource>,
    tenant: Arc<Mutex<String>>,
}

impl SeriesSource for Watched {
    fn info(&self) -> SourceInfo {
        self.series.info()
    }

    fn select(&self, ctx: &Ctx, want: Select) -> SeriesStream {
        *self.tenant.lock().unwrap() = ctx.tenant.to_string();
        self.series.select(ctx, want)
    }

    fn label_names(&self, ctx: &Ctx, want: LabelQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.series.label_names(ctx, want)
    }

    fn label_values(
        &self,
        ctx: &Ctx,
        name: &str,
        want: LabelQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<String>>>> {
        self.series.label_values(ctx, name, want)
    }
}

pub struct Api {
    pub router: Router,
    pub source: Arc<Source>,
    pub metrics: Metrics,
    /// What all requests hold.
    pub budget: Arc<Budget>,
    /// A server's.
    pub notifications: Option<api::Notifications>,
}

/// The address of a path; braces and quotes of a query may stand in it as they are.
fn uri(path: &str) -> String {
    format!("/api/v1/{path}").replace('{', "%7B").replace('}', "%7D").replace('"', "%22")
}

/// What came back.
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
}

impl Api {
    pub fn new() -> Self {
        Self::with(ApiOptions::default())
    }

    pub fn with(options: ApiOptions) -> Self {
        Self::over(Arc::new(MemorySource::new(samples())), options, EngineOptions::default())
    }

    pub fn over(series: Arc<dyn SeriesSource>, options: ApiOptions, engine: EngineOptions) -> Self {
        Self::build(series, Inspect::all(Arc::new(FakeInspect)), options, engine)
    }

    /// Without series, rules, targets.
    pub fn empty() -> Self {
        Self::build(
            Arc::new(MemorySource::default()),
            Inspect::default(),
            ApiOptions::default(),
            EngineOptions::default(),
        )
    }

    /// As a scraping server has it.
    pub fn server(admin: bool) -> (Self, Arc<server::FakeServer>) {
        let fake = Arc::<server::FakeServer>::default();
        let metrics = Metrics::new();
        let parts = fake.parts(admin, &metrics);
        let series = Arc::new(MemorySource::new(samples()));
        let inspect = Inspect::all(Arc::new(FakeInspect));
        let options = ApiOptions { component: "server".to_owned(), ..ApiOptions::default() };
        (Self::made(series, inspect, (options, EngineOptions::default()), metrics, Some(parts)), fake)
    }

    fn build(series: Arc<dyn SeriesSource>, inspect: Inspect, options: ApiOptions, engine: EngineOptions) -> Self {
        Self::made(series, inspect, (options, engine), Metrics::new(), None)
    }

    fn made(
        series: Arc<dyn SeriesSource>,
        inspect: Inspect,
        (options, engine): (ApiOptions, EngineOptions),
        metrics: Metrics,
        server: Option<ServerParts>,
    ) -> Self {
        let source = Arc::new(Source { series, asked: Mutex::default(), tenant: Arc::default() });
        let budget = Budget::unlimited();
        let notifications = server.as_ref().map(|server| server.notifications.clone());
        let router = router(ApiState {
            evaluator: Arc::new(LocalEvaluator::new(Engine::new(engine.clone()), source.clone())),
            source: source.clone(),
            inspect,
            stores: Arc::new(stores),
            flags: Arc::new(vec![("query.timeout".into(), "2m".into()), ("log.level".into(), "info".into())]),
            build: BuildInfo { version: "0.1.0", revision: "abc", branch: "main", rustc: "1.95.0" },
            options: Arc::new(ApiOptions { engine, ..options }),
            metrics: metrics.clone(),
            clock: Arc::new(FakeClock::at(NOW_MS)),
            budget: budget.clone(),
            server,
        });
        Self { router, source, metrics, budget, notifications }
    }

    pub async fn send(&self, request: Request<Body>) -> Got {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Got { status: parts.status, headers: parts.headers, body }
    }

    /// The answer, its body not yet read.
    pub async fn unread(&self, path: &str) -> http::Response<Body> {
        let request = Request::get(uri(path)).body(Body::empty()).unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Request::get(uri(path)).body(Body::empty()).unwrap()).await
    }

    pub async fn put(&self, path: &str) -> Got {
        self.send(Request::put(uri(path)).body(Body::empty()).unwrap()).await
    }

    pub async fn post(&self, path: &str, form: &str) -> Got {
        let request = Request::post(uri(path))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from(form.to_owned()));
        self.send(request.unwrap()).await
    }

    /// What the last request asked the source for.
    pub fn asked(&self) -> ReadOptions {
        self.source.asked.lock().unwrap().last().unwrap().clone()
    }
}

/// Three series of five minutes up to [`NOW_MS`], a sample each 15 s.
pub fn samples() -> Vec<storage::Series> {
    let times = || (0..=20).map(|i| NOW_MS - 300_000 + i * 15_000);
    let counter = |per_step: f64| times().enumerate().map(|(i, t)| (t, i as f64 * per_step)).collect::<Vec<_>>();
    vec![
        series(&[("__name__", "up"), ("job", "a"), ("tenant_id", "x")], &times().map(|t| (t, 1.0)).collect::<Vec<_>>()),
        series(&[("__name__", "up"), ("job", "b"), ("tenant_id", "y")], &times().map(|t| (t, 0.5)).collect::<Vec<_>>()),
        series(&[("__name__", "requests_total"), ("job", "a"), ("service.name", "s\"1")], &counter(3.0)),
    ]
}

fn stores() -> StoresAnswer {
    let sidecar = |name: &str, last_error: Option<&str>| StoreStatus {
        component: "sidecar".into(),
        name: name.into(),
        last_check_ns: Some(NOW_MS * 1_000_000),
        last_error: last_error.map(str::to_owned),
        label_sets: vec![Labels::from_pairs([("replica", "a")])],
        min_time: 0,
        max_time: i64::MAX,
    };
    let store = StoreStatus { component: "store".into(), name: "s:10901".into(), ..StoreStatus::default() };
    StoresAnswer { stores: vec![sidecar("a:10901", None), store, sidecar("b:10901", Some("gone"))] }
}

#[derive(Debug)]
struct FakeInspect;

fn answer<T: Send + 'static>(value: T) -> BoxFuture<'static, storage::Result<Answer<T>>> {
    Box::pin(ready(Ok(value.into())))
}

impl RulesSource for FakeInspect {
    fn rules(&self, _: &Ctx, _: RulesQuery) -> BoxFuture<'static, storage::Result<Answer<Vec<RuleGroup>>>> {
        let rule = |name: &str, alert: Option<AlertRule>| Rule {
            name: name.into(),
            query: "up == 0".into(),
            labels: Labels::from_pairs([("severity", name)]),
            health: "ok".into(),
            last_error: String::new(),
            evaluation_s: 0.25,
            last_evaluation_ns: Some(NOW_MS * 1_000_000),
            alert,
        };
        let alert = AlertRule {
            state: AlertState::Firing,
            for_s: 60.0,
            keep_firing_for_s: 0.0,
            annotations: Labels::from_pairs([("summary", "{{ $labels.job }}")]),
            alerts: vec![AlertInstance {
                labels: Labels::from_pairs([("alertname", "Down")]),
                annotations: Labels::empty(),
                state: AlertState::Firing,
                active_at_ns: Some(NOW_MS * 1_000_000),
                keep_firing_since_ns: Some((NOW_MS + 5000) * 1_000_000),
                value: "1e+00".into(),
                partial_response: PartialResponse::Warn,
            }],
        };
        let group = |name: &str, rules| RuleGroup {
            name: name.into(),
            file: "/rules.yaml".into(),
            rules,
            interval_s: 30.0,
            limit: 0,
            evaluation_s: 0.5,
            last_evaluation_ns: None,
            partial_response: PartialResponse::Abort,
        };
        let mixed = vec![rule("Down", Some(alert)), rule("job:up", None)];
        answer(vec![group("g1", mixed), group("g2", vec![rule("other", None)])])
    }
}

impl TargetsSource for FakeInspect {
    fn targets(&self, _: &Ctx, _: TargetsQuery) -> BoxFuture<'static, storage::Result<Answer<Targets>>> {
        let target = |pool: &str| ActiveTarget {
            discovered_labels: Labels::from_pairs([("__address__", "h:1"), ("__scrape_interval__", "15s")]),
            labels: Labels::from_pairs([("job", pool)]),
            scrape_pool: pool.into(),
            scrape_url: "http://h:1/metrics".into(),
            global_url: "http://g:1/metrics".into(),
            last_error: String::new(),
            last_scrape_ns: Some(NOW_MS * 1_000_000),
            last_scrape_duration_s: 0.125,
            health: TargetHealth::Up,
        };
        let dropped = vec![Labels::from_pairs([("job", "b")]), Labels::from_pairs([("job", "b")])];
        Box::pin(ready(Ok(Answer {
            value: Targets { active: vec![target("a"), target("b")], dropped },
            warnings: vec!["c:10901: no answer".into()],
        })))
    }
}

impl MetadataSource for FakeInspect {
    fn metadata(&self, _: &Ctx, _: MetadataQuery) -> BoxFuture<'static, storage::Result<Answer<MetadataByMetric>>> {
        let entry = |help: &str| MetricMetadata { metric_type: "gauge".into(), help: help.into(), unit: String::new() };
        let all = [("b", vec![entry("B")]), ("a", vec![entry("A"), entry("A too")])];
        answer(all.into_iter().map(|(name, entries)| (name.to_owned(), entries)).collect())
    }
}

impl ExemplarsSource for FakeInspect {
    fn exemplars(
        &self,
        _: &Ctx,
        want: ExemplarsQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<Vec<ExemplarSeries>>>> {
        assert_eq!(want.selectors.len(), 1);
        answer(vec![ExemplarSeries {
            labels: Labels::from_pairs([("__name__", "x"), ("query", want.query.as_str())]),
            exemplars: vec![Exemplar {
                labels: Labels::from_pairs([("trace_id", "7")]),
                value: 6.0,
                timestamp_ms: NOW_MS + 479,
            }],
        }])
    }
}

impl StatisticsSource for FakeInspect {
    fn statistics(
        &self,
        _: &Ctx,
        want: StatisticsQuery,
    ) -> BoxFuture<'static, storage::Result<Answer<StatisticsByTenant>>> {
        assert!(want.limit > 0);
        let one = |n: u64| TsdbStatistics {
            num_series: n,
            num_label_pairs: 2,
            chunk_count: 3,
            min_time: n as i64,
            max_time: 10 + n as i64,
            series_count_by_metric_name: vec![("up".into(), n), (format!("only{n}"), 1)],
            ..TsdbStatistics::default()
        };
        answer([("x".to_owned(), one(5)), ("y".to_owned(), one(7))].into())
    }
}
