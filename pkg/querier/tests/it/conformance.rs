//! A querier's own StoreAPI over two stores keeps to what every source of series must do.

use labels::Labels;
use storage::conformance::{self, EXTERNAL, START_MS, Traits};
use storage::{Series, SourceInfo};
use storeapi::StoreClient;
use telemetry::Metrics;
use transport::grpc::{ClientMetrics, ClientOptions, Compression, connect};

use crate::world::{Behaviour, Store, World};

/// Of each series one store has some chunks, the other the rest; one chunk both have.
fn store(chunks: impl Fn(usize) -> bool) -> Store {
    let part = |s: Series| {
        let number = |min_time: i64| ((min_time - START_MS) / (30 * 60 * 1000)) as usize;
        let chunks: Vec<_> = s.chunks.into_iter().filter(|c| chunks(number(c.min_time))).collect();
        (!chunks.is_empty()).then_some(Series { labels: s.labels, chunks })
    };
    Store {
        labels: Labels::from_pairs(EXTERNAL),
        sets: Vec::new(),
        series: conformance::series().into_iter().filter_map(part).collect(),
        behaviour: Behaviour::Good,
        plain: false,
        evaluates: None,
    }
}

#[tokio::test]
async fn two_stores_are_one_source() {
    let world = World::start(vec![store(|n| n < 2), store(|n| n > 0)], &[]).await;
    let options = ClientOptions {
        tls: None,
        compression: Compression::None,
        metrics: ClientMetrics::new(&Metrics::new()),
        connect_timeout: std::time::Duration::from_secs(5),
    };
    let channel = connect(&world.grpc, &options).unwrap();
    let info = SourceInfo {
        label_sets: vec![Labels::from_pairs(EXTERNAL)],
        range: conformance::range(),
        supports_sharding: true,
        supports_without_replica_labels: true,
    };
    let client = StoreClient::new(&world.grpc, channel, info);
    conformance::run(&client, Traits { budgeted: false, exact_label_times: true }).await;
}
