//! Series that somebody asked to delete are not shown from the next sync on.

use block::BlockId;
use bucket::deletions::{Request, create, mark_done};
use labels::Matcher;
use model::TimeRange;
use storage::{AggrChunk, Aggregate, Aggregates, Chunk, ChunkData, EncodedChunk, Select, Series};

use crate::common::{Fixture, NOW_MS, Spec, ask, select};

/// The labels and the sample times of each series, sorted.
fn shown(series: &[Series]) -> Vec<(String, Vec<i64>)> {
    let mut out: Vec<_> = series
        .iter()
        .map(|s| {
            let mut column = chunkenc::Column::new();
            for chunk in &s.chunks {
                let part = match &chunk.data {
                    ChunkData::Raw(part) => part,
                    ChunkData::Aggr(aggr) => aggr.get(Aggregate::Count).unwrap(),
                    ChunkData::Decoded(_) => panic!("decoded"),
                };
                chunkenc::decode_floats(part.encoding, &part.data, &mut column).unwrap();
                let of_chunk = &column.times[column.times.partition_point(|t| *t < chunk.min_time)..];
                assert_eq!((of_chunk.first(), of_chunk.last()), (Some(&chunk.min_time), Some(&chunk.max_time)));
            }
            (s.labels.to_string(), column.times)
        })
        .collect();
    out.sort();
    out
}

fn visits(user: &str) -> Series {
    let labels = [("__name__", "visits"), ("user", user)];
    let mut series = testkit::series(&labels, &[(10, 1.0), (20, 2.0), (30, 3.0)]);
    series.chunks.extend(testkit::series(&labels, &[(40, 4.0), (50, 5.0)]).chunks);
    series
}

#[tokio::test]
async fn what_is_asked_to_go_is_not_shown() {
    let mut fixture = Fixture::new();
    for (n, cluster) in [(1, "eu"), (2, "us")] {
        fixture.raw(n, &[("cluster", cluster)], (0, 100), vec![visits("ann"), visits("bob")]).await;
    }
    let gateway = fixture.gateway(|_| ()).await;
    let all = select((0, 99), &["__name__=visits"]);
    let before = ask(&gateway, &all).await.value;
    assert_eq!(before.len(), 4);

    let id = BlockId::new(NOW_MS as u64, 9);
    let selector = vec![Matcher::equal("user", "ann"), Matcher::equal("cluster", "eu")];
    let request = Request::new(id, NOW_MS, &[selector], TimeRange::new(20, 40), "asked for");
    create(&fixture.plain, &request).await.unwrap();
    gateway.syncer.sync().await.unwrap();
    let text = |user: &str, cluster: &str| format!(r#"{{__name__="visits", cluster="{cluster}", user="{user}"}}"#);
    let whole = vec![10, 20, 30, 40, 50];
    let mut wanted = vec![
        (text("ann", "eu"), vec![10, 50]),
        (text("bob", "eu"), whole.clone()),
        (text("ann", "us"), whole.clone()),
        (text("bob", "us"), whole),
    ];
    wanted.sort();
    assert_eq!(shown(&ask(&gateway, &all).await.value), wanted);
    // labels only: the series is there as long as some of the time is
    for (range, count) in [((0, 99), 4), ((25, 35), 3)] {
        let names = Select { skip_chunks: true, ..select(range, &["__name__=visits"]) };
        assert_eq!(ask(&gateway, &names).await.value.len(), count, "{range:?}");
    }

    mark_done(&fixture.plain, id, NOW_MS).await.unwrap();
    gateway.syncer.sync().await.unwrap();
    assert_eq!(ask(&gateway, &all).await.value, before);
}

#[tokio::test]
async fn of_coarse_data_every_window_goes_that_has_a_part_in_it() {
    let mut fixture = Fixture::new();
    let times = [299_999, 599_999, 899_999, 1_199_999];
    let part = |_| {
        let data = chunkenc::encode_xor(times.map(|t| (t, 1.0))).unwrap().into();
        Some(EncodedChunk { encoding: chunkenc::Encoding::Xor, data })
    };
    let chunk = Chunk::aggr(times[0], times[3], AggrChunk { parts: std::array::from_fn(part) });
    let series = Series { labels: visits("ann").labels, chunks: vec![chunk] };
    let external = [("cluster", "eu")];
    let spec = Spec { n: 3, external: &external, range: (0, 1_200_000), resolution_ms: 300_000, series: vec![series] };
    fixture.block(spec).await;
    let id = BlockId::new(NOW_MS as u64, 9);
    let range = TimeRange::new(599_999, 600_000);
    let request = Request::new(id, NOW_MS, &[vec![Matcher::equal("user", "ann")]], range, "");
    create(&fixture.plain, &request).await.unwrap();
    let gateway = fixture.gateway(|_| ()).await;
    let want = Select {
        max_resolution_ms: 300_000,
        aggregates: Aggregates::of(&Aggregate::ALL),
        ..select((0, 1_200_000), &["__name__=visits"])
    };
    assert_eq!(shown(&ask(&gateway, &want).await.value)[0].1, [299_999, 1_199_999]);
}
