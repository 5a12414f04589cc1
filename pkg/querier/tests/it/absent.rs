//! Whoever is configured and cannot be asked is told in every answer, by name, whatever is asked and why he cannot.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::world::{Behaviour, Names, START_S, Store, World, series, vector};

/// All that asks endpoints.
const ROUTES: [(&str, &[(&str, &str)]); 12] = [
    ("/api/v1/query", &[("query", "up"), ("time", "1700001500")]),
    ("/api/v1/query_range", &[("query", "up"), ("start", "1700000000"), ("end", "1700001500"), ("step", "60")]),
    ("/api/v1/series", &[("match[]", "up")]),
    ("/api/v1/labels", &[]),
    ("/api/v1/label/job/values", &[]),
    ("/api/v1/rules", &[]),
    ("/api/v1/alerts", &[]),
    ("/api/v1/targets", &[]),
    ("/api/v1/scrape_pools", &[]),
    ("/api/v1/metadata", &[]),
    ("/api/v1/query_exemplars", &[("query", "up")]),
    ("/api/v1/status/tsdb", &[]),
];

async fn get(world: &World, route: (&str, &[(&str, &str)]), more: &[(&str, &str)]) -> Value {
    let params: Vec<_> = route.1.iter().chain(more).copied().collect();
    world.get(route.0, &params).await
}

/// Every route says `name` in a warning, and fails with it where partial answers are not allowed.
async fn told_everywhere(world: &World, name: &str, what: &str) {
    for route in ROUTES {
        let answer = get(world, route, &[]).await;
        assert_eq!(answer["status"], "success", "{what}: {}: {answer}", route.0);
        assert!(answer["warnings"].to_string().contains(name), "{what}: {}: {answer}", route.0);
        let refused = get(world, route, &[("partial_response", "false")]).await;
        assert_eq!(refused["status"], "error", "{what}: {}: {refused}", route.0);
        assert!(refused["error"].to_string().contains(name), "{what}: {}: {refused}", route.0);
    }
    // what a label set excludes elsewhere, nothing is known of here
    for query in ["up{cluster=\"nowhere\"}", "up offset 10y"] {
        let answer = world.query(query, "1700001500").await;
        assert!(answer["warnings"].to_string().contains(name), "{what}: {query}: {answer}");
    }
}

fn good() -> Store {
    Store::of("eu", "a", series(&["x"], 0..200))
}

/// An address at which nobody listens.
async fn refusing() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

/// Somebody who says `greeting` to whoever connects and nothing else.
async fn babbling(greeting: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(greeting).await;
            held.push(stream);
        }
    });
    address
}

#[tokio::test]
async fn each_kind_of_absence_is_told_on_every_route() {
    let quick = "--endpoint.info-timeout=500ms";
    for (what, address) in [
        ("refuses connections", refusing().await),
        ("talks nonsense", babbling(b"HTTP/1.1 400 Bad Request\r\n\r\n").await),
        ("never answers", babbling(b"").await),
        ("does not resolve", "dns+nowhere:10901".to_owned()),
        ("has no service", "dnssrv+_grpc._tcp.nowhere".to_owned()),
        ("stands for nobody", "dns+nobody:10901".to_owned()),
        ("is no address", "a b".to_owned()),
    ] {
        let names = Names::default();
        names.0.lock().unwrap().insert("nobody".to_owned(), Ok(Vec::new()));
        let endpoint = format!("--endpoint={address}");
        let world = World::start_with(vec![good()], &[&endpoint, quick], names, 1).await;
        told_everywhere(&world, &address, what).await;
        let answer = world.query("up", "1700001500").await;
        assert_eq!(vector(&answer).len(), 1, "{what}: the other endpoint answers: {answer}");
        let stores = world.get("/api/v1/stores", &[]).await;
        assert!(stores.to_string().contains(&address), "{what}: {stores}");
    }
}

#[tokio::test]
async fn who_is_not_ready_or_speaks_no_tls_is_told() {
    let store = Store { behaviour: Behaviour::NotReady, ..good() };
    let world = World::start_with(vec![good(), store], &[], Names::default(), 1).await;
    told_everywhere(&world, &world.store_address(1), "is not ready").await;

    let plain = World::start(vec![good()], &[]).await;
    let address = plain.store_address(0);
    let entry = format!(
        "endpoints: [{{address: '{address}', client_config: {{tls_config: {{enabled: true, insecure_skip_verify: true}}}}}}]"
    );
    let config = format!("--endpoint.sd-config={entry}");
    let world = World::start_with(vec![good()], &[&config, "--endpoint.info-timeout=1s"], Names::default(), 1).await;
    told_everywhere(&world, &address, "speaks no TLS").await;

    let entry = format!(
        "endpoints: [{{address: '{address}', client_config: {{tls_config: {{enabled: true, ca_file: /no/ca}}}}}}]"
    );
    let config = format!("--endpoint.sd-config={entry}");
    let world = World::start_with(vec![good()], &[&config], Names::default(), 1).await;
    told_everywhere(&world, &address, "its CA is missing").await;
}

#[tokio::test]
async fn groups_and_strict_endpoints_are_told_too() {
    let gone = refusing().await;
    let port = gone.rsplit_once(':').unwrap().1;
    let names = Names::default();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    names.0.lock().unwrap().insert("group".to_owned(), Ok(vec![loopback]));
    for (flag, name) in [
        (format!("--endpoint-group=group:{port}"), format!("dns+group:{port}")),
        (format!("--endpoint-group-strict=group:{port}"), format!("dns+group:{port}")),
        (format!("--endpoint-group=nowhere:{port}"), format!("dns+nowhere:{port}")),
        (format!("--endpoint-strict={gone}"), gone.clone()),
        (format!("--store={gone}"), gone.clone()),
        (format!("--rule={gone}"), gone.clone()),
    ] {
        let world = World::start_with(vec![good()], &[&flag], names.clone(), 1).await;
        told_everywhere(&world, &name, &flag).await;
    }
}

#[tokio::test]
async fn nobody_at_all_is_told() {
    let world = World::start(vec![], &[]).await;
    told_everywhere(&world, "No StoreAPIs available", "nobody is configured").await;
    let answer = world.get("/api/v1/query", &[("query", "vector(1)")]).await;
    assert!(answer.get("warnings").is_none(), "nobody had to be asked: {answer}");

    let gone = format!("--endpoint={}", refusing().await);
    let world = World::start_with(vec![], &[&gone, "--no-query.partial-response"], Names::default(), 0).await;
    let refused = world.query("up", "1700001500").await;
    assert!(refused["error"].to_string().contains("No StoreAPIs available: 127.0.0.1:"), "{refused}");
    let answer = world.get("/api/v1/query", &[("query", "up"), ("partial_response", "true")]).await;
    assert_eq!(answer["status"], "success", "{answer}");
}

#[tokio::test]
async fn the_first_request_waits_until_all_were_asked() {
    let store = || Store { behaviour: Behaviour::Slow, ..good() };
    for (path, params) in [ROUTES[0], ROUTES[1], ROUTES[2], ROUTES[3], ROUTES[4]] {
        let world = World::start_with(vec![store()], &[], Names::default(), 0).await;
        let answer = world.get(path, params).await;
        assert!(answer.get("warnings").is_none() && !answer["data"].to_string().contains("[]"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn who_comes_late_is_found() {
    let late = refusing().await;
    let mut world = World::start_with(vec![], &[&format!("--endpoint={late}")], Names::default(), 0).await;
    let answer = world.query("up", "1700001500").await;
    assert!(answer["warnings"].to_string().contains(&late), "{answer}");
    world.start_store(&late, good()).await;
    until("it is found", async || world.query("up", "1700001500").await.get("warnings").is_none()).await;
    assert_eq!(vector(&world.query("up", "1700001500").await).len(), 1);
}

#[tokio::test]
async fn stacked_queriers_pass_it_on() {
    let gone = refusing().await;
    let lower = World::start_with(vec![good()], &[&format!("--endpoint={gone}")], Names::default(), 1).await;
    let upper = World::start(vec![], &[&format!("--endpoint={}", lower.grpc)]).await;
    told_everywhere(&upper, &gone, "below a querier").await;
    let answer = upper.query("up", "1700001500").await;
    assert_eq!(vector(&answer).len(), 1, "{answer}");
    // the same where relabelling above chooses label sets below
    let rules = "--selector.relabel-config=- {action: keep, source_labels: [cluster], regex: eu}";
    let choosing = World::start(vec![], &[&format!("--endpoint={}", lower.grpc), rules]).await;
    let answer = choosing.query("up", "1700001500").await;
    assert!(vector(&answer).len() == 1 && answer["warnings"].to_string().contains(&gone), "{answer}");

    let empty = World::start(vec![], &[]).await;
    let upper = World::start(vec![], &[&format!("--endpoint={}", empty.grpc)]).await;
    told_everywhere(&upper, "No StoreAPIs available", "below a querier that has none").await;
}

#[tokio::test]
async fn grpc_says_it_too() {
    use proto::thanos::query_client::QueryClient;
    use proto::thanos::{QueryRangeRequest, QueryRequest, query_range_response, query_response};
    let gone = refusing().await;
    let world = World::start_with(vec![good()], &[&format!("--endpoint={gone}")], Names::default(), 1).await;
    let mut client = QueryClient::connect(format!("http://{}", world.grpc)).await.unwrap();
    let time_seconds = START_S + 1500;
    let request =
        QueryRequest { query: "up".to_owned(), time_seconds, enable_partial_response: true, ..Default::default() };
    let mut frames = client.query(request.clone()).await.unwrap().into_inner();
    let mut told = false;
    while let Some(frame) = frames.message().await.unwrap() {
        told |= matches!(frame.result, Some(query_response::Result::Warnings(text)) if text.contains(&gone));
    }
    assert!(told);
    let strict = QueryRequest { enable_partial_response: false, ..request };
    let refused = client.query(strict).await.unwrap_err();
    assert!(refused.message().contains(&gone), "{refused:?}");
    let request = QueryRangeRequest {
        query: "up".to_owned(),
        start_time_seconds: START_S,
        end_time_seconds: time_seconds,
        interval_seconds: 60,
        enable_partial_response: true,
        ..Default::default()
    };
    let mut frames = client.query_range(request).await.unwrap().into_inner();
    let mut told = false;
    while let Some(frame) = frames.message().await.unwrap() {
        told |= matches!(frame.result, Some(query_range_response::Result::Warnings(text)) if text.contains(&gone));
    }
    assert!(told);
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn write(path: &Path, address: &str) {
    std::fs::write(path, format!("endpoints: [{{address: '{address}'}}]")).unwrap();
}

#[tokio::test]
async fn files_make_members_and_take_them_away() {
    let dir = tempfile::tempdir().unwrap();
    let (sd, targets) = (dir.path().join("sd.yml"), dir.path().join("targets.json"));
    let (first, second) = (refusing().await, refusing().await);
    write(&sd, &first);
    std::fs::write(&targets, "broken").unwrap();
    let args = [
        format!("--endpoint.sd-config-file={}", sd.display()),
        format!("--store.sd-files={}", targets.display()),
        "--endpoint.sd-config-reload-interval=100ms".to_owned(),
    ];
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let world = World::start_with(vec![good()], &args, Names::default(), 1).await;
    told_everywhere(&world, &first, "listed in the file").await;
    told_everywhere(&world, "targets.json", "a file that never loaded").await;

    std::fs::write(&targets, format!("[{{\"targets\": [\"{second}\"]}}]")).unwrap();
    let warnings = async || world.query("up", "1700001500").await["warnings"].to_string();
    until("the second file counts", async || warnings().await.contains(&second)).await;
    write(&sd, "");
    write(&dir.path().join("other"), "");
    std::fs::remove_file(&targets).unwrap();
    until("the second file is gone", async || !warnings().await.contains(&second)).await;
    assert!(warnings().await.contains(&first), "a file that breaks keeps its endpoints");
    std::fs::write(&sd, "endpoints: []").unwrap();
    until("nobody is missing", async || warnings().await == "null").await;
}

#[tokio::test]
async fn a_name_that_stops_resolving_keeps_its_addresses_and_is_told() {
    let peer = World::start(vec![good()], &[]).await;
    let address = peer.store_address(0);
    let port = address.rsplit_once(':').unwrap().1;
    let names = Names::default();
    let loopback: IpAddr = "127.0.0.1".parse().unwrap();
    names.0.lock().unwrap().insert("peer".to_owned(), Ok(vec![loopback]));
    let endpoint = format!("--endpoint=dns+peer:{port}");
    let world = World::start_with(vec![], &[&endpoint, "--store.sd-dns-interval=100ms"], names.clone(), 1).await;
    let answer = world.query("up", "1700001500").await;
    assert!(answer.get("warnings").is_none() && vector(&answer).len() == 1, "{answer}");

    names.0.lock().unwrap().insert("peer".to_owned(), Err("look up peer: the server is gone".to_owned()));
    let told = async || world.query("up", "1700001500").await["warnings"].to_string().contains("the server is gone");
    until("the failure is told", told).await;
    let answer = world.query("up", "1700001500").await;
    assert_eq!(vector(&answer).len(), 1, "{answer}");
    let strict = [("query", "up"), ("time", "1700001500"), ("partial_response", "false")];
    let answer = world.get("/api/v1/query", &strict).await;
    assert_eq!(answer["status"], "success", "nothing is missing: {answer}");

    names.0.lock().unwrap().insert("peer".to_owned(), Ok(Vec::new()));
    let told =
        async || world.query("up", "1700001500").await["warnings"].to_string().contains("resolves to no address");
    until("that it stands for nobody is told", told).await;
}

/// An endpoint that went away is told for as long as it is configured; after the timeout, in whatever is asked.
#[tokio::test]
async fn silence_never_ends_in_silence() {
    let us = Store::of("us", "a", series(&["x"], 0..200));
    let mut world =
        World::start(vec![good(), us], &["--store.unhealthy-timeout=200ms", "--endpoint.info-timeout=1s"]).await;
    let answer = world.query("up{cluster=\"eu\"}", "1700001500").await;
    assert!(answer.get("warnings").is_none(), "{answer}");
    let gone = world.stop_store(1);
    let told = async || world.query("up{cluster=\"eu\"}", "1700001500").await["warnings"].to_string();
    until("what it has is not known any more", async || told().await.contains("--store.unhealthy-timeout")).await;
    assert!(told().await.contains(&gone));
    for route in &ROUTES[..5] {
        let answer = get(&world, *route, &[]).await;
        assert!(answer["warnings"].to_string().contains(&gone), "{}: {answer}", route.0);
    }
    // it served series alone, as far as it ever said
    let answer = get(&world, ROUTES[5], &[]).await;
    assert!(answer.get("warnings").is_none(), "{answer}");
}

#[tokio::test]
async fn selectors_of_endpoints_choose_among_the_absent_too() {
    let (gone, other) = (refusing().await, refusing().await);
    let args = [format!("--endpoint={gone}"), format!("--endpoint={other}"), "--endpoint=dns+nowhere:1".to_owned()];
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let world = World::start_with(vec![good()], &args, Names::default(), 1).await;
    let selector = format!("{{__address__=\"{gone}\"}}");
    let params = [("query", "up"), ("time", "1700001500"), ("storeMatch[]", &*selector)];
    let warnings = world.get("/api/v1/query", &params).await["warnings"].to_string();
    assert!(warnings.contains(&gone) && warnings.contains("nowhere") && !warnings.contains(&other), "{warnings}");
}
