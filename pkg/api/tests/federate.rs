//! `/federate`: which samples, in which form.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::federate::{Federation, FederationOptions, FederationSource};
use axum::Router;
use axum::body::Body;
use chunkenc::{Encoding, FloatHistogramAppender, ResetFlag};
use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, Span};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use labels::Labels;
use model::{FakeClock, stale_nan};
use storage::{Budget, Chunk, MemorySource, Series};
use telemetry::Metrics;
use testkit::series;
use textparse::{Entry, Format, NativeHistogram, Options, Parser};
use tower::ServiceExt;

const NOW_MS: i64 = 1_700_000_000_000;
const PROTO: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

struct Rig {
    router: Router,
    ready: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Rig {
    fn new(data: Vec<Series>, external: &'static [(&'static str, &'static str)]) -> Self {
        Self::with(data, external, 0, Budget::unlimited())
    }

    fn with(
        data: Vec<Series>,
        external: &'static [(&'static str, &'static str)],
        series_max: usize,
        budget: Arc<Budget>,
    ) -> Self {
        let (ready, metrics) = (Arc::new(AtomicBool::new(true)), Metrics::new());
        let is_ready = ready.clone();
        let source = FederationSource {
            series: Arc::new(MemorySource::new(data)),
            external: Arc::new(|| Labels::from_pairs(external.iter().copied())),
            ready: Arc::new(move || is_ready.load(Ordering::SeqCst)),
        };
        let options = FederationOptions { lookback_ms: 300_000, parse: Default::default(), series_max };
        let clock = Arc::new(FakeClock::at(NOW_MS));
        Self { router: Federation::new(source, options, clock, budget, &metrics).router(), ready, metrics }
    }

    async fn get(&self, query: &str, accept: &str) -> (StatusCode, HeaderMap, Vec<u8>) {
        let query = query.replace('{', "%7B").replace('}', "%7D").replace('"', "%22").replace('+', "%2b");
        let request = Request::get(format!("/federate?{query}")).header("accept", accept).body(Body::empty()).unwrap();
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
    }

    async fn text(&self, query: &str) -> String {
        let (status, headers, body) = self.get(query, "text/plain;version=0.0.4;escaping=allow-utf-8").await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{query}: {body}");
        assert_eq!(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8");
        body
    }
}

fn data() -> Vec<Series> {
    let ago = |seconds: i64| NOW_MS - 1000 * seconds;
    let mut all = vec![
        series(&[("__name__", "a"), ("instance", "h:1"), ("job", "x")], &[(ago(60), 1.0), (ago(30), 2_500_000.0)]),
        series(&[("__name__", "a"), ("instance", "h:2"), ("job", "x")], &[(ago(301), 7.0), (ago(300), f64::NAN)]),
        series(&[("__name__", "bare")], &[(ago(0), -0.25)]),
        series(&[("__name__", "ended"), ("job", "x")], &[(ago(60), 1.0), (ago(30), stale_nan())]),
        series(&[("__name__", "old"), ("job", "x")], &[(ago(301), 1.0)]),
        series(&[("__name__", "to.come"), ("sité", "a\"b\\\n")], &[(ago(10), 3.0), (ago(-10), 4.0)]),
        series(&[("job", "nameless")], &[(ago(1), 1.0)]),
        // In the order of labels this comes before all others.
        series(&[("Zone", "z"), ("__name__", "a")], &[(ago(1), 9.0)]),
    ];
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

#[tokio::test]
async fn the_latest_samples_sorted_by_name() {
    let rig = Rig::new(data(), &[]);
    let ago = |seconds: i64| NOW_MS - 1000 * seconds;
    assert_eq!(rig.text("").await, "");
    assert_eq!(rig.text("match[]=none").await, "");
    assert_eq!(rig.text("match[]={}").await, "");
    let a = format!(
        "# TYPE a untyped\na{{Zone=\"z\",instance=\"\"}} 9 {}\na{{instance=\"h:1\",job=\"x\"}} 2.5e+06 {}\n\
         a{{instance=\"h:2\",job=\"x\"}} NaN {}\n",
        ago(1),
        ago(30),
        ago(300)
    );
    let bare = format!("# TYPE bare untyped\nbare{{instance=\"\"}} -0.25 {NOW_MS}\n");
    let to_come =
        format!("# TYPE \"to.come\" untyped\n{{\"to.come\",\"sité\"=\"a\\\"b\\\\\\n\",instance=\"\"}} 3 {}\n", ago(10));
    assert_eq!(rig.text("match[]=a").await, a);
    // What several selectors match comes once.
    assert_eq!(rig.text("match[]={Zone=\"z\"}&match[]=a&match[]=bare").await, format!("{a}{bare}"));
    assert_eq!(rig.text("match[]={__name__=~\".+\"}").await, format!("{a}{bare}{to_come}"));
    assert_eq!(rig.text("match[]={job=\"nameless\"}").await, "");
}

#[tokio::test]
async fn answers_are_compressed_where_that_is_accepted() {
    let rig = Rig::new(data(), &[]);
    let request =
        |encoding| Request::get("/federate?match[]=a").header("accept-encoding", encoding).body(Body::empty());
    let plain = rig.router.clone().oneshot(request("identity").unwrap()).await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.into_body().collect().await.unwrap().to_bytes();
    let packed = rig.router.clone().oneshot(request("gzip").unwrap()).await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.into_body().collect().await.unwrap().to_bytes();
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&*packed).read_to_end(&mut text).unwrap();
    assert_eq!(text, plain);
}

#[tokio::test]
async fn external_labels_are_added_to_those_without() {
    let rig = Rig::new(data(), &[("job", "mine"), ("region", "eu")]);
    let text = rig.text("match[]=a&match[]=bare").await;
    assert!(text.contains("a{instance=\"h:1\",job=\"x\",region=\"eu\"}"), "{text}");
    assert!(text.contains("bare{instance=\"\",job=\"mine\",region=\"eu\"}"), "{text}");
    let rig = Rig::new(data(), &[("instance", "me")]);
    assert!(rig.text("match[]=bare").await.contains("bare{instance=\"me\"}"));
}

#[tokio::test]
async fn what_is_refused() {
    let rig = Rig::with(data(), &[], 2, Budget::unlimited());
    for (query, status, text) in [
        ("match[]=a-b", 400, "parse error"),
        ("match[]=a&match[]={", 400, "parse error"),
        ("match[]={__name__=~\".+\"}", 422, "federation of more than 2 series"),
    ] {
        let (got, _, body) = rig.get(query, "*/*").await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(got.as_u16(), status, "{query}: {body}");
        assert!(body.contains(text), "{body}");
    }
    let costly = "match[]={a=~\"(.{100}){100}\"}&".repeat(200);
    let (status, _, body) = rig.get(&costly, "*/*").await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&body));
    let many = vec!["match[]=a"; 1001].join("&");
    assert_eq!(rig.get(&many, "*/*").await.0, 400);
    rig.ready.store(false, Ordering::SeqCst);
    assert_eq!(rig.get("match[]=bare", "*/*").await.0, 503);
    assert_eq!(rig.get("match[]={", "*/*").await.0, 400, "mistakes are told before");
    assert!(rig.metrics.encode().contains("prometheus_web_federation_errors_total 1\n"));
    let budget = Budget::new("federation", "--x", 100, None);
    let rig = Rig::with(data(), &[], 0, budget.clone());
    assert_eq!(rig.get("match[]={__name__=~\".+\"}", "*/*").await.0, 422);
    assert_eq!(budget.used_bytes(), 0);
}

fn native(time_ms: i64, name: &str, h: &FloatHistogram) -> Series {
    let mut appender = FloatHistogramAppender::new(ResetFlag::Unknown);
    appender.append(time_ms, h).unwrap();
    let chunk = Chunk::raw(time_ms, time_ms, Encoding::FloatHistogram, appender.to_vec().into());
    Series { labels: Labels::from_pairs([("__name__", name), ("instance", "i")]), chunks: vec![chunk] }
}

fn exponential() -> FloatHistogram {
    FloatHistogram {
        schema: 3,
        zero_threshold: 0.001,
        zero_count: 1.0,
        count: 7.5,
        sum: 12.25,
        positive_spans: vec![Span { offset: -2, length: 1 }, Span { offset: 1, length: 1 }],
        positive_buckets: vec![2.0, 3.5],
        negative_spans: vec![Span { offset: 4, length: 1 }],
        negative_buckets: vec![1.0],
        ..FloatHistogram::default()
    }
}

fn custom() -> FloatHistogram {
    FloatHistogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 6.0,
        sum: 3.0,
        positive_spans: vec![Span { offset: 0, length: 1 }, Span { offset: 1, length: 2 }],
        positive_buckets: vec![1.0, 2.0, 3.0],
        custom_values: vec![0.5, 1.0, 2.5],
        ..FloatHistogram::default()
    }
}

#[tokio::test]
async fn histograms_as_text() {
    let rig = Rig::new(vec![native(NOW_MS, "custom", &custom()), native(NOW_MS, "exponential", &exponential())], &[]);
    let text = rig.text("match[]={__name__=~\".+\"}").await;
    let line = |bound: &str, count: u32| format!("custom_bucket{{instance=\"i\",le=\"{bound}\"}} {count} {NOW_MS}\n");
    let wanted = format!(
        "# TYPE custom histogram\n{}{}{}{}custom_sum{{instance=\"i\"}} 3 {NOW_MS}\ncustom_count{{instance=\"i\"}} 6 {NOW_MS}\n",
        line("0.5", 1),
        line("1", 1),
        line("2.5", 3),
        line("+Inf", 6)
    );
    assert_eq!(text, wanted, "exponential buckets have no form in text");
    let (_, headers, body) = rig.get("match[]=custom", "application/openmetrics-text").await;
    assert_eq!(
        headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    );
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains("custom_bucket{instance=\"i\",le=\"1.0\"} 1.0 1700000000\n"), "{body}");
    assert!(body.ends_with("# EOF\n"));
}

fn shown(series: &textparse::Series<'_>) -> String {
    let named = ("__name__".to_owned(), series.name().into_owned());
    let pairs: Vec<_> = series.labels().map(|(n, v)| (n.into_owned(), v.into_owned())).chain([named]).collect();
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).to_string()
}

#[tokio::test]
async fn protobuf_reads_as_it_was() {
    let gauge = FloatHistogram { reset_hint: ResetHint::Gauge, ..exponential() };
    let mut all = data();
    all.extend([native(NOW_MS, "custom", &custom()), native(NOW_MS, "exponential", &exponential())]);
    all.push(native(NOW_MS, "gauge", &gauge));
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let rig = Rig::new(all, &[]);
    let (status, headers, body) = rig.get("match[]={__name__=~\".+\"}", &format!("{PROTO};escaping=allow-utf-8")).await;
    assert_eq!(status, 200);
    let kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; \
                escaping=allow-utf-8";
    assert_eq!(headers["content-type"], kind);
    let options = Options { keep_classic_histograms: true, ..Options::default() };
    let mut parser = Parser::new(&body, Format::Protobuf, options).unwrap();
    let (mut floats, mut histograms) = (Vec::new(), Vec::new());
    while parser.advance().unwrap() {
        match parser.entry() {
            Entry::Sample(s) => floats.push((shown(&s.series), s.value, s.timestamp_ms)),
            Entry::Histogram(h) => histograms.push((shown(&h.series), h.value.clone(), h.timestamp_ms)),
            _ => {}
        }
    }
    let found =
        |labels: &str| floats.iter().find(|(l, ..)| l == labels).unwrap_or_else(|| panic!("{labels}: {floats:?}"));
    assert_eq!(found(r#"{__name__="bare"}"#).1, -0.25);
    assert_eq!(found(r#"{__name__="to.come", "sité"="a\"b\\\n"}"#).2, Some(NOW_MS - 10_000));
    assert_eq!(found(r#"{__name__="custom_bucket", instance="i", le="2.5"}"#).1, 3.0);
    assert_eq!(found(r#"{__name__="custom_count", instance="i"}"#).1, 6.0);
    let wanted =
        [(r#"{__name__="exponential", instance="i"}"#, exponential()), (r#"{__name__="gauge", instance="i"}"#, gauge)];
    for ((labels, value, time), (wanted_labels, wanted)) in histograms.iter().zip(&wanted) {
        assert_eq!((labels.as_str(), *time), (*wanted_labels, Some(NOW_MS)));
        let NativeHistogram::Float(found) = value else { panic!("whole counts") };
        assert_eq!(found.as_ref(), wanted);
    }
    assert_eq!(histograms.len(), 2);
}

#[tokio::test]
async fn names_are_escaped_for_those_who_need_it() {
    let rig = Rig::new(data(), &[]);
    let (_, _, body) = rig.get("match[]={__name__=\"to.come\"}", "text/plain").await;
    let text = String::from_utf8(body).unwrap();
    assert!(text.starts_with("# TYPE to_come untyped\nto_come{sit_=\"a"), "{text}");
}

#[tokio::test]
async fn large_answers_come_whole() {
    let many =
        (0..5000).map(|i| series(&[("__name__", "m"), ("n", &format!("{i:05}"))], &[(NOW_MS, i as f64)])).collect();
    let rig = Rig::new(many, &[]);
    let text = rig.text("match[]=m").await;
    assert_eq!(text.lines().filter(|l| l.starts_with("m{")).count(), 5000);
    assert_eq!(text.matches("# TYPE").count(), 1);
}
