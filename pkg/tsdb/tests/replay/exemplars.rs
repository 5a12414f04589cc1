//! Exemplars and metadata.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn exemplars_and_metadata_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path());
    let mut appender = node.head.appender(&Ctx::background(), AppendOptions::default());
    let one = appender.resolve(&[&[("__name__", "one_total")]]).unwrap().remove(0).unwrap();
    let metadata = MetricMetadata { metric_type: "counter".into(), help: "Ones.".into(), unit: "s".into() };
    let exemplar = Exemplar { labels: labels::Labels::from_pairs([("trace_id", "a")]), value: 1.0, timestamp_ms: T };
    let rows = Metadata { series: &[one], families: &["one_total"], metadata: std::slice::from_ref(&metadata) };
    appender.metadata(rows).unwrap();
    appender.exemplars(Exemplars { series: &[one], exemplars: std::slice::from_ref(&exemplar) }).unwrap();
    let rows = storage::append::Floats { series: &[one], times_ms: &[T], values: &[1.0], starts_ms: &[] };
    appender.floats(rows).unwrap();
    appender.commit().await.unwrap();
    node.stop();
    let node = start(dir.path());
    let found = node.head.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
    assert_eq!(found.get("one_total").unwrap(), &[metadata]);
    let all = all_exemplars();
    let found = node.head.exemplars(&Ctx::background(), all).await.unwrap().value;
    assert_eq!(found[0].exemplars, [exemplar]);
}

/// prometheus#16242: what is in blocks is not taken again.
#[test]
fn exemplars_of_times_before_the_head_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let exemplar =
        |time_ms: i64| ExemplarRow { series_ref: 1, time_ms, value: 1.0, labels: [("trace_id", "a")].into_iter() };
    let mut record = Vec::new();
    encode_exemplars(&mut record, [exemplar(T - 1), exemplar(T), exemplar(T + 1)]);
    log(dir.path(), vec![series(1, "a"), samples(&[1], 0..5, 1.0), Some(record)]);
    let node = start_with(dir.path(), 2, T);
    let found = futures::executor::block_on(node.head.exemplars(&Ctx::background(), all_exemplars())).unwrap().value;
    assert_eq!(found[0].exemplars.iter().map(|e| e.timestamp_ms - T).collect::<Vec<_>>(), [0, 1]);
    node.stop();
}
