//! Histograms of both kinds, summaries, stale markers, deltas.

use histogram::{Histogram, ResetHint, Span};
use ingest::wire::Writer;
use otlp::{DeltaMode, Settings};
use storage::append::HistogramValue;

use crate::messages::{Bed, NOW_MS, NOW_NS, metric, request, sum};

/// A histogram of one data point; each exemplar is a value.
fn explicit(scope: &mut Writer, temporality: u64, (counts, bounds): (&[u64], &[f64]), more: impl FnOnce(&mut Writer)) {
    metric(scope, "h", "", |m| {
        m.message(9, |histogram| {
            histogram.varint(2, temporality).message(1, |point| {
                point.fixed64(3, NOW_NS).fixed64(4, counts.iter().sum());
                point.string(6, counts.iter().flat_map(|c| c.to_le_bytes()).collect::<Vec<_>>());
                point.string(7, bounds.iter().flat_map(|b| b.to_le_bytes()).collect::<Vec<_>>());
                more(point);
            });
        });
    });
}

fn exponential(scope: &mut Writer, scale: i64, counts: &[u8], more: impl FnOnce(&mut Writer)) {
    metric(scope, "e", "", |m| {
        m.message(10, |histogram| {
            histogram.varint(2, 2).message(1, |point| {
                point.fixed64(3, NOW_NS).varint(6, ((scale << 1) ^ (scale >> 63)) as u64);
                point.fixed64(4, counts.iter().map(|c| u64::from(*c)).sum());
                point.message(8, |buckets| _ = buckets.varint(1, 1).string(2, counts));
                more(point);
            });
        });
    });
}

fn only(bed: &Bed) -> Histogram {
    let notes = bed.store.0.lock();
    match &notes.histograms[..] {
        [(_, HistogramValue::Int(histogram))] => (**histogram).clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exemplars_go_to_their_buckets() {
    let bed = Bed::new(Settings::default());
    bed.ok(request(&[], |scope| {
        explicit(scope, 2, (&[1, 1, 1], &[1.0, 2.5]), |point| {
            for (value, ago) in [(9.0, 0), (1.0, 2), (0.5, 3)] {
                point.message(8, |e| _ = e.fixed64(2, NOW_NS - ago * 1_000_000).double(3, value));
            }
            point.message(8, |e| _ = e.string(4, [1; 8]));
        });
    }))
    .await;
    let le = |le: &str| format!("{{__name__=\"h_bucket\", le=\"{le}\"}}");
    assert_eq!(
        bed.samples(),
        [
            format!("{{__name__=\"h_count\"}} 3 @{NOW_MS}"),
            format!("{} 1 @{NOW_MS}", le("1")),
            format!("{} 2 @{NOW_MS}", le("2.5")),
            format!("{} 3 @{NOW_MS}", le("+Inf")),
        ],
        "no sum is none"
    );
    let notes = bed.store.0.lock();
    let shown = |bucket: &str, value: f64, ago: i64| format!("{} # {{}} {value} @{}", le(bucket), NOW_MS - ago);
    assert_eq!(notes.exemplars, [shown("1", 0.5, 3), shown("1", 1.0, 2), shown("+Inf", 9.0, 0)]);
    assert!(bed.metrics.encode().contains("aion_otlp_exemplars_dropped_total 1"));
}

#[tokio::test]
async fn explicit_buckets_as_custom_ones() {
    let settings = Settings { convert_histograms_to_nhcb: true, ..Settings::default() };
    let bed = Bed::new(settings);
    bed.ok(request(&[], |scope| {
        explicit(scope, 2, (&[0, 3, 0, 5, 1], &[1.0, 2.0, 3.0, 4.0]), |point| _ = point.double(5, 9.5));
    }))
    .await;
    assert_eq!(
        only(&bed),
        Histogram {
            schema: -53,
            count: 9,
            sum: 9.5,
            positive_spans: vec![Span { offset: 1, length: 4 }],
            positive_deltas: vec![3, -3, 5, -4],
            custom_values: vec![1.0, 2.0, 3.0, 4.0],
            ..Histogram::default()
        }
    );
}

#[tokio::test]
async fn exponential_histograms_keep_eight_doublings() {
    let bed = Bed::new(Settings::default());
    bed.ok(request(&[], |scope| exponential(scope, 9, &[1, 2, 3, 4], |_| {}))).await;
    let h = only(&bed);
    // The offset is -1: buckets -1, 0, 1, 2 of scale 9 are -1, 0, 0, 1 of scale 8.
    assert_eq!((h.schema, h.count, h.zero_threshold), (8, 10, 1e-128));
    assert_eq!((h.positive_spans, h.positive_deltas), (vec![Span { offset: 0, length: 3 }], vec![1, 4, -1]));
    let bed = Bed::new(Settings::default());
    let answer = bed.send(request(&[], |scope| exponential(scope, -5, &[1], |_| {}))).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("Scale must be >= -4, was -5"), "{}", answer.text());
}

#[tokio::test]
async fn a_point_without_a_value_ends_its_series() {
    let bed = Bed::new(Settings::default());
    bed.ok(request(&[], |scope| {
        metric(scope, "g", "", |m| {
            m.message(5, |gauge| _ = gauge.message(1, |p| _ = p.fixed64(3, NOW_NS).varint(8, 1)));
        });
        exponential(scope, 0, &[1], |point| _ = point.varint(10, 1));
        metric(scope, "q", "", |m| {
            m.message(11, |summary| {
                summary.message(1, |point| {
                    point.fixed64(3, NOW_NS).fixed64(4, 4).double(5, 2.0).varint(8, 1);
                    point.message(6, |q| _ = q.double(1, 0.5).double(2, 3.0));
                });
            });
        });
    }))
    .await;
    let stale = |labels: &str| format!("{labels} stale @{NOW_MS}");
    assert_eq!(
        bed.samples(),
        [
            stale(r#"{__name__="g"}"#),
            stale(r#"{__name__="q_sum"}"#),
            stale(r#"{__name__="q_count"}"#),
            stale(r#"{__name__="q", quantile="0.5"}"#)
        ]
    );
    assert!(bed.store.0.lock().histograms[0].1.is_stale());
}

#[tokio::test]
async fn deltas_are_rejected_summed_or_stored() {
    let body = |from: u64| {
        request(&[], |scope| {
            sum(scope, "d", 1, &[(&[], from, 1.0), (&[], from + 1_000_000_000, 2.0)]);
            explicit(scope, 1, (&[1, 1], &[1.0]), |_| {});
        })
    };
    let at = NOW_NS - 10_000_000_000;
    let bed = Bed::new(Settings::default());
    let answer = bed.send(body(at)).await;
    assert_eq!(answer.status, 400);
    let text = answer.text();
    assert!(text.contains("invalid temporality and type combination for metric \"d\": it is delta"), "{text}");

    let bed = Bed::new(Settings { delta: DeltaMode::ToCumulative, ..Settings::default() });
    bed.ok(body(at)).await;
    // The store was full: nothing of this counts, and the sender repeats it.
    bed.store.0.lock().failures = 1;
    assert_eq!(bed.send(body(at + 5_000_000_000)).await.status, 503);
    let answer = bed.send(body(at + 5_000_000_000)).await;
    assert!(
        answer.status == 200 && answer.text().contains("not later"),
        "the histogram has one time: {}",
        answer.text()
    );
    let values: Vec<_> = bed.samples().into_iter().filter(|s| s.contains("\"d_total\"")).collect();
    let sample = |value: f64, ago: i64| format!("{{__name__=\"d_total\"}} {value} @{}", NOW_MS - ago * 1000);
    assert_eq!(values, [sample(1.0, 10), sample(3.0, 9), sample(4.0, 5), sample(6.0, 4)]);
    assert!(bed.store.0.lock().metadata.contains(&"d_total counter \"\" \"About d.\"".to_owned()));

    let native = Settings { delta: DeltaMode::Native, convert_histograms_to_nhcb: true, ..Settings::default() };
    let bed = Bed::new(native);
    bed.ok(body(at)).await;
    assert_eq!(bed.samples(), [sample(1.0, 10), sample(2.0, 9)]);
    assert_eq!(only(&bed).reset_hint, ResetHint::Gauge);
    assert!(bed.store.0.lock().metadata.contains(&"d_total unknown \"\" \"About d.\"".to_owned()));
}
