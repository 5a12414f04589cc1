//! Details in which the engine must be as Prometheus is, and data that cannot be read.

use std::sync::Arc;

use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use model::Severity;
use promql::{Engine, EngineOptions, Query, QueryError, QueryResult, ReadOptions, Value};
use storage::{Chunk, Ctx, MemorySource, PartialResponse, Series};

fn chunk(samples: &[(i64, f64)]) -> Chunk {
    let data = encode_xor(samples.iter().copied()).unwrap().into();
    Chunk::raw(samples[0].0, samples[samples.len() - 1].0, Encoding::Xor, data)
}

fn series(labels: &[(&str, &str)], chunks: Vec<Chunk>) -> Series {
    Series { labels: Labels::from_pairs(labels.iter().copied()), chunks }
}

async fn ask(source: &Arc<MemorySource>, query: &str, options: &ReadOptions) -> Result<QueryResult, QueryError> {
    let parse = promql_syntax::ParseOptions::ALL;
    let engine = Engine::new(EngineOptions { parse, ..EngineOptions::default() });
    engine.evaluate(&Ctx::background(), source.clone(), Query::instant(query, 60_000).reading(options.clone())).await
}

fn samples(result: &QueryResult) -> Vec<(Labels, f64)> {
    let Value::Vector { samples, .. } = &result.value else { panic!("{:?}", result.value) };
    samples.iter().map(|s| (s.labels.clone(), s.value)).collect()
}

#[tokio::test]
async fn label_replace_reads_re2() {
    let none = Arc::new(MemorySource::new(Vec::new()));
    for (text, pattern, replacement, want) in [
        ("/api/{id}/x", "/api/{id}/(.*)", "$1", "x"),
        ("{a}", "{(.*)}", "$1", "a"),
        ("München", r"(\w+)", "$1", ""),
        ("Munchen", r"(\w+)", "$1", "Munchen"),
        ("a&&b", "([a&&b]+)", "$1", "a&&b"),
        ("a--b", "([a--b]+)", "$1", "error"),
        ("x", "(x)", "[$01]", "[]"),
        ("x", "(x)", "[$1x]", "[]"),
        ("x", "(x)", "[${1}x]", "[xx]"),
        ("x", "(x)", "$$1", "$1"),
        ("x", "(?P<n>x)", "$n-${n}", "x-x"),
        ("a\nb", "(.*)", "$1", "a\nb"),
        ("٣", r"(\d+)", "$1", ""),
        ("x", "(?=x)", "$1", "error"),
    ] {
        let quote = |s: &str| format!("{s:?}");
        let (text, pattern) = (quote(text), quote(pattern));
        let query = format!(
            "label_replace(label_replace(vector(1), \"s\", {text}, \"\", \"\"), \"d\", {replacement:?}, \"s\", {pattern})"
        );
        // A replacement is expanded, so texts with a dollar are not used.
        let got = match ask(&none, &query, &ReadOptions::default()).await {
            Ok(result) => samples(&result)[0].0.value("d").to_owned(),
            Err(_) => "error".to_owned(),
        };
        assert_eq!(got, want, "{query}");
    }
}

/// Matchers that take series away count last, wherever they stand.
#[tokio::test]
async fn labels_of_absent_where_a_label_has_several_matchers() {
    let none = Arc::new(MemorySource::new(Vec::new()));
    for (query, want) in [
        (r#"absent(m{code!~"5..",code="200",a="b"})"#, r#"{a="b"}"#),
        (r#"absent(m{code="200",code!~"5.."})"#, "{}"),
        (r#"absent_over_time(m{code!="500",code="200"}[5m])"#, "{}"),
        (r#"absent(m{code!="",code="200"})"#, r#"{code="200"}"#),
        (r#"absent(m{code=~".*",code="200"})"#, r#"{code="200"}"#),
        (r#"absent(m{code="200",code=~"2.."})"#, "{}"),
        (r#"absent(m{code=~"2..",code="200"})"#, r#"{code="200"}"#),
    ] {
        let got = samples(&ask(&none, query, &ReadOptions::default()).await.unwrap());
        assert_eq!(got[0].0.to_string(), want, "{query}");
    }
}

#[tokio::test]
async fn bounds_of_buckets_are_read_as_go_reads_them() {
    let bucket =
        |le: &str, count: f64| series(&[("__name__", "h_bucket"), ("le", le)], vec![chunk(&[(60_000, count)])]);
    let mut all = vec![bucket("1", 1.0), bucket("10", 3.0), bucket("+Inf", 3.0)];
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    let source = Arc::new(MemorySource::new(all));
    // Rank 1.5 of 3: a quarter of the way from 1 to 10.
    let median = 1.0 + 9.0 * 0.25;
    for (from, to, want, malformed) in [
        ("10", "0x1.4p3", median, false),
        ("10", "1_0", median, false),
        ("10", "1e1", median, false),
        ("10", "0X1.4P+3", median, false),
        // Without the bucket, the rank lies above the last finite bound.
        ("10", "1__0", 1.0, true),
        ("10", "ten", 1.0, true),
        ("10", "10 ", 1.0, true),
        ("\\\\+Inf", "inf", median, false),
        ("\\\\+Inf", "Infinity", median, false),
        ("\\\\+Inf", "1e400", f64::NAN, true),
        ("\\\\+Inf", "Cé", f64::NAN, true),
    ] {
        let query = format!("histogram_quantile(0.5, label_replace(h_bucket, \"le\", \"{to}\", \"le\", \"{from}\"))");
        let result = ask(&source, &query, &ReadOptions::default()).await.unwrap();
        let got = samples(&result)[0].1;
        assert!(got == want || (got.is_nan() && want.is_nan()), "{query}: {got}");
        assert_eq!(!result.annotations.is_empty(), malformed, "{query}: {:?}", result.annotations);
    }
}

#[tokio::test]
async fn lengths_that_make_no_sense_are_told_with_their_place() {
    let none = Arc::new(MemorySource::new(Vec::new()));
    for (query, error) in [
        ("up[1m-2m]", "3:8: duration must be greater than 0"),
        ("up[step()*0]", "3:11: duration must be greater than 0"),
        ("up[range()]", "3:10: duration must be greater than 0"),
        ("up[(0s)]", "3:6: duration must be greater than 0"),
        ("up[-step()]", "3:10: duration must be greater than 0"),
        ("up[min_of(step(), 1m)]", "10:20: duration must be greater than 0"),
        ("up offset (1/(1-1))", "11:17: division by zero"),
        ("up offset (5 % (1-1))", "11:19: modulo by zero"),
        ("up[2^9000000000]", "3:15: duration is NaN or infinite"),
        ("up offset ((-1)^0.5)", "11:19: duration is NaN or infinite"),
        ("up[9000000000 + 9000000000]", "3:26: duration is out of range"),
        ("up[1h:step()]", "6:12: duration must be greater than 0"),
        ("up[1h:1m] offset (1/(1-1))", "18:24: division by zero"),
        // Before whatever else is wrong.
        ("idelta(up[1m] anchored) and delta(up[1m:step()])", "40:46: duration must be greater than 0"),
        ("up offset (1/0)", "1:13: parse error: division by zero"),
        ("up offset (1%0)", "1:13: parse error: modulo by zero"),
        ("up[1h:0s]", "1:7: parse error: duration must be greater than 0"),
        ("up[0]", "1:4: parse error: duration must be greater than 0"),
        ("up[-1m]", "1:4: parse error: duration must be greater than 0"),
        ("up[1e10]", "1:4: parse error: duration out of range"),
        ("up offset -1e10", "1:11: parse error: duration out of range"),
    ] {
        let e = ask(&none, query, &ReadOptions::default()).await.unwrap_err();
        assert_eq!(
            (e.error_type(), e.to_string()),
            ("bad_data", format!("invalid parameter \"query\": {error}")),
            "{query}"
        );
    }
    for query in ["up[1m+step()]", "up offset -step()", "up offset (1m - 5m)", "up[2^3]", "up[max_of(range(), 1m)]"] {
        assert!(ask(&none, query, &ReadOptions::default()).await.is_ok(), "{query}");
    }
}

/// Chunks of `m`: a good one, one that `damage` made, and another series.
fn with_corrupt(bad: Chunk) -> Arc<MemorySource> {
    let good = chunk(&[(0, 1.0), (15_000, 2.0)]);
    let mut all = vec![
        series(&[("__name__", "m"), ("cluster", "a")], vec![good, bad]),
        series(&[("__name__", "m"), ("cluster", "b")], vec![chunk(&[(0, 5.0), (60_000, 6.0)])]),
    ];
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Arc::new(MemorySource::new(all))
}

#[tokio::test]
async fn a_chunk_that_does_not_decode_costs_no_other() {
    let fine = chunk(&[(30_000, 3.0), (60_000, 4.0)]);
    let storage::ChunkData::Raw(raw) = &fine.data else { panic!() };
    let cut = Chunk::raw(30_000, 60_000, Encoding::Xor, raw.data.slice(..raw.data.len() / 2));
    let early = Chunk { min_time: 31_000, ..fine.clone() };
    let late = Chunk { max_time: 59_000, ..fine.clone() };
    let headless = Chunk::raw(30_000, 60_000, Encoding::Xor, bytes::Bytes::new());
    for bad in [cut, early, late, headless] {
        let source = with_corrupt(bad);
        for (query, want) in [
            ("m", vec![2.0, 6.0]),
            ("sum_over_time(m[2m])", vec![3.0, 11.0]),
            ("sum(m)", vec![8.0]),
            ("max_over_time(m[1m:15s])", vec![2.0, 6.0]),
        ] {
            let result = ask(&source, query, &ReadOptions::default()).await.unwrap();
            let got: Vec<f64> = samples(&result).into_iter().map(|(_, v)| v).collect();
            assert_eq!(got, want, "{query}");
            let warnings = result.annotations.texts(Severity::Warning, 0);
            assert_eq!(warnings.len(), 1, "{query}: {warnings:?}");
            // Of a sum the cluster is not read.
            let (named, part) = match query {
                "sum(m)" => ("{__name__=\"m\"} (its other labels were not read)", "__name__=\"m\""),
                _ => ("{__name__=\"m\", cluster=\"a\"}", "cluster=\"a\""),
            };
            assert!(warnings[0].contains(named) && warnings[0].contains("corrupt"), "{query}: {warnings:?}");

            let strict = ReadOptions { partial_response: PartialResponse::Abort, ..ReadOptions::default() };
            let e = ask(&source, query, &strict).await.unwrap_err();
            assert!(matches!(e, QueryError::Storage(_)) && e.to_string().contains(part), "{query}: {e}");
        }
    }
}
