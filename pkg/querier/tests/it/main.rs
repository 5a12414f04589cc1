//! A querier over real loopback connections to stores that behave, fail, stall and lie.

mod absent;
mod at_store;
mod conformance;
mod distributed;
mod limits;
mod origins;
mod peers;
mod streams;
mod world;

use std::time::Duration;

use storage::SeriesEvent;
use world::{Behaviour, START_S, Store, World, series};

fn at(s: i64) -> String {
    format!("{}", START_S + s)
}

#[tokio::test]
async fn clusters_side_by_side_and_replicas_as_one() {
    let world = World::start(
        vec![
            Store::of("eu", "a", series(&["x", "y"], 0..100)),
            Store::of("eu", "b", series(&["x", "y"], 40..200)),
            Store::of("us", "a", series(&["x"], 0..200)),
        ],
        &["--query.replica-label=replica"],
    )
    .await;
    let answer = world.query("sum by (cluster, job) (up)", &at(1500)).await;
    assert_eq!(
        world::vector(&answer),
        [(r#"{cluster="eu", job="x"}"#, 1.0), (r#"{cluster="eu", job="y"}"#, 1.0), (r#"{cluster="us", job="x"}"#, 1.0)]
            .map(|(l, v)| (l.to_owned(), v))
    );
    let raw = world
        .get("/api/v1/query", &[("query", "count(up{cluster=\"eu\"})"), ("time", &at(900)), ("dedup", "false")])
        .await;
    assert_eq!(world::vector(&raw)[0].1, 4.0, "without dedup both replicas show");
    let names = world.get("/api/v1/labels", &[]).await;
    assert_eq!(names["data"], serde_json::json!(["__name__", "cluster", "job", "replica"]));
    let replicas = world.get("/api/v1/label/replica/values", &[]).await;
    assert_eq!(replicas["data"], serde_json::json!(["a", "b"]), "dashboards choose replicas by them");
    let of_us = [("match[]", "up{cluster=\"us\"}")];
    let replicas = world.get("/api/v1/label/replica/values", &of_us).await;
    assert_eq!(replicas["data"], serde_json::json!(["a"]));
    let values = world.get("/api/v1/label/cluster/values", &[]).await;
    assert_eq!(values["data"], serde_json::json!(["eu", "us"]));
    let found = world.get("/api/v1/series", &[("match[]", "up{cluster=\"eu\"}")]).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 2, "{found}");
    assert!(found["data"][0].get("replica").is_none(), "{found}");
}

#[tokio::test]
async fn a_gap_of_one_replica_is_filled_by_the_other() {
    let world = World::start(
        vec![
            Store::of("eu", "a", [series(&["x"], 0..40), series(&["x"], 120..200)].concat()),
            Store::of("eu", "b", series(&["x"], 20..150)),
        ],
        &["--query.replica-label=replica"],
    )
    .await;
    let params = [("query", "count_over_time(up[1m])"), ("start", &at(120)), ("end", &at(2900)), ("step", "60")];
    let answer = world.get("/api/v1/query_range", &params).await;
    let points = answer["data"]["result"][0]["values"].as_array().unwrap();
    assert_eq!(points.len(), 47, "{answer}");
    assert!(points.iter().all(|p| ["3", "4", "5"].contains(&p[1].as_str().unwrap())), "{points:?}");
}

#[tokio::test]
async fn what_fails_is_told_and_the_rest_is_answered() {
    for (behaviour, told) in [
        (Behaviour::Fail, "the disk is on fire"),
        (Behaviour::FailLater, "the disk is on fire"),
        (Behaviour::Lie, "sent series out of order"),
        (Behaviour::Stall, "--store.response-timeout"),
    ] {
        let world = World::start(
            vec![
                Store::of("eu", "a", series(&["x"], 0..200)),
                Store { behaviour, ..Store::of("us", "a", series(&["x", "y"], 0..200)) },
            ],
            &["--store.response-timeout=500ms"],
        )
        .await;
        let answer = world.query("count by (cluster) (up)", &at(1500)).await;
        let warnings = answer["warnings"].to_string();
        assert!(warnings.contains(told) && warnings.contains("127.0.0.1"), "{behaviour:?}: {answer}");
        assert_eq!(world::vector(&answer)[0].0, r#"{cluster="eu"}"#, "{behaviour:?}");
        let params = [("query", "up"), ("time", &*at(1500)), ("partial_response", "false")];
        let refused = world.get("/api/v1/query", &params).await;
        assert_eq!(refused["status"], "error", "{behaviour:?}: {refused}");
    }
}

#[tokio::test]
async fn an_endpoint_that_goes_away_is_missed_aloud() {
    let mut world = World::start(
        vec![Store::of("eu", "a", series(&["x"], 0..200)), Store::of("us", "a", series(&["x"], 0..200))],
        &[],
    )
    .await;
    let gone = world.stop_store(1);
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let stores = world.get("/api/v1/stores", &[]).await;
        if stores.to_string().contains("lastError\":\"") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{stores}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = world.query("count(up)", &at(1500)).await;
    assert_eq!(world::vector(&answer)[0].1, 1.0);
    assert!(answer["warnings"].to_string().contains(&gone), "{answer}");
}

#[tokio::test]
async fn only_those_that_may_have_it_are_asked() {
    let world = World::start(
        vec![Store::of("eu", "a", series(&["x"], 0..200)), Store::of("us", "a", series(&["x"], 0..200))],
        &[],
    )
    .await;
    world.query("up{cluster=\"eu\"}", &at(1500)).await;
    assert_eq!(world.asked(), [1, 0]);
    world.query("up{cluster!=\"eu\"}", &at(1500)).await;
    assert_eq!(world.asked(), [1, 1]);
    world.query("up", &at(-100_000)).await;
    assert_eq!(world.asked(), [1, 1], "nobody has data of that time");
    let address = world.store_address(0);
    let selector = format!("{{__address__=\"{address}\"}}");
    let params = [("query", "count(up)"), ("time", &*at(1500)), ("storeMatch[]", &selector)];
    assert_eq!(world::vector(&world.get("/api/v1/query", &params).await)[0].1, 1.0);
    assert_eq!(world.asked(), [2, 1]);
}

#[tokio::test]
async fn peers_that_cannot_strip_replica_labels_are_sorted_here() {
    // With the replica label gone, `z` of replica a and `y` of replica b change places.
    let plain = |replica| Store { plain: true, ..Store::of("eu", replica, series(&["y", "z"], 0..200)) };
    let world = World::start(
        vec![plain("a"), plain("b")],
        &["--query.replica-label=a_replica", "--query.replica-label=replica"],
    )
    .await;
    let answer = world.query("up", &at(1500)).await;
    assert_eq!(world::vector(&answer).len(), 2, "{answer}");
    assert!(answer.get("warnings").is_none(), "{answer}");
}

#[tokio::test]
async fn queriers_stack() {
    let lower = World::start(
        vec![Store::of("eu", "a", series(&["x"], 0..100)), Store::of("eu", "b", series(&["x"], 50..200))],
        &["--query.replica-label=replica"],
    )
    .await;
    let endpoint = format!("--endpoint={}", lower.grpc);
    let upper = World::start(vec![], &[&endpoint, "--query.replica-label=replica"]).await;
    let answer = upper.query("sum(up)", &at(2500)).await;
    assert_eq!(world::vector(&answer)[0].1, 1.0, "{answer}");
    let stores = upper.get("/api/v1/stores", &[]).await;
    assert!(stores["data"]["query"][0]["name"].as_str() == Some(&*lower.grpc), "{stores}");
}

#[tokio::test]
async fn limits_are_told_with_their_figures() {
    let world = World::start(vec![Store::of("eu", "a", series(&["x"], 0..200))], &["--query.max-samples=10"]).await;
    let params = [("query", "up[1h]"), ("time", &*at(2900))];
    let refused = world.get("/api/v1/query", &params).await;
    assert_eq!(refused["errorType"], "execution", "{refused}");
    assert!(refused["error"].as_str().unwrap().contains("samples"), "{refused}");
    let params = [("query", "up"), ("start", "0"), ("end", "11001"), ("step", "1")];
    let refused = world.get("/api/v1/query_range", &params).await;
    assert!(refused["error"].as_str().unwrap().contains("11,000"), "{refused}");
}

#[tokio::test]
async fn grpc_query_service_answers() {
    use proto::thanos::query_client::QueryClient;
    use proto::thanos::{QueryRequest, query_response};
    let world = World::start(vec![Store::of("eu", "a", series(&["x"], 0..200))], &[]).await;
    let mut client = QueryClient::connect(format!("http://{}", world.grpc)).await.unwrap();
    let request = QueryRequest { query: "sum(up) * 3".to_owned(), time_seconds: START_S + 1500, ..Default::default() };
    let mut frames = client.query(request).await.unwrap().into_inner();
    let Some(query_response::Result::Timeseries(series)) = frames.message().await.unwrap().unwrap().result else {
        panic!("no series")
    };
    assert_eq!(series.samples[0].value, 3.0);
}

/// The order a liar sends in.
fn reversed(event: SeriesEvent) -> SeriesEvent {
    match event {
        SeriesEvent::Batch(mut batch) => {
            batch.reverse();
            SeriesEvent::Batch(batch)
        }
        warning => warning,
    }
}

/// Of a store with several label sets only the series of those that are kept are seen, in all that is asked.
#[tokio::test]
async fn relabelling_keeps_some_label_sets_of_a_store() {
    let cluster = |name: &str, replica: &str| labels::Labels::from_pairs([("cluster", name), ("replica", replica)]);
    let sets = vec![cluster("eu", "a"), cluster("eu", "b"), cluster("us", "a"), cluster("us", "b")];
    let all = sets.iter().flat_map(|set| {
        let mut list = series(&[set.value("cluster"), "x"], 0..200);
        list.iter_mut().for_each(|s| s.labels = s.labels.overlay(set));
        list
    });
    let many = Store { labels: labels::Labels::empty(), ..Store::of("", "", all.collect()) };
    let bucket = Store { sets, ..many };
    let other = Store::of("us", "b", series(&["z"], 0..200));
    let rules = "--selector.relabel-config=- {action: keep, source_labels: [cluster, replica], regex: eu;.*|us;a}";
    let world = World::start(vec![bucket, other], &["--query.replica-label=replica", rules]).await;
    for (query, dedup, count) in
        [("count(up)", "false", 6.0), ("count(up)", "true", 4.0), ("count(up{cluster=\"us\"})", "false", 2.0)]
    {
        let params = [("query", query), ("time", &at(900)), ("dedup", dedup)];
        let answer = world.get("/api/v1/query", &params).await;
        assert_eq!(world::vector(&answer)[0].1, count, "{query}, dedup {dedup}: {answer}");
    }
    let values = world.get("/api/v1/label/job/values", &[]).await;
    assert_eq!(values["data"], serde_json::json!(["eu", "us", "x"]));
    let stores = world.get("/api/v1/stores", &[]).await;
    let shown = stores["data"]["store"].as_array().unwrap();
    assert_eq!((shown.len(), shown[0]["labelSets"].as_array().unwrap().len()), (1, 3), "{stores}");
}
