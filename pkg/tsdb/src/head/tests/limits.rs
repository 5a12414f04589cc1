//! Limits, counts, and what is told of them.

use ::model::MetricMetadata;
use storage::append::{Appender, Metadata, SeriesRef, SeriesRefusal};
use storage::{Ctx, MetadataQuery, MetadataSource, StatisticsQuery, StatisticsSource};

use super::common::{START_MS as T, begin, floats, head, write};
use crate::head::HeadOptions;

fn try_resolve(appender: &mut dyn Appender, pairs: &[(&str, &str)]) -> Result<SeriesRef, SeriesRefusal> {
    appender.resolve(&[pairs]).unwrap().pop().unwrap()
}

#[tokio::test]
async fn limits_refuse_new_series_only() {
    let options = HeadOptions { series_max: 5, series_per_metric_max: 2, series_per_job_max: 3, ..Default::default() };
    let head = head(options);
    for n in ["1", "2"] {
        write(&head, &[("__name__", "m"), ("job", "j"), ("n", n)], &[(T, 1.0)]).await;
    }
    let mut appender = begin(&head);
    let of = |label, value: &str, max| Err(SeriesRefusal::TooManySeriesOf { label, value: value.to_owned(), max });
    assert_eq!(try_resolve(&mut *appender, &[("__name__", "m"), ("n", "3")]), of("__name__", "m", 2));
    assert!(try_resolve(&mut *appender, &[("__name__", "o"), ("job", "j")]).is_ok());
    assert_eq!(try_resolve(&mut *appender, &[("__name__", "p"), ("job", "j")]), of("job", "j", 3));
    let known = try_resolve(&mut *appender, &[("__name__", "m"), ("job", "j"), ("n", "2")]).unwrap();
    assert_eq!(floats(&mut *appender, &[(known, T + 1, 1.0)]), []);
    for name in ["q", "r"] {
        assert!(try_resolve(&mut *appender, &[("__name__", name)]).is_ok());
    }
    assert_eq!(try_resolve(&mut *appender, &[("__name__", "s")]), Err(SeriesRefusal::TooManySeries { max: 5 }));
    appender.commit().await.unwrap();
    assert_eq!(head.series(), 2, "what was resolved and got no sample is forgotten");
    head.refuse_new_series(Some("memory is short".to_owned()));
    let mut appender = begin(&head);
    let refusal = SeriesRefusal::NotNow("memory is short".to_owned());
    assert_eq!(try_resolve(&mut *appender, &[("__name__", "t")]), Err(refusal));
    assert_eq!(try_resolve(&mut *appender, &[("__name__", "m"), ("job", "j"), ("n", "2")]), Ok(known));
    head.refuse_new_series(None);
    assert!(try_resolve(&mut *appender, &[("__name__", "t")]).is_ok());
    drop(appender);
    head.truncate(T + 100);
    assert_eq!(head.series(), 0);
    write(&head, &[("__name__", "m"), ("job", "j"), ("n", "3")], &[(T + 200, 1.0)]).await;
}

#[tokio::test]
async fn statistics_name_what_is_large() {
    let head = head(HeadOptions::default());
    for n in 0..40 {
        let n = n.to_string();
        write(&head, &[("__name__", "large"), ("n", &n)], &[(T, 1.0)]).await;
    }
    write(&head, &[("__name__", "small"), ("n", "7")], &[(T, 1.0), (T + 1, 1.0)]).await;
    assert_eq!(head.fastest_growing_metric(), Some(("large".to_owned(), 40)));
    assert_eq!(head.fastest_growing_metric(), None, "since then nothing grew");
    let want = StatisticsQuery { limit: 2, ..Default::default() };
    let found = head.statistics(&Ctx::background(), want).await.unwrap().value.remove("").unwrap();
    assert_eq!((found.num_series, found.num_label_pairs, found.chunk_count), (41, 42, 41));
    assert_eq!((found.min_time, found.max_time), (T, T + 1));
    let pairs = |list: &[(&str, u64)]| list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect::<Vec<_>>();
    assert_eq!(found.series_count_by_metric_name, pairs(&[("large", 40), ("small", 1)]));
    assert_eq!(found.label_value_count_by_label_name, pairs(&[("n", 40), ("__name__", 2)]));
    assert_eq!(found.series_count_by_label_value_pair, pairs(&[("__name__=large", 40), ("n=7", 2)]));
    assert_eq!(found.memory_in_bytes_by_label_name[0].0, "n");
}

#[tokio::test]
async fn metadata_of_all_series_of_a_family_is_held_once() {
    let head = head(HeadOptions::default());
    let mut appender = begin(&head);
    let meta =
        |help: &str| MetricMetadata { metric_type: "counter".to_owned(), help: help.to_owned(), unit: String::new() };
    let mut series = Vec::new();
    for n in 0..100 {
        let n = n.to_string();
        let one = try_resolve(&mut *appender, &[("__name__", "a_total"), ("n", &n)]).unwrap();
        assert_eq!(floats(&mut *appender, &[(one, T, 1.0)]), []);
        series.push(one);
    }
    let rows = Metadata { series: &series, families: &["a"; 100], metadata: &vec![meta("one"); 100] };
    assert_eq!(appender.metadata(rows).unwrap(), []);
    appender.commit().await.unwrap();
    let memory = head.memory_bytes();
    let mut appender = begin(&head);
    let rows = Metadata { series: &series[..1], families: &["a"], metadata: &[meta("another")] };
    assert_eq!(appender.metadata(rows).unwrap(), []);
    appender.commit().await.unwrap();
    let found = head.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
    let mut helps: Vec<_> = found["a"].iter().map(|m| m.help.clone()).collect();
    helps.sort();
    assert_eq!(helps, ["another", "one"]);
    assert!(head.memory_bytes() - memory < 400);
    head.truncate(T + 1);
    let found = head.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
    assert!(found.is_empty(), "metadata goes with the last series: {found:?}");
}
