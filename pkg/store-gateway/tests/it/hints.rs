//! Hints of requests and answers on the wire, as another maker's client sees them.

use prost::Message;
use proto::hintspb;
use proto::thanos::store_client::StoreClient;
use proto::thanos::{LabelMatcher, LabelNamesRequest, LabelValuesRequest, SeriesRequest, series_response};

use crate::common::*;
use crate::serve::start;

const HOUR: i64 = 3_600_000;

fn any(name: &str, message: &impl Message) -> Option<prost_types::Any> {
    let type_url = format!("type.googleapis.com/hintspb.{name}");
    Some(prost_types::Any { type_url, value: message.encode_to_vec() })
}

fn equal(name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { r#type: 0, name: name.to_owned(), value: value.to_owned() }
}

fn ids(blocks: Vec<hintspb::Block>) -> Vec<String> {
    let mut ids: Vec<_> = blocks.into_iter().map(|b| b.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn over_the_wire() {
    let mut f = Fixture::new();
    let a = f.raw(1, &[("cluster", "a")], (0, HOUR), fleet("up", 10, 0, 240)).await.to_string();
    let b = f.raw(2, &[("cluster", "b")], (0, HOUR), fleet("up", 20, 0, 240)).await.to_string();
    let c = f.raw(3, &[("cluster", "b")], (HOUR, 2 * HOUR), fleet("up", 20, HOUR, 240)).await.to_string();
    let running = start(f.component(|_| {})).await;
    running.wait_ready().await;
    let mut client = StoreClient::new(running.channel.clone());

    let all = vec![a.clone(), b.clone(), c.clone()];
    let blocks = |list: &[LabelMatcher], enable_query_stats| {
        let hints = hintspb::SeriesRequestHints { block_matchers: list.to_vec(), enable_query_stats };
        any("SeriesRequestHints", &hints)
    };
    // (hints asked with, time, blocks told, series)
    for (hints, end, told, series) in [
        (None, 2 * HOUR, None, 30),
        (blocks(&[], false), 2 * HOUR, Some(all.clone()), 30),
        (blocks(&[], true), HOUR / 2, Some(vec![a.clone(), b.clone()]), 30),
        (blocks(&[equal("cluster", "b")], false), 2 * HOUR, Some(vec![b.clone(), c.clone()]), 20),
        (blocks(&[equal("__block_id", &a)], true), 2 * HOUR, Some(vec![a.clone()]), 10),
        (blocks(&[equal("__block_id", "none")], false), 2 * HOUR, Some(vec![]), 0),
    ] {
        let request = SeriesRequest {
            max_time: end,
            matchers: vec![equal("__name__", "up")],
            hints: hints.clone(),
            ..SeriesRequest::default()
        };
        let mut answers = client.series(request).await.unwrap().into_inner();
        let (mut found, mut last) = (std::collections::BTreeSet::new(), None);
        while let Some(answer) = answers.message().await.unwrap() {
            assert!(last.is_none(), "hints come last");
            match answer.result.unwrap() {
                series_response::Result::Series(s) => {
                    found.insert(format!("{:?}", s.labels));
                }
                series_response::Result::Hints(h) => last = Some(h),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(found.len(), series, "{hints:?}");
        let last = last.map(|any| hintspb::SeriesResponseHints::decode(&*any.value).unwrap());
        assert_eq!(last.as_ref().map(|h| ids(h.queried_blocks.clone())), told, "{hints:?}");
        let wanted = hints.is_some_and(|h| hintspb::SeriesRequestHints::decode(&*h.value).unwrap().enable_query_stats);
        let stats = last.and_then(|h| h.query_stats);
        assert_eq!(stats.is_some(), wanted);
        if let Some(stats) = stats {
            assert_eq!(
                (stats.blocks_queried as usize, stats.merged_series_count as usize),
                (told.unwrap().len(), series)
            );
            assert!(stats.chunks_fetched_size_sum > 0 && stats.data_downloaded_size_sum > 0, "{stats:?}");
            assert!(stats.merged_chunks_count >= stats.merged_series_count && stats.postings_touched > 0, "{stats:?}");
        }
    }

    let hints = hintspb::LabelNamesRequestHints { block_matchers: vec![equal("cluster", "a")] };
    for (hints, told) in [(None, all.clone()), (any("LabelNamesRequestHints", &hints), vec![a.clone()])] {
        let request = LabelNamesRequest { end: 2 * HOUR, hints, ..LabelNamesRequest::default() };
        let answer = client.label_names(request).await.unwrap().into_inner();
        let hints = hintspb::LabelNamesResponseHints::decode(&*answer.hints.unwrap().value).unwrap();
        assert_eq!(ids(hints.queried_blocks), told);
    }
    let hints = hintspb::LabelValuesRequestHints { block_matchers: vec![equal("cluster", "b")] };
    for (hints, told) in [(None, all.clone()), (any("LabelValuesRequestHints", &hints), vec![b.clone(), c.clone()])] {
        let request = LabelValuesRequest { label: "job".into(), end: 2 * HOUR, hints, ..LabelValuesRequest::default() };
        let answer = client.label_values(request).await.unwrap().into_inner();
        let hints = hintspb::LabelValuesResponseHints::decode(&*answer.hints.unwrap().value).unwrap();
        assert_eq!(ids(hints.queried_blocks), told);
    }

    let wrong = any("LabelNamesRequestHints", &hintspb::LabelNamesRequestHints::default());
    let refused = client.series(SeriesRequest { hints: wrong, ..SeriesRequest::default() }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    drop(client);
    running.stop().await;
}
