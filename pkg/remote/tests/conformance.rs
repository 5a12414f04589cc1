//! Remote read keeps to what every source of series must do: against a small server over series in memory that answers
//! as Prometheus does, in frames and in samples.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chunkenc::{Column, decode_floats};
use labels::{Labels, MatchType, Matcher};
use model::TimeRange;
use promclient::{ClientOptions, PromClient};
use prost::Message;
use proto::prometheus as wire;
use proto::prometheus_copy::{Label, Sample, TimeSeries};
use remote::{Identity, RemoteRead, RemoteReadOptions};
use storage::conformance::{self, EXTERNAL, Traits};
use storage::{ChunkData, Ctx, LabelQuery, MemorySource, Select, Series, SeriesSource, collect_series};
use transport::http::ClientConfig;

#[derive(Clone)]
struct Server {
    source: MemorySource,
    /// Answers in frames; else in samples.
    frames: bool,
}

impl Server {
    async fn found(&self, select: Select) -> Vec<Series> {
        collect_series(self.source.select(&Ctx::background(), select)).await.unwrap().value
    }
}

fn wire_labels(labels: &Labels) -> Vec<Label> {
    labels.iter().map(|(n, v)| Label { name: n.to_owned(), value: v.to_owned() }).collect()
}

fn frame(series: &Series) -> Vec<u8> {
    let chunks = series.chunks.iter().map(|chunk| {
        let ChunkData::Raw(raw) = &chunk.data else { panic!("not raw") };
        let (min_time_ms, max_time_ms) = (chunk.min_time, chunk.max_time);
        wire::Chunk { min_time_ms, max_time_ms, r#type: raw.encoding as i32, data: raw.data.clone() }
    });
    let series = wire::ChunkedSeries { labels: wire_labels(&series.labels), chunks: chunks.collect() };
    let message = wire::ChunkedReadResponse { chunked_series: vec![series], query_index: 0 }.encode_to_vec();
    let mut out = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend(crc32c::crc32c(&message).to_be_bytes());
    out.extend(message);
    out
}

fn in_samples(series: &Series, range: TimeRange) -> TimeSeries {
    let mut column = Column::new();
    for chunk in &series.chunks {
        let ChunkData::Raw(raw) = &chunk.data else { panic!("not raw") };
        decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
    }
    let inside = column.iter().filter(|(t, _)| (range.min..=range.max).contains(t));
    let samples = inside.map(|(timestamp, value)| Sample { timestamp, value }).collect();
    TimeSeries { labels: wire_labels(&series.labels), samples, ..TimeSeries::default() }
}

async fn read(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    let request = wire::ReadRequest::decode(Bytes::from(plain)).unwrap();
    let query = &request.queries[0];
    let matchers: Vec<_> = query.matchers.iter().map(matcher).collect();
    let range = TimeRange::new(query.start_timestamp_ms, query.end_timestamp_ms);
    let found = server.found(Select::new(range, matchers)).await;
    if server.frames {
        let content = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
        let body: Vec<u8> = found.iter().flat_map(frame).collect();
        return ([("Content-Type", content)], body).into_response();
    }
    let timeseries = found.iter().map(|s| in_samples(s, range)).collect();
    let answer = wire::ReadResponse { results: vec![wire::QueryResult { timeseries }] };
    let body = snap::raw::Encoder::new().compress_vec(&answer.encode_to_vec()).unwrap();
    ([("Content-Type", "application/x-protobuf")], body).into_response()
}

fn matcher(m: &wire::LabelMatcher) -> Matcher {
    let kinds = [MatchType::Equal, MatchType::NotEqual, MatchType::Regex, MatchType::NotRegex];
    Matcher::new(kinds[m.r#type as usize], m.name.as_str(), m.value.as_str()).unwrap()
}

/// `match[]`, `start`, `end`, `limit`.
fn asked(parameters: &str) -> (TimeRange, Vec<Matcher>, usize) {
    let url = reqwest::Url::parse(&format!("http://x/?{parameters}")).unwrap();
    let value = |name: &str| url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
    let time = |name: &str| (value(name).unwrap().parse::<f64>().unwrap() * 1000.0).round() as i64;
    let matchers = value("match[]").map(|m| promql_syntax::parse_series_matchers(&m).unwrap()).unwrap_or_default();
    let limit = value("limit").map_or(0, |l| l.parse().unwrap());
    (TimeRange::new(time("start"), time("end")), matchers, limit)
}

fn data(value: impl serde::Serialize) -> Response {
    axum::Json(serde_json::json!({ "status": "success", "data": value })).into_response()
}

fn text(query: RawQuery, body: Bytes) -> String {
    let body = String::from_utf8(body.to_vec()).unwrap();
    [query.0.unwrap_or_default(), body].join("&")
}

async fn series(State(server): State<Arc<Server>>, query: RawQuery, body: Bytes) -> Response {
    let (range, matchers, limit) = asked(&text(query, body));
    if matchers.iter().all(Matcher::matches_empty) {
        return (axum::http::StatusCode::BAD_REQUEST, "match[] must contain at least one non-empty matcher")
            .into_response();
    }
    let found = server.found(Select { limit, skip_chunks: true, ..Select::new(range, matchers) }).await;
    let maps = found.iter().map(|s| s.labels.iter().collect::<std::collections::BTreeMap<_, _>>());
    data(maps.collect::<Vec<_>>())
}

async fn names(State(server): State<Arc<Server>>, query: RawQuery, body: Bytes) -> Response {
    let (range, matchers, limit) = asked(&text(query, body));
    let query = LabelQuery { limit, ..LabelQuery::new(range, matchers) };
    data(server.source.label_names(&Ctx::background(), query).await.unwrap().value)
}

async fn values(State(server): State<Arc<Server>>, Path(name): Path<String>, query: RawQuery) -> Response {
    let (range, matchers, limit) = asked(&text(query, Bytes::new()));
    let query = LabelQuery { limit, ..LabelQuery::new(range, matchers) };
    data(server.source.label_values(&Ctx::background(), &name, query).await.unwrap().value)
}

async fn source(frames: bool, names_are_known: bool) -> RemoteRead {
    source_of(conformance::series(), frames, names_are_known).await
}

async fn source_of(series_of: Vec<Series>, frames: bool, names_are_known: bool) -> RemoteRead {
    let server = Server { source: MemorySource::new(series_of), frames };
    let router = Router::new()
        .route("/api/v1/read", post(read))
        .route("/api/v1/series", get(series).post(series))
        .route("/api/v1/labels", get(names).post(names))
        .route("/api/v1/label/{name}/values", get(values))
        .with_state(Arc::new(server));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let http = ClientConfig::default().build().unwrap();
    let client = PromClient::new(&format!("http://{address}"), http, ClientOptions::default());
    let own: BTreeSet<_> = conformance::series()
        .iter()
        .flat_map(|s| s.labels.iter().map(|(n, _)| n.to_owned()).collect::<Vec<_>>())
        .collect();
    let identity = Identity {
        external: Labels::from_pairs(EXTERNAL),
        range: conformance::range(),
        limit_min_time: i64::MIN,
        label_names: names_are_known.then(|| Arc::new(own)),
    };
    RemoteRead::new(client, move || Some(identity.clone()), RemoteReadOptions::default())
}

const TRAITS: Traits = Traits { budgeted: true, exact_label_times: true };

#[tokio::test]
async fn in_frames() {
    conformance::run(&source(true, true).await, TRAITS).await;
}

#[tokio::test]
async fn in_frames_that_must_be_put_in_order() {
    conformance::run(&source(true, false).await, TRAITS).await;
}

#[tokio::test]
async fn as_samples() {
    conformance::run(&source(false, true).await, TRAITS).await;
}

/// Selectors of external labels alone, and of labels that are not there, find every series, also one without a name.
#[tokio::test]
async fn what_prometheus_api_refuses_to_select() {
    let mut list = conformance::series();
    let nameless = Labels::from_pairs([("instance", "nameless")]);
    list.push(Series { labels: nameless, chunks: list[0].chunks.clone() });
    let count = list.len();
    for frames in [true, false] {
        let source = source_of(list.clone(), frames, true).await;
        let ctx = Ctx::background();
        let eu = || Matcher::equal("cluster", "eu");
        let any = || Matcher::new(MatchType::Regex, "__name__", ".*").unwrap();
        for (matchers, found) in [
            (vec![eu()], count),
            (vec![eu(), any()], count),
            (vec![eu(), Matcher::equal("nowhere", "")], count),
            (vec![eu(), Matcher::equal("__name__", "")], 1),
            (vec![Matcher::equal("cluster", "us")], 0),
        ] {
            for skip_chunks in [false, true] {
                let want = Select { skip_chunks, ..Select::new(conformance::range(), matchers.clone()) };
                let got = collect_series(source.select(&ctx, want)).await.unwrap().value;
                assert_eq!(got.len(), found, "{matchers:?}");
                assert!(got.is_sorted_by(|a, b| a.labels < b.labels), "{matchers:?}");
                assert!(got.iter().all(|s| s.chunks.is_empty() == skip_chunks && s.labels.value("cluster") == "eu"));
            }
            let query = || LabelQuery::new(conformance::range(), matchers.clone());
            let values = source.label_values(&ctx, "instance", query()).await.unwrap().value;
            assert_eq!(values.contains(&"nameless".to_owned()), found > 0, "{matchers:?}");
            let names = source.label_names(&ctx, query()).await.unwrap().value;
            assert_eq!((names.contains(&"job".to_owned()), names.is_empty()), (found > 1, found == 0), "{matchers:?}");
            let external = source.label_values(&ctx, "replica", query()).await.unwrap().value;
            assert_eq!(external.len(), usize::from(found > 0), "{matchers:?}");
        }
        let none = collect_series(source.select(&ctx, Select::new(conformance::range(), vec![]))).await;
        assert!(matches!(none, Err(storage::Error::Invalid(_))), "{none:?}");
    }
}
