//! Messages that tools make arrive as they were made, in both versions.

use labels::Labels;
use model::MetricType;
use remote::receive::MessageType;
use remote::{PushedFamily, PushedSample, push_headers, push_message};
use storage::{Ctx, MetadataQuery, MetadataSource};

use crate::{NOW_MS, Rig};

fn sample(pairs: &[(&str, &str)], value: f64) -> PushedSample {
    PushedSample { labels: Labels::from_pairs(pairs.iter().copied()), time_ms: NOW_MS, value }
}

#[tokio::test]
async fn both_versions_say_the_same() {
    let samples = [
        sample(&[("__name__", "requests_total"), ("job", "j"), ("path", "j")], 3.0),
        sample(&[("__name__", "latency_bucket"), ("job", "j"), ("le", "+Inf")], 0.0),
        sample(&[("__name__", "other"), ("job", "j")], f64::NAN),
    ];
    let family =
        |name: &str, metric_type| PushedFamily { name: name.to_owned(), metric_type, help: format!("Of {name}.") };
    let families = [family("requests_total", MetricType::Counter), family("latency", MetricType::Histogram)];
    let mut all = Vec::new();
    for message in [MessageType::V1, MessageType::V2] {
        let rig = Rig::new();
        let got = rig.post(message, push_message(message, &samples, &families).unwrap()).await;
        assert_eq!((got.status.as_u16(), got.text.as_str()), (204, ""), "{message:?}");
        if message == MessageType::V2 {
            assert_eq!(got.written(), Some((3, 0, 0)));
            let known = rig.store.metadata(&Ctx::background(), MetadataQuery::default()).await.unwrap().value;
            assert_eq!(known["requests_total"][0].help, "Of requests_total.");
            assert_eq!(known["latency"][0].metric_type, "histogram");
        }
        let floats = rig.floats().await.into_iter().map(|(labels, time_ms, value)| (labels, time_ms, value.to_bits()));
        all.push(floats.collect::<Vec<_>>());
    }
    assert_eq!((all[0].len(), &all[0]), (3, &all[1]));
    assert_eq!(push_headers(MessageType::V2)[2].1, "2.0.0");
}
