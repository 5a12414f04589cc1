//! Streams that nobody reads starve no other: any number of selectors, queries and unread streams, over one connection.

use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use labels::{Labels, Matcher};
use model::TimeRange;
use storage::{Ctx, Select, Series, SeriesSource, SourceInfo};
use storeapi::StoreClient;
use telemetry::Metrics;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};

use crate::world::{START_S, Store, World, series, vector};

/// Long enough to tell a hang from a slow machine.
const NEVER: Duration = Duration::from_secs(100);
const SERIES: usize = 1400;

/// Series whose labels alone are more than a stream's window.
fn wide() -> Vec<Series> {
    let [one] = series(&["x"], 0..4).try_into().unwrap();
    let padding = "p".repeat(1700);
    let labels = |i: usize| {
        let i = format!("{i:05}");
        Labels::from_pairs([("__name__", "wide"), ("i", i.as_str()), ("padding", padding.as_str())])
    };
    (0..SERIES).map(|i| Series { labels: labels(i), chunks: one.chunks.clone() }).collect()
}

fn client(address: &str) -> StoreClient {
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&Metrics::new()),
        connect_timeout: Duration::from_secs(5),
    };
    let info = SourceInfo {
        label_sets: Vec::new(),
        range: TimeRange::ALL,
        supports_sharding: true,
        supports_without_replica_labels: true,
    };
    StoreClient::new(address, connect(address, &options).unwrap(), info)
}

/// Streams of which one event was read.
async fn unread(client: &StoreClient, count: usize) -> Vec<storage::SeriesStream> {
    let range = TimeRange::new(START_S * 1000, START_S * 1000 + 600_000);
    let open = async |_| {
        let mut stream = client.select(&Ctx::background(), Select::new(range, [Matcher::equal("__name__", "wide")]));
        stream.next().await.unwrap().unwrap();
        stream
    };
    join_all((0..count).map(open)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_ends_whatever_else_is_read() {
    let stores = || ["eu", "us"].map(|cluster| Store::of(cluster, "a", wide())).into_iter().collect::<Vec<_>>();
    // Selectors of a query, queries at once, streams that stay unread at the querier and at a store.
    for (selectors, queries, unread_here, unread_there) in [(9, 1, 0, 0), (2, 6, 0, 0), (2, 2, 0, 120), (3, 2, 30, 5)] {
        let world = World::start(stores(), &["--query.max-concurrent=4"]).await;
        let (here, there) = (client(&world.grpc), client(&world.store_address(0)));
        let work = async {
            let _unread = (unread(&here, unread_here).await, unread(&there, unread_there).await);
            let query = vec!["wide"; selectors].join(" and ");
            let time = format!("{}", START_S + 50);
            let all = join_all((0..queries).map(async |_| world.query(&format!("count({query})"), &time).await));
            let (answers, bystander) = tokio::join!(all, world.query("count(wide{i=\"00007\"})", &time));
            for answer in answers {
                assert_eq!(vector(&answer), [("{}".to_owned(), 2.0 * SERIES as f64)], "{query}");
                assert_eq!(answer.get("warnings"), None);
            }
            assert_eq!(vector(&bystander), [("{}".to_owned(), 2.0)]);
        };
        let hung = format!("{selectors} selectors, {queries} queries, {unread_here} and {unread_there} unread streams");
        tokio::time::timeout(NEVER, work).await.expect(&hung);
    }
}
