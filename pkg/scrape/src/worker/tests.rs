//! Scrapes without a network: answers in, the store's content out.

use std::sync::atomic::{AtomicU64, Ordering};

use labels::{Labels, MatchType, Matcher};
use memory_store::{MemoryStore, MemoryStoreOptions};
use model::{FakeClock, TargetGroup, TimeRange, is_stale};
use storage::append::Appendable;
use storage::{Budget, ChunkData, PartialResponse};

use super::*;
use crate::config::{GlobalConfig, ScrapeConfig};
use crate::job::Shared;
use crate::metrics::ScrapeMetrics;
use crate::options::{Deps, Options, StartTimes};
use crate::target::{Relabelled, relabel};

const T0: i64 = 1_700_000_000_000;

struct Scraped {
    store: MemoryStore,
    metrics: telemetry::Metrics,
    worker: Worker,
    time_ms: i64,
}

fn shared(options: Options, store: &MemoryStore, metrics: &telemetry::Metrics) -> Arc<Shared> {
    let deps = Deps {
        appendable: Arc::new(store.clone()),
        clock: Arc::new(FakeClock::at(T0)),
        metrics: metrics.clone(),
        budget: Budget::unlimited(),
    };
    Arc::new(Shared {
        metrics: ScrapeMetrics::new(metrics),
        options,
        deps,
        interner: Arc::default(),
        shutdown: tokio_util::sync::CancellationToken::new(),
    })
}

fn job(config: &str, shared: Arc<Shared>) -> (Arc<Job>, Arc<Target>) {
    let text = format!("{{job_name: j, {config}}}");
    let config = ScrapeConfig::from_node(&yaml::parse(&text).unwrap(), &GlobalConfig::default()).unwrap();
    let labels = Labels::from_pairs([("__address__", "a:80"), ("instance", "i")]);
    let Relabelled::Target(target) = relabel(&config, &labels, &TargetGroup::default()) else { panic!("a target") };
    let client = Job::http(&config).build().unwrap();
    (Arc::new(Job::new(config, client, shared, None)), Arc::new(target))
}

impl Scraped {
    fn new(config: &str, options: Options) -> Self {
        Self::with_store(config, options, MemoryStore::new(MemoryStoreOptions::default()))
    }

    fn with_store(config: &str, options: Options, store: MemoryStore) -> Self {
        let metrics = telemetry::Metrics::new();
        let (job, target) = job(config, shared(options, &store, &metrics));
        let worker = Worker::new(job, target, Arc::default());
        Self { store, metrics, worker, time_ms: T0 }
    }

    /// A scrape, a second after the one before; gives the target's last error.
    async fn scrape_as(&mut self, content_type: &str, body: &str) -> String {
        let answer = Answer { body: body.into(), content_type: content_type.to_owned(), _held: None };
        self.answer(Ok(answer)).await
    }

    async fn scrape(&mut self, body: &str) -> String {
        self.scrape_as("text/plain", body).await
    }

    async fn answer(&mut self, answer: Result<Answer, FetchError>) -> String {
        self.time_ms += 1000;
        self.worker.store(answer, self.time_ms, Instant::now()).await;
        self.worker.status.last.lock().error.clone()
    }

    /// All series but `scrape_…`, without the target's labels; times in seconds since the first scrape.
    async fn stored(&self) -> Vec<String> {
        let all = dump(&self.store).await;
        let own = all.into_iter().filter(|line| !line.starts_with("scrape_") && !line.starts_with("up "));
        own.map(|line| {
            line.replace("instance=\"i\", job=\"j\"", "-").replace("-, ", "").replace(", -", "").replace("{-}", "{}")
        })
        .collect()
    }

    async fn reported(&self, name: &str) -> String {
        let all = dump(&self.store).await;
        all.into_iter().find(|line| line.starts_with(name)).unwrap_or_default()
    }

    fn count(&self, metric: &str) -> u64 {
        let text = self.metrics.encode();
        let line = text.lines().find(|line| line.starts_with(&format!("{metric} "))).unwrap_or_default();
        line.rsplit(' ').next().and_then(|n| n.parse().ok()).map_or(u64::MAX, |n: f64| n as u64)
    }
}

fn shown(value: f64) -> String {
    if is_stale(value) { "stale".to_owned() } else { value.to_string() }
}

async fn dump(store: &MemoryStore) -> Vec<String> {
    let mut out = Vec::new();
    for series in crate::testing::series(store, ".*").await {
        let mut samples: Vec<(i64, String)> = Vec::new();
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("a raw chunk") };
            let (mut floats, mut histograms) = (chunkenc::Column::new(), chunkenc::HistogramColumn::default());
            if raw.encoding.is_histogram() {
                chunkenc::decode_histograms(raw.encoding, &raw.data, &mut histograms).unwrap();
                let shown = |h: &histogram::FloatHistogram| match is_stale(h.sum) {
                    true => "stale histogram".to_owned(),
                    false => format!("h(schema={} count={} sum={})", h.schema, h.count, h.sum),
                };
                samples.extend(histograms.times.iter().copied().zip(histograms.values.iter().map(shown)));
            } else {
                chunkenc::decode_floats(raw.encoding, &raw.data, &mut floats).unwrap();
                samples.extend(floats.iter().map(|(t, v)| (t, shown(v))));
            }
        }
        samples.sort_by_key(|(t, _)| *t);
        let samples: Vec<String> = samples.iter().map(|(t, v)| format!("{v}@{}", (t - T0) as f64 / 1000.0)).collect();
        let labels = series.labels.without(&["__name__"]);
        out.push(format!("{} {labels} {}", series.labels.metric_name(), samples.join(" ")));
    }
    out
}

#[tokio::test]
async fn a_scrape() {
    let mut s = Scraped::new("", Options::default());
    assert_eq!(s.scrape("# TYPE a counter\na 1\nb{x=\"y\"} 2.5\nb{x=\"z\",job=\"k\"} NaN\n").await, "");
    assert_eq!(s.scrape("a 2\nb{x=\"y\"} 3\nc 4\n").await, "");
    assert_eq!(
        s.stored().await,
        ["a {} 1@1 2@2", "b {exported_job=\"k\", x=\"z\"} NaN@1 stale@2", "b {x=\"y\"} 2.5@1 3@2", "c {} 4@2",]
    );
    for (name, want) in [
        ("up", "up {instance=\"i\", job=\"j\"} 1@1 1@2"),
        ("scrape_samples_scraped", "scrape_samples_scraped {instance=\"i\", job=\"j\"} 3@1 3@2"),
        ("scrape_series_added", "scrape_series_added {instance=\"i\", job=\"j\"} 3@1 1@2"),
    ] {
        assert_eq!(s.reported(name).await, want);
    }
    assert_eq!(s.reported("scrape_timeout_seconds").await, "");
    assert_eq!(s.count("aion_scrape_cache_entries"), 3);
}

#[tokio::test]
async fn failed_scrapes_end_all_series_and_good_ones_go_on() {
    let mut s = Scraped::new("", Options::default());
    s.scrape("a 1\nb 1\n").await;
    let timeout = FetchError::Timeout { url: "http://a".to_owned(), timeout: "10s".to_owned() };
    assert!(s.answer(Err(timeout)).await.contains("context deadline exceeded"));
    // Nothing of a body that is cut short is stored; no marker is written twice.
    assert!(s.scrape("a 2\nb 2\nc{").await.contains("line 3: expected a label name"));
    assert_eq!(s.scrape("a 3\nb 3\n").await, "");
    assert!(s.scrape_as("text/html", "a 4\n").await.contains("unsupported Content-Type"));
    assert_eq!(s.scrape("b 5\n").await, "");
    assert_eq!(s.stored().await, ["a {} 1@1 stale@2 3@4 stale@5", "b {} 1@1 stale@2 3@4 stale@5 5@6"]);
    assert_eq!(s.reported("up").await, "up {instance=\"i\", job=\"j\"} 1@1 0@2 0@3 1@4 0@5 1@6");
    let added = s.reported("scrape_series_added").await;
    assert_eq!(added, "scrape_series_added {instance=\"i\", job=\"j\"} 2@1 0@2 0@3 0@4 0@5 0@6");
    assert_eq!(s.count("prometheus_target_scrapes_sample_duplicate_timestamp_total"), 0);
}

/// Series of scrapes that fail are added once, as those of others are.
#[tokio::test]
async fn series_of_failed_scrapes_are_added_once() {
    let mut s = Scraped::new("sample_limit: 3", Options::default());
    for body in ["a 1\nb 1\nc{", "a 1\nb 1\nc{", "", "a 1\nb 1\nc 1\nd 1\n", "a 1\nb 1\nd 1\ne 1\n", "c 1\ne 1\n"] {
        s.scrape(body).await;
    }
    s.scrape("").await;
    s.scrape("c 1\ne 1\n").await;
    let added = s.reported("scrape_series_added").await;
    assert_eq!(added, "scrape_series_added {instance=\"i\", job=\"j\"} 2@1 0@2 0@3 1@4 1@5 1@6 0@7 0@8");
    assert_eq!(s.reported("up").await, "up {instance=\"i\", job=\"j\"} 0@1 0@2 1@3 0@4 0@5 1@6 1@7 1@8");
    assert_eq!(s.stored().await, ["c {} 1@6 stale@7 1@8", "e {} 1@6 stale@7 1@8"]);
}

#[tokio::test]
async fn relabelling_and_limits() {
    let rules = "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: 'go_.*'}]";
    let mut s = Scraped::new(&format!("{rules}, sample_limit: 2, label_limit: 4"), Options::default());
    assert_eq!(s.scrape("go_a 1\na 1\ngo_b 1\nb 1\n").await, "");
    let error = s.scrape("a 2\nb 2\nc 2\ngo_a 1\n").await;
    assert!(error.contains("sample limit exceeded: 3 samples after relabelling, sample_limit is 2"), "{error}");
    assert_eq!(s.count("prometheus_target_scrapes_exceeded_sample_limit_total"), 1);
    let scraped = s.reported("scrape_samples_scraped").await;
    assert_eq!(scraped, "scrape_samples_scraped {instance=\"i\", job=\"j\"} 4@1 4@2");
    let kept = s.reported("scrape_samples_post_metric_relabeling").await;
    assert_eq!(kept, "scrape_samples_post_metric_relabeling {instance=\"i\", job=\"j\"} 2@1 3@2");
    let error = s.scrape("a{x=\"1\",y=\"2\"} 1\n").await;
    assert_eq!(error, "label_limit exceeded (metric: a, number of labels: 5, limit: 4)");
    assert_eq!(s.count("prometheus_target_scrape_pool_exceeded_label_limits_total"), 1);
    assert_eq!(s.stored().await, ["a {} 1@1 stale@2", "b {} 1@1 stale@2"]);
    assert_eq!(s.worker.cache.len(), 4, "what failed scrapes brought is forgotten");
}

#[tokio::test]
async fn timestamps() {
    let body = |t: i64| format!("a 1 {}\na 2 {}\nb 1\n", T0 + t, T0 + t + 1);
    let mut s = Scraped::new("", Options::default());
    assert_eq!(s.scrape(&body(500)).await, "");
    assert_eq!(s.scrape("b 2\n").await, "");
    // Series with timestamps of their own get no markers; several in one scrape are fine.
    assert_eq!(s.stored().await, ["a {} 1@0.5 2@0.501", "b {} 1@1 2@2"]);
    // One with and one without a timestamp: the second is refused.
    assert_eq!(s.scrape("b 3\nb 4\n").await, "");
    assert_eq!(s.count("prometheus_target_scrapes_sample_duplicate_timestamp_total"), 1);
    s.scrape(&format!("b 5 {}\nc 1 {}\n", T0 + 1, T0 + 700_000)).await;
    assert_eq!(s.count("prometheus_target_scrapes_sample_out_of_order_total"), 1);
    assert_eq!(s.count("prometheus_target_scrapes_sample_out_of_bounds_total"), 1);

    let mut s = Scraped::new("track_timestamps_staleness: true", Options::default());
    s.scrape(&body(500)).await;
    s.scrape("b 2\n").await;
    assert_eq!(s.stored().await, ["a {} 1@0.5 2@0.501 stale@2", "b {} 1@1 2@2"]);

    let mut s = Scraped::new("honor_timestamps: false", Options::default());
    s.scrape("a 1 5\n").await;
    assert_eq!(s.stored().await, ["a {} 1@1"]);
}

/// A store whose references of one epoch are unknown in the next one.
#[derive(Debug)]
struct Forgetful {
    store: MemoryStore,
    epoch: Arc<AtomicU64>,
}

#[derive(Debug)]
struct ForgetfulAppender {
    appender: Box<dyn Appender>,
    epoch: u64,
}

const EPOCH: u64 = 1 << 32;

impl Appendable for Forgetful {
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender> {
        let epoch = self.epoch.load(Ordering::SeqCst) * EPOCH;
        Box::new(ForgetfulAppender { appender: self.store.appender(ctx, options), epoch })
    }
}

impl ForgetfulAppender {
    fn translated(&self, series: &[SeriesRef]) -> Vec<SeriesRef> {
        let known =
            |s: &SeriesRef| if s.0 / EPOCH == self.epoch / EPOCH { SeriesRef(s.0 % EPOCH) } else { SeriesRef(EPOCH) };
        series.iter().map(known).collect()
    }
}

impl Appender for ForgetfulAppender {
    fn resolve(
        &mut self,
        series: &[&[(&str, &str)]],
    ) -> storage::Result<Vec<Result<SeriesRef, storage::append::SeriesRefusal>>> {
        let found = self.appender.resolve(series)?;
        Ok(found.into_iter().map(|found| found.map(|s| SeriesRef(s.0 + self.epoch))).collect())
    }
    fn floats(&mut self, rows: Floats<'_>) -> storage::Result<Vec<storage::append::Refused>> {
        let series = self.translated(rows.series);
        self.appender.floats(Floats { series: &series, ..rows })
    }
    fn histograms(&mut self, rows: Histograms<'_>) -> storage::Result<Vec<storage::append::Refused>> {
        let series = self.translated(rows.series);
        self.appender.histograms(Histograms { series: &series, ..rows })
    }
    fn exemplars(&mut self, rows: storage::append::Exemplars<'_>) -> storage::Result<Vec<storage::append::Refused>> {
        self.appender.exemplars(rows)
    }
    fn metadata(&mut self, rows: storage::append::Metadata<'_>) -> storage::Result<Vec<storage::append::Refused>> {
        self.appender.metadata(rows)
    }
    fn commit(
        self: Box<Self>,
    ) -> futures::future::BoxFuture<'static, Result<storage::append::Committed, storage::append::CommitError>> {
        self.appender.commit()
    }
    fn rollback(self: Box<Self>) {
        self.appender.rollback();
    }
}

/// A store that has forgotten series gets their labels again, in the same scrape.
#[tokio::test]
async fn forgotten_series_are_resolved_again() {
    let mut s = Scraped::new("", Options::default());
    let epoch = Arc::new(AtomicU64::new(1));
    let store = Arc::new(Forgetful { store: s.store.clone(), epoch: epoch.clone() });
    let before = shared(Options::default(), &s.store, &s.metrics);
    let deps = Deps { appendable: store, ..before.deps.clone() };
    let forgetful = Arc::new(Shared {
        deps,
        options: Options::default(),
        metrics: before.metrics.clone(),
        interner: Arc::default(),
        shutdown: before.shutdown.clone(),
    });
    let (job, target) = job("", forgetful);
    s.worker.reconfigure(job, target);
    s.scrape("a 1\nb 1\nc 1\n").await;
    epoch.store(2, Ordering::SeqCst);
    assert_eq!(s.scrape("a 2\nb 2\nd 2\n").await, "");
    // The marker of a series that the store has forgotten cannot be written.
    assert_eq!(s.stored().await, ["a {} 1@1 2@2", "b {} 1@1 2@2", "c {} 1@1", "d {} 2@2"]);
    assert!(s.reported("up").await.ends_with(" 1@1 1@2"));
    assert_eq!(s.scrape("a 3\nb 3\n").await, "");
    assert_eq!(s.stored().await[3], "d {} 2@2 stale@3");
}

#[tokio::test]
async fn many_series_in_batches() {
    let mut s = Scraped::new("", Options::default());
    let body = |n: usize, v: usize| (0..n).map(|i| format!("m{{i=\"{i}\"}} {v}\n")).collect::<String>();
    let n = 2 * ROWS_MAX + 10;
    assert_eq!(s.scrape(&body(n, 1)).await, "");
    assert_eq!(s.scrape(&body(n, 2)).await, "");
    assert_eq!(s.scrape(&body(5, 3)).await, "");
    let stored = s.stored().await;
    assert_eq!(stored.len(), n);
    assert_eq!(stored.iter().filter(|line| line.ends_with(" 1@1 2@2 stale@3")).count(), n - 5);
    assert_eq!(s.worker.cache.len(), 5);
}

#[tokio::test]
async fn histograms() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n# EOF\n";
    let openmetrics = "application/openmetrics-text";
    let mut s = Scraped::new("convert_classic_histograms_to_nhcb: true", Options::default());
    assert_eq!(s.scrape_as(openmetrics, body).await, "");
    assert_eq!(s.scrape_as(openmetrics, "# EOF\n").await, "");
    assert_eq!(s.stored().await, ["h {} h(schema=-53 count=3 sum=4)@1 stale histogram@2"]);
    let mut s =
        Scraped::new("convert_classic_histograms_to_nhcb: true, native_histogram_bucket_limit: 1", Options::default());
    let error = s.scrape_as(openmetrics, body).await;
    assert!(error.contains("bucket limit exceeded: h{} has 2 buckets"), "{error}");
    assert_eq!(s.count("prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total"), 1);
}

#[tokio::test]
async fn start_times() {
    let body = |v: u32, created: i64| {
        format!("# TYPE a counter\na_total {v}\na_created {}\n# EOF\n", (T0 + created) as f64 / 1000.0)
    };
    let openmetrics = "application/openmetrics-text";
    let zeros = Options { start_times: StartTimes::ZeroSamples, ..Options::default() };
    let mut s = Scraped::new("", zeros);
    for (v, created) in [(1, 500), (2, 500), (1, 2500)] {
        assert_eq!(s.scrape_as(openmetrics, &body(v, created)).await, "");
    }
    assert_eq!(s.stored().await, ["a_total {} 0@0.5 1@1 2@2 0@2.5 1@3"]);
    let mut s = Scraped::new("", Options::default());
    s.scrape_as(openmetrics, &body(1, 500)).await;
    assert_eq!(s.stored().await.len(), 2, "without it `_created` is a series");
}

#[tokio::test]
async fn exemplars_metadata_type_and_unit() {
    use storage::{ExemplarsQuery, ExemplarsSource, MetadataQuery, MetadataSource};
    let options = Options { exemplars: true, metadata: true, type_and_unit_labels: true, ..Options::default() };
    let mut s = Scraped::new("", options);
    let body = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds Help.\n\
                a_seconds_total 1 # {id=\"x\"} 0.5\nb 1\n# EOF\n";
    assert_eq!(s.scrape_as("application/openmetrics-text", body).await, "");
    assert_eq!(s.stored().await, ["a_seconds_total {__type__=\"counter\", __unit__=\"seconds\"} 1@1", "b {} 1@1"]);
    // With another type it is another series, and the one before ends.
    s.scrape_as("application/openmetrics-text", &body.replace("counter", "gauge").replace("_total", "")).await;
    assert_eq!(s.stored().await[1], "a_seconds_total {__type__=\"counter\", __unit__=\"seconds\"} 1@1 stale@2");
    let all = Matcher::new(MatchType::Equal, "__name__", "a_seconds_total").unwrap();
    let want = ExemplarsQuery {
        query: String::new(),
        selectors: vec![vec![all]],
        range: TimeRange::ALL,
        partial_response: PartialResponse::Abort,
    };
    let found = s.store.exemplars(&Ctx::background(), want).await.unwrap().value;
    assert_eq!((found.len(), found[0].exemplars[0].timestamp_ms), (1, T0 + 1000));
    let metadata = s.store.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
    assert_eq!(metadata["a_seconds"].iter().map(|m| m.help.as_str()).collect::<Vec<_>>(), ["Help.", "Help."]);
}

#[tokio::test]
async fn the_end_of_a_target() {
    let mut s = Scraped::new("", Options::default());
    s.scrape("a 1\nb 1\n").await;
    // Another target goes on with one of the series.
    let mut appender = s.store.appender(&Ctx::background(), AppendOptions::default());
    let series = appender.resolve(&[&[("__name__", "a"), ("instance", "i"), ("job", "j")]]).unwrap();
    let floats =
        Floats { series: &[series[0].clone().unwrap()], times_ms: &[T0 + 3000], values: &[2.0], starts_ms: &[] };
    assert!(appender.floats(floats).unwrap().is_empty());
    appender.commit().await.unwrap();
    s.worker.end(T0 + 2000).await;
    assert_eq!(s.stored().await, ["a {} 1@1 2@3", "b {} 1@1 stale@2"]);
    assert_eq!(s.reported("up").await, "up {instance=\"i\", job=\"j\"} 1@1 stale@2");
}

#[tokio::test]
async fn another_configuration() {
    let mut s = Scraped::new("", Options::default());
    s.scrape("a 1\ngo_b 1\n").await;
    let rules = "metric_relabel_configs: [{action: drop, source_labels: [__name__], regex: 'go_.*'}]";
    let (job, target) = job(rules, s.worker.job.shared.clone());
    s.worker.reconfigure(job, target);
    assert_eq!(s.scrape("a 2\ngo_b 2\n").await, "");
    assert_eq!(s.stored().await, ["a {} 1@1 2@2", "go_b {} 1@1 stale@2"]);
}

/// A series whose samples are refused, or whose scrapes fail, still ends with a marker when it disappears.
#[tokio::test]
async fn markers_come_after_refusals_and_failures_too() {
    let mut s = Scraped::new("track_timestamps_staleness: true", Options::default());
    assert_eq!(s.scrape("a 1\nb 1\n").await, "");
    // A duplicate, and a sample that is out of order.
    assert_eq!(s.scrape(&format!("a 2\na 3\nb 2 {}\n", T0)).await, "");
    assert_eq!(s.count("prometheus_target_scrapes_sample_duplicate_timestamp_total"), 1);
    assert_eq!(s.count("prometheus_target_scrapes_sample_out_of_order_total"), 1);
    assert_eq!(s.scrape("c 1\n").await, "");
    assert_eq!(s.stored().await, ["a {} 1@1 2@2 stale@3", "b {} 1@1 stale@3", "c {} 1@3"]);
    s.answer(Err(FetchError::Status("500".to_owned()))).await;
    assert_eq!(s.scrape("a 5\n").await, "");
    assert_eq!(s.scrape("").await, "");
    let stored = s.stored().await;
    assert_eq!(stored[0], "a {} 1@1 2@2 stale@3 5@5 stale@6");
    assert_eq!(stored[2], "c {} 1@3 stale@4");
}

/// Samples of one series with a timestamp and without one do not go together; several with different ones do.
#[tokio::test]
async fn timestamps_are_not_mixed() {
    let mut s = Scraped::new("", Options::default());
    assert_eq!(s.scrape(&format!("a 1 {}\na 2\n", T0 + 500)).await, "");
    assert_eq!(s.stored().await, ["a {} 1@0.5"]);
    assert_eq!(s.count("prometheus_target_scrapes_sample_duplicate_timestamp_total"), 1);
}

/// Labels that have the same bytes one after the other are different labels.
#[tokio::test]
async fn series_are_told_apart_by_more_than_their_bytes() {
    let mut s = Scraped::new("", Options::default());
    assert_eq!(s.scrape("m{a=\"bc\"} 1\nm{ab=\"c\"} 2\nma{b=\"c\"} 3\n").await, "");
    assert_eq!(s.scrape("ma{b=\"c\"} 6\nm{ab=\"c\"} 5\nm{a=\"bc\"} 4\n").await, "");
    assert_eq!(s.stored().await, ["m {a=\"bc\"} 1@1 4@2", "m {ab=\"c\"} 2@1 5@2", "ma {b=\"c\"} 3@1 6@2"]);
    assert_eq!(s.worker.cache.len(), 3);
}

/// What a job says of histograms holds from the first scrape on, and from a reload on.
#[tokio::test]
async fn options_of_histograms_hold_at_once() {
    let body = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n# EOF\n";
    let openmetrics = "application/openmetrics-text";
    let mut s = Scraped::new("", Options::default());
    s.scrape_as(openmetrics, body).await;
    assert_eq!(s.stored().await.len(), 3);
    let (job, target) = job("convert_classic_histograms_to_nhcb: true", s.worker.job.shared.clone());
    s.worker.reconfigure(job, target);
    assert_eq!(s.scrape_as(openmetrics, body).await, "");
    let stored = s.stored().await;
    assert!(
        stored[0].starts_with("h {} h(schema=-53") && stored[1..].iter().all(|l| l.ends_with("stale@2")),
        "{stored:?}"
    );
}

#[tokio::test]
async fn extra_metrics() {
    let mut s = Scraped::new("extra_scrape_metrics: true, sample_limit: 7", Options::default());
    s.scrape("a 1\n").await;
    s.answer(Err(FetchError::TooLarge(5))).await;
    for (name, want) in [
        ("scrape_timeout_seconds", "10@1 10@2"),
        ("scrape_sample_limit", "7@1 7@2"),
        ("scrape_body_size_bytes", "4@1 -1@2"),
    ] {
        assert!(s.reported(name).await.ends_with(want), "{name}: {}", s.reported(name).await);
    }
    assert_eq!(s.count("prometheus_target_scrapes_exceeded_body_size_limit_total"), 1);
}
