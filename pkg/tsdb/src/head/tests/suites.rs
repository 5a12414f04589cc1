//! The head against the suites of the seams.

use chunkenc::Column;
use storage::append::{AppendOptions, Appendable, Floats};
use storage::conformance::{self, EXTERNAL, Traits};
use storage::{ChunkData, Ctx};
use testkit::append::{self as appendable, Rules};

use super::common::head;
use crate::head::HeadOptions;

fn options(out_of_order_window_ms: i64) -> HeadOptions {
    HeadOptions { exemplars_max: 100, out_of_order_window_ms, ..HeadOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_appendable() {
    let rules = Rules { out_of_order: false, exemplars: true, metadata: true };
    appendable::run(&|| head(options(0)), rules).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_appendable_out_of_order() {
    let rules = Rules { out_of_order: true, exemplars: true, metadata: true };
    appendable::run(&|| head(options(appendable::WINDOW_MS)), rules).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_appendable_with_start_times() {
    let rules = Rules { out_of_order: true, exemplars: true, metadata: true };
    appendable::run(&|| head(HeadOptions { xor2: true, ..options(appendable::WINDOW_MS) }), rules).await;
}

#[tokio::test]
async fn it_is_a_source() {
    let store = head(options(0));
    let external = labels::Labels::from_pairs(EXTERNAL);
    let mut appender = store.appender(&Ctx::background(), AppendOptions::default());
    for series in conformance::series() {
        let labels = series.labels.overlay(&external);
        let pairs: Vec<_> = labels.iter().collect();
        let series_ref = appender.resolve(&[&pairs]).unwrap()[0].clone().unwrap();
        for chunk in &series.chunks {
            let ChunkData::Raw(raw) = &chunk.data else { panic!("raw chunks only") };
            let mut column = Column::new();
            chunkenc::decode_floats(raw.encoding, &raw.data, &mut column).unwrap();
            let floats = Floats {
                series: &vec![series_ref; column.len()],
                times_ms: &column.times,
                values: &column.values,
                starts_ms: &[],
            };
            assert_eq!(appender.floats(floats).unwrap(), []);
        }
    }
    appender.commit().await.unwrap();
    for mapped in [false, true] {
        if mapped {
            // Nothing reads it back here: the parts' store is the sink.
            store.core.rank_new_series();
        }
        conformance::run(&store, Traits { budgeted: true, exact_label_times: false }).await;
    }
}
