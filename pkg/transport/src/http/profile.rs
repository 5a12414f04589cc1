//! `/debug/pprof/profile?seconds=N`: a CPU profile in the format of `go tool pprof` and Grafana Pyroscope.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;

const SECONDS_MAX: u64 = 300;
/// Samples per second; no divisor of a common timer's frequency.
const HERTZ: i32 = 99;

static RUNNING: AtomicBool = AtomicBool::new(false);

/// What `/debug/pprof/` shows: which profiles there are.
pub(super) async fn index() -> &'static str {
    "profile: CPU profile in pprof format, ?seconds=30\n"
}

/// Runs the profiler and answers with gzipped `profile.proto`.
pub(super) async fn cpu(Query(params): Query<HashMap<String, String>>) -> Response {
    let seconds = match params.get("seconds").map_or(Ok(30), |s| s.parse::<u64>()) {
        Ok(seconds @ 1..=SECONDS_MAX) => seconds,
        _ => return (StatusCode::BAD_REQUEST, format!("seconds must be 1 to {SECONDS_MAX}\n")).into_response(),
    };
    if RUNNING.swap(true, Ordering::SeqCst) {
        return (StatusCode::CONFLICT, "a profile is being taken already\n").into_response();
    }
    let taken = take(Duration::from_secs(seconds)).await;
    RUNNING.store(false, Ordering::SeqCst);
    match taken {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
            ];
            (headers, bytes).into_response()
        }
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, format!("cannot profile: {e}\n")).into_response(),
    }
}

async fn take(length: Duration) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let guard = pprof::ProfilerGuardBuilder::default()
        .frequency(HERTZ)
        .blocklist(&["libc", "libgcc", "pthread", "vdso"])
        .build()?;
    tokio::time::sleep(length).await;
    let report = guard.report().build()?;
    drop(guard);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&encode(&report, length).encode_to_vec())?;
    Ok(gzip.finish()?)
}

/// The report as `profile.proto` (github.com/google/pprof/proto/profile.proto), the fields that viewers need.
fn encode(report: &pprof::Report, length: Duration) -> Profile {
    let mut strings = Strings::default();
    strings.id("");
    let mut profile = Profile {
        sample_type: vec![
            ValueType { kind: strings.id("samples"), unit: strings.id("count") },
            ValueType { kind: strings.id("cpu"), unit: strings.id("nanoseconds") },
        ],
        duration_nanos: length.as_nanos() as i64,
        period_type: Some(ValueType { kind: strings.id("cpu"), unit: strings.id("nanoseconds") }),
        period: 1_000_000_000 / i64::from(HERTZ),
        ..Profile::default()
    };
    let mut functions: HashMap<String, u64> = HashMap::new();
    for (frames, count) in &report.data {
        let mut sample = Sample { location_id: vec![], value: vec![*count as i64, *count as i64 * profile.period] };
        for symbol in frames.frames.iter().flatten() {
            let name = symbol.name();
            let id = *functions.entry(name.clone()).or_insert_with(|| {
                let id = profile.function.len() as u64 + 1;
                let name = strings.id(&name);
                profile.function.push(Function {
                    id,
                    name,
                    system_name: name,
                    filename: strings.id(&symbol.filename()),
                });
                profile.location.push(Location { id, line: vec![Line { function_id: id, line: 0 }] });
                id
            });
            sample.location_id.push(id);
        }
        profile.sample.push(sample);
    }
    profile.string_table = strings.list.iter().map(ToString::to_string).collect();
    profile
}

#[derive(Default)]
struct Strings {
    list: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, i64>,
}

impl Strings {
    fn id(&mut self, text: &str) -> i64 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let (text, id): (Arc<str>, i64) = (text.into(), self.list.len() as i64);
        self.list.push(text.clone());
        self.ids.insert(text, id);
        id
    }
}

#[derive(Clone, PartialEq, Message)]
struct Profile {
    #[prost(message, repeated, tag = "1")]
    sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    sample: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    string_table: Vec<String>,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(int64, tag = "1")]
    kind: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Location {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(message, repeated, tag = "4")]
    line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
struct Line {
    #[prost(uint64, tag = "1")]
    function_id: u64,
    #[prost(int64, tag = "2")]
    line: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(int64, tag = "2")]
    name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
    #[prost(int64, tag = "4")]
    filename: i64,
}
