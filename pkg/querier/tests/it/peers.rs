//! Peers that refuse, and peers that send what was not asked for.

use bytes::Bytes;
use chunkenc::{Encoding, encode_xor};
use labels::Labels;
use storage::{Chunk, Series};
use tonic::Code;

use crate::world::{Behaviour, START_S, Store, World, series, vector};

const TIME: &str = "1700001500";

fn good() -> Store {
    Store::of("eu", "a", series(&["x"], 0..200))
}

/// Whatever a peer calls its refusal, the others' answer comes, and the refusal is told.
#[tokio::test]
async fn a_refusal_is_one_endpoints() {
    for code in [
        Code::InvalidArgument,
        Code::Unimplemented,
        Code::ResourceExhausted,
        Code::DataLoss,
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::Unknown,
    ] {
        let bad = Store { behaviour: Behaviour::Refuse(code), ..Store::of("us", "a", series(&["y"], 0..200)) };
        let world = World::start(vec![good(), bad], &[]).await;
        let address = world.store_address(1);
        for (path, params) in [
            ("/api/v1/query", &[("query", "up"), ("time", TIME)][..]),
            ("/api/v1/query_range", &[("query", "up"), ("start", "1700000000"), ("end", TIME), ("step", "60")]),
            ("/api/v1/series", &[("match[]", "up")]),
            ("/api/v1/labels", &[]),
            ("/api/v1/label/job/values", &[]),
        ] {
            let answer = world.get(path, params).await;
            assert!(answer["warnings"].to_string().contains(&address), "{code:?}: {path}: {answer}");
            assert!(!answer["data"].to_string().contains("[]"), "{code:?}: {path}: {answer}");
            let strict: Vec<_> = params.iter().copied().chain([("partial_response", "false")]).collect();
            let refused = world.get(path, &strict).await;
            assert!(refused["error"].to_string().contains(&address), "{code:?}: {path}: {refused}");
            assert_ne!(refused["errorType"], "bad_data", "it was not the client's fault: {refused}");
        }
    }
}

/// What is wrong with a request is still told as such.
#[tokio::test]
async fn what_is_the_clients_fault_stays_it() {
    let world = World::start(vec![good()], &[]).await;
    for query in ["up{job=~\"(\"}", "up{", "{job=\"\"}"] {
        let refused = world.query(query, TIME).await;
        assert_eq!(refused["errorType"], "bad_data", "{query}: {refused}");
    }
}

#[tokio::test]
async fn series_that_do_not_match_are_left_out_and_told_once() {
    for labels in [&["--query.replica-label=replica"][..], &[]] {
        let stray = Store { behaviour: Behaviour::Stray, ..Store::of("us", "a", series(&["y", "z"], 0..200)) };
        let world = World::start(vec![good(), stray], labels).await;
        let address = world.store_address(1);
        let answer = world.query("up{job=~\"x|y\",replica=\"a\"}", TIME).await;
        assert_eq!(vector(&answer).len(), 2, "{answer}");
        let warnings = answer["warnings"].as_array().unwrap();
        assert_eq!(warnings.len(), 1, "{answer}");
        let text = warnings[0].as_str().unwrap();
        assert!(text.starts_with(&format!("{address}: sent 1 series that the request does not match")), "{text}");
        let params = [("query", "up{job=\"x\"}"), ("time", TIME), ("partial_response", "false")];
        let refused = world.get("/api/v1/query", &params).await;
        assert!(refused["error"].to_string().contains(&address), "{refused}");
        let found = world.get("/api/v1/series", &[("match[]", "up{job=\"z\"}")]).await;
        assert!(found["data"].as_array().unwrap().len() == 1 && found.get("warnings").is_some(), "{found}");
    }
}

/// Peers that want a matcher on a series' own label get one; series without a name are found all the same.
#[tokio::test]
async fn selectors_of_external_labels_alone() {
    let nameless = |cluster: &str| {
        let mut list = series(&["x", "y"], 0..200);
        list[1].labels = Labels::from_pairs([("job", "nameless")]);
        Store { behaviour: Behaviour::Picky, ..Store::of(cluster, "a", list) }
    };
    let lower = World::start(vec![nameless("eu"), nameless("us")], &["--selector-label=site=\"here\""]).await;
    let upper = World::start(vec![], &[&format!("--endpoint={}", lower.grpc)]).await;
    for world in [&lower, &upper] {
        for (query, count) in [
            ("{cluster=\"eu\"}", 2),
            ("{cluster=~\"eu|us\",replica=\"a\"}", 4),
            ("{cluster=\"eu\",replica=\"b\"}", 0),
            ("{cluster=\"eu\",job=\"nameless\"}", 1),
            ("{site=\"here\"}", 4),
            ("{site=\"there\"}", 0),
        ] {
            let answer = world.query(query, TIME).await;
            assert!(answer.get("warnings").is_none() && vector(&answer).len() == count, "{query}: {answer}");
            let found = world.get("/api/v1/series", &[("match[]", query)]).await;
            assert_eq!(found["data"].as_array().unwrap().len(), count, "{query}: {found}");
            assert!(found.get("warnings").is_none(), "{query}: {found}");
        }
        let names = world.get("/api/v1/labels", &[("match[]", "{cluster=\"eu\"}")]).await;
        assert!(names["data"].to_string().contains("job") && names.get("warnings").is_none(), "{names}");
        let values = world.get("/api/v1/label/job/values", &[("match[]", "{cluster=\"eu\"}")]).await;
        assert_eq!(values["data"], serde_json::json!(["nameless", "x"]), "{values}");
    }
}

/// Chunks whose times are wrong do no harm: what they hold counts where it is, or is told.
#[tokio::test]
async fn chunks_with_wrong_times_do_no_harm() {
    let start = START_S * 1000;
    let data = |from: i64| Bytes::from(encode_xor((0..50).map(|i| (from + i * 15_000, 1.0))).unwrap());
    let with = |chunks: Vec<Chunk>| {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "y")]);
        Store::of("us", "a", vec![Series { labels, chunks }])
    };
    let raw = |min, max, from| Chunk::raw(min, max, Encoding::Xor, data(from));
    let far = 86_400_000;
    for chunks in [
        vec![raw(start + 600_000, start, start)],
        vec![raw(i64::MIN, i64::MAX, start)],
        vec![raw(start, start + 735_000, start - far)],
        vec![raw(start - far, start - far + 735_000, start - far)],
        vec![raw(start, start + 735_000, start), raw(start - far, start + far, start)],
    ] {
        for labels in [&["--query.replica-label=replica"][..], &[]] {
            let shown = format!("{:?}", chunks.iter().map(|c| (c.min_time, c.max_time)).collect::<Vec<_>>());
            let world = World::start(vec![good(), with(chunks.clone())], labels).await;
            let params =
                [("query", "count_over_time(up[10m])"), ("start", "1700000000"), ("end", TIME), ("step", "60")];
            let answer = world.get("/api/v1/query_range", &params).await;
            assert_eq!(answer["status"], "success", "{shown}: {answer}");
            let result = answer["data"]["result"].as_array().unwrap();
            let of = |job: &str| result.iter().find(|s| s["metric"]["job"] == job);
            assert!(of("x").is_some(), "{shown}: {answer}");
            let most = |s: &serde_json::Value| {
                let values = s["values"].as_array().unwrap().iter();
                values.map(|p| p[1].as_str().unwrap().parse::<u32>().unwrap()).max().unwrap()
            };
            assert!(of("y").is_none_or(|s| most(s) <= 40), "{shown}: no sample counts twice: {answer}");
        }
    }
}

/// Labels that nobody looks at are left out where one endpoint has the series, and where several have them all are there to
/// merge by.
#[tokio::test(flavor = "multi_thread")]
async fn labels_that_are_not_looked_at() {
    let jobs = ["a", "b", "c"];
    let one = || vec![Store::of("eu", "a", series(&jobs, 0..200))];
    let two = || vec![Store::of("eu", "a", series(&jobs, 0..200)), Store::of("us", "a", series(&jobs, 0..100))];
    let replicas = || vec![Store::of("eu", "a", series(&jobs, 0..150)), Store::of("eu", "b", series(&jobs, 50..200))];
    let plain = || one().into_iter().map(|store| Store { plain: true, ..store }).collect::<Vec<_>>();
    let at = |step: i64| format!("{}", START_S + step * 15 + 1);
    for (stores, clusters) in [(one(), 1.0), (two(), 2.0), (replicas(), 1.0), (plain(), 1.0)] {
        for flags in [&["--query.replica-label=replica"][..], &["--query.replica-label=job"], &[]] {
            let world = World::start(stores.clone(), flags).await;
            let deduplicated = flags.iter().any(|flag| flag.ends_with("=job"));
            let replicas = if flags.is_empty() { stores.len() as f64 / clusters } else { 1.0 };
            let count = if deduplicated { stores.len() as f64 } else { 3.0 * clusters * replicas };
            for query in ["count(up)", "sum(up)", "sum(count_over_time(up[5m])) / 20", "-count(-up)"] {
                let answer = world.query(query, &at(80)).await;
                let got = vector(&answer);
                assert_eq!(got.len(), 1, "{query} {flags:?}: {answer}");
                assert!((got[0].1.abs() - count).abs() < 1e-9, "{query} {flags:?} {}: {answer}", stores.len());
            }
            let answer = world.query("count by (cluster) (up)", &at(80)).await;
            assert_eq!(vector(&answer).iter().map(|(_, value)| value).sum::<f64>(), count, "{flags:?}: {answer}");
        }
    }
}
