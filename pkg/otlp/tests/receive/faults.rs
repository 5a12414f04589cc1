//! Hostile requests: memory stays bounded, and nothing panics.

use ingest::wire::Writer;
use otlp::{ReceiverOptions, Settings};
use storage::Budget;
use storage::append::LabelLimits;

use crate::messages::{Bed, NOW_NS, gauge, metric, request};

#[tokio::test]
async fn memory_is_bounded() {
    let budget = Budget::new("all", "--limits.memory", 64 << 20, None);
    let options = ReceiverOptions { rows_bytes_max: 8 << 20, ..ReceiverOptions::default() };
    let settings = Settings { promote_all_resource_attributes: true, ..Settings::default() };
    let bed = Bed::with(settings, options, budget.clone());
    // A metric takes two bytes here, and a hundred in memory.
    let mut metrics = Writer::default();
    metrics.message(1, |rm| {
        rm.message(2, |sm| {
            for _ in 0..500_000 {
                sm.message(2, |m| _ = m.message(5, |g| _ = g.message(1, |_| {})));
            }
        });
    });
    let buckets = request(&[], |scope| {
        metric(scope, "h", "", |m| {
            m.message(10, |h| {
                h.varint(2, 2).message(1, |p| _ = p.message(8, |b| _ = b.string(2, vec![0; 10 << 20])));
            });
        });
    });
    let attributes = request(&[], |scope| {
        metric(scope, "g", "", |m| {
            m.message(5, |g| {
                g.message(1, |p| (0..100_000).for_each(|_| _ = p.string(7, [])));
            });
        });
    });
    for (body, status, wanted) in [
        (metrics.into_bytes(), 413, "send smaller batches"),
        (buckets, 400, "more than 16384 buckets"),
        (attributes, 400, "more than 16384 attributes"),
    ] {
        let response = bed.send(body).await;
        assert!(response.text().contains(wanted), "{}", response.text());
        assert_eq!(response.status.as_u16(), status);
    }
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= 40 << 20, "{}", budget.peak_bytes());
}

#[tokio::test]
async fn odd_numbers_and_nesting() {
    let bed = Bed::new(Settings::default());
    let mut deep = Writer::default();
    deep.string(1, "x");
    for _ in 0..5000 {
        let mut outer = Writer::default();
        outer.message(5, |list| _ = list.string(1, deep.bytes()));
        deep = outer;
    }
    let nested = request(&[], |scope| {
        metric(scope, "g", "", |m| {
            m.message(5, |g| {
                g.message(1, |p| {
                    p.fixed64(3, NOW_NS).double(4, 1.0);
                    p.message(7, |pair| _ = pair.string(1, "a").string(2, deep.bytes()));
                });
            });
        });
    });
    let response = bed.send(nested).await;
    assert!(response.status == 400 && response.text().contains("128 deep"), "{}", response.text());
    let bounds = request(&[], |scope| {
        for bounds in [[1.0, 1.0], [2.0, 1.0], [f64::NAN, 1.0]] {
            metric(scope, "h", "", |m| {
                m.message(9, |h| {
                    h.varint(2, 2).message(1, |p| {
                        p.fixed64(3, NOW_NS).string(6, [1u64; 3].map(u64::to_le_bytes).concat());
                        p.string(7, bounds.map(f64::to_le_bytes).concat());
                    });
                });
            });
        }
        gauge(scope, "nan", &[(&[], NOW_NS, f64::NAN), (&[], u64::MAX, 1.0)]);
    });
    let response = bed.send(bounds).await;
    assert!(response.text().contains("bounds do not ascend"), "{}", response.text());
    assert_eq!(bed.samples().len(), 1);
}

/// A point with an attribute `a` whose lists lie so deep in one another.
fn nested(depth: usize) -> Vec<u8> {
    let mut deep = Writer::default();
    deep.string(1, "x");
    for _ in 0..depth {
        let mut outer = Writer::default();
        outer.message(5, |list| _ = list.string(1, deep.bytes()));
        deep = outer;
    }
    request(&[], |scope| {
        metric(scope, "g", "", |m| {
            m.message(5, |g| {
                g.message(1, |p| {
                    p.fixed64(3, NOW_NS).double(4, 1.0);
                    p.message(7, |pair| _ = pair.string(1, "a").string(2, deep.bytes()));
                });
            });
        });
    })
}

fn nested_json(depth: usize) -> Vec<u8> {
    let mut value = r#"{"stringValue":"x"}"#.to_owned();
    for _ in 0..depth {
        value = format!(r#"{{"arrayValue":{{"values":[{value}]}}}}"#);
    }
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[
            {{"timeUnixNano":"{NOW_NS}","asDouble":1,"attributes":[{{"key":"a","value":{value}}}]}}]}}}}]}}]}}]}}"#
    )
    .into_bytes()
}

#[tokio::test]
async fn lists_a_hundred_deep_are_a_text_or_refused() {
    let bed = Bed::new(Settings::default());
    let text = |depth| format!("{}\\\"x\\\"{}", "[".repeat(depth), "]".repeat(depth));
    bed.ok(nested(100)).await;
    let samples = bed.samples();
    assert!(samples.len() == 1 && samples[0].contains(&text(100)), "{samples:?}");
    // A list takes three levels of JSON, of which there may be 128.
    let json = &[("content-type", "application/json")][..];
    let answer = bed.post(nested_json(30), json).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
    let samples = bed.samples();
    assert!(samples.len() == 1 && samples[0].contains(&text(30)), "{samples:?}");
    for deep in [nested_json(100), [br#"{"resourceMetrics":"#.to_vec(), vec![b'['; 1_000_000]].concat()] {
        let answer = bed.post(deep, json).await;
        assert_eq!(answer.status.as_u16(), 400, "{}", answer.text());
        assert_eq!(bed.samples(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_attribute_of_ten_megabytes_is_in_no_series() {
    let budget = Budget::new("all", "--limits.memory", 512 << 20, None);
    let labels = LabelLimits { labels_max: 1000, name_bytes_max: 4 << 10, value_bytes_max: 128 << 10 };
    let options = ReceiverOptions { labels, ..ReceiverOptions::default() };
    let huge = "x".repeat(10 << 20);
    for promote_all in [false, true] {
        let settings = Settings { promote_all_resource_attributes: promote_all, ..Settings::default() };
        let bed = Bed::with(settings, options.clone(), budget.clone());
        // The label `job`, and with all attributes promoted another one.
        let of_resource = request(&[("service.name", &huge), ("other", "y")], |scope| {
            gauge(scope, "g", &[(&[], NOW_NS, 1.0)]);
        });
        let of_point = request(&[], |scope| gauge(scope, "g", &[(&[("a", &huge)], NOW_NS, 1.0)]));
        for body in [of_resource, of_point] {
            let answer = bed.send(body).await;
            assert!(answer.status.as_u16() < 500 && answer.body.len() < 4096, "{}", answer.status);
            assert_eq!(bed.samples(), Vec::<String>::new());
        }
        // What is as it should be goes on.
        bed.ok(request(&[], |scope| gauge(scope, "g", &[(&[("a", "b")], NOW_NS, 1.0)]))).await;
        assert_eq!(bed.samples().len(), 1);
    }
    assert_eq!(budget.used_bytes(), 0);
    assert!(budget.peak_bytes() <= 64 << 20, "{}", budget.peak_bytes());
}
