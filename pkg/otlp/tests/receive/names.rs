//! One request under each translation strategy: Prometheus' own vectors for its handler.

use ingest::wire::Writer;
use otlp::{Settings, Strategy};

use crate::messages::{Bed, NOW_MS, NOW_NS, attribute, metric, request};

/// A counter with an exemplar, a gauge, a histogram and an exponential histogram; unit `By`, one attribute each.
fn body() -> Vec<u8> {
    let resource =
        [("service.name", "test-service"), ("service.instance.id", "test-instance"), ("host.name", "test-host")];
    request(&resource, |scope| {
        let times = |point: &mut Writer, field: u64| {
            attribute(point, field, "foo.bar", "baz");
            point.fixed64(2, NOW_NS - 1_000_000).fixed64(3, NOW_NS);
        };
        metric(scope, "test.counter", "By", |m| {
            m.message(7, |sum| {
                sum.varint(2, 2).varint(3, 1).message(1, |point| {
                    times(point, 7);
                    point.double(4, 10.0).message(5, |exemplar| {
                        exemplar.fixed64(2, NOW_NS).double(3, 10.0);
                        exemplar.string(4, [0, 1, 2, 3, 4, 5, 6, 7]);
                        exemplar.string(5, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
                    });
                });
            });
        });
        metric(scope, "test.gauge", "By", |m| {
            m.message(5, |gauge| {
                gauge.message(1, |point| {
                    times(point, 7);
                    point.double(4, 10.0);
                });
            });
        });
        metric(scope, "test.histogram", "By", |m| {
            m.message(9, |histogram| {
                histogram.varint(2, 2).message(1, |point| {
                    times(point, 9);
                    point.fixed64(4, 14).double(5, 30.0);
                    point.string(6, [2u64; 7].map(u64::to_le_bytes).concat());
                    point.string(7, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0f64].map(f64::to_le_bytes).concat());
                });
            });
        });
        metric(scope, "test.exponential.histogram", "By", |m| {
            m.message(10, |histogram| {
                histogram.varint(2, 2).message(1, |point| {
                    times(point, 1);
                    point.varint(6, 4).message(8, |buckets| _ = buckets.string(2, [2, 2, 2, 2, 2]));
                    point.fixed64(7, 2).fixed64(4, 12).double(5, 30.0);
                });
            });
        });
    })
}

/// The samples with names of metrics and of the label of the attribute as given; `more` are further labels.
fn wanted([counter, gauge, histogram]: [&str; 3], label: &str, more: &dyn Fn(&str) -> String) -> Vec<String> {
    // Names that are no classic ones are quoted, that of the metric as well.
    let quoted = |name: &str| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain { name.to_owned() } else { format!("{name:?}") }
    };
    let (start, label) = (NOW_MS - 1, quoted(label));
    let sample = |name: String, kind: &str, le: &str, value: f64| {
        let (more, le) = (more(kind), if le.is_empty() { String::new() } else { format!(", le=\"{le}\"") });
        format!(
            "{{__name__=\"{name}\"{more}, {label}=\"baz\", instance=\"test-instance\", job=\"test-service\"{le}}} {value} \
             @{NOW_MS} {start}"
        )
    };
    let mut out = vec![sample(counter.into(), "counter", "", 10.0), sample(gauge.into(), "gauge", "", 10.0)];
    out.push(sample(format!("{histogram}_sum"), "histogram", "", 30.0));
    out.push(sample(format!("{histogram}_count"), "histogram", "", 14.0));
    for (n, le) in ["0", "1", "2", "3", "4", "5", "+Inf"].iter().enumerate() {
        out.push(sample(format!("{histogram}_bucket"), "histogram", le, 2.0 * (n as f64 + 1.0)));
    }
    let host = quoted(if label.starts_with('"') { "host.name" } else { "host_name" });
    out.push(format!(
        "{{__name__=\"target_info\", {host}=\"test-host\", instance=\"test-instance\", job=\"test-service\"}} 1 @{NOW_MS}"
    ));
    out
}

#[tokio::test]
async fn every_strategy() {
    use Strategy as S;
    for (strategy, names, exponential, label) in [
        (S::NoTranslation, ["test.counter", "test.gauge", "test.histogram"], "test.exponential.histogram", "foo.bar"),
        (
            S::NoUtf8EscapingWithSuffixes,
            ["test.counter_bytes_total", "test.gauge_bytes", "test.histogram_bytes"],
            "test.exponential.histogram_bytes",
            "foo.bar",
        ),
        (
            S::UnderscoreEscapingWithoutSuffixes,
            ["test_counter", "test_gauge", "test_histogram"],
            "test_exponential_histogram",
            "foo_bar",
        ),
        (
            S::UnderscoreEscapingWithSuffixes,
            ["test_counter_bytes_total", "test_gauge_bytes", "test_histogram_bytes"],
            "test_exponential_histogram_bytes",
            "foo_bar",
        ),
    ] {
        let bed = Bed::new(Settings { strategy, ..Settings::default() });
        bed.ok(body()).await;
        let first = bed.samples();
        assert_eq!(first, wanted(names, label, &|_| String::new()), "{strategy:?}");
        let notes = std::mem::take(&mut *bed.store.0.lock());
        let (series, _) = &notes.histograms[0];
        assert!(series.starts_with(&format!("{{__name__=\"{exponential}\"")), "{series}");
        let metadata = |name: &str, kind: &str, of: &str| format!("{name} {kind} \"bytes\" \"About {of}.\"");
        assert_eq!(
            notes.metadata.iter().collect::<std::collections::BTreeSet<_>>(),
            [
                metadata(names[0], "counter", "test.counter"),
                metadata(names[1], "gauge", "test.gauge"),
                metadata(names[2], "histogram", "test.histogram"),
                metadata(exponential, "histogram", "test.exponential.histogram"),
                "target_info gauge \"\" \"Target metadata\"".to_owned(),
            ]
            .iter()
            .collect()
        );
        assert_eq!(notes.exemplars.len(), 1);
        assert!(
            notes.exemplars[0].ends_with(&format!(
                "# {{span_id=\"0001020304050607\", trace_id=\"000102030405060708090a0b0c0d0e0f\"}} 10 @{NOW_MS}"
            )),
            "{}",
            notes.exemplars[0]
        );
    }
}

#[tokio::test]
async fn type_and_unit_are_labels_where_asked() {
    let settings = Settings { strategy: Strategy::NoTranslation, type_and_unit_labels: true, ..Settings::default() };
    let bed = Bed::new(settings);
    bed.ok(body()).await;
    let more = |kind: &str| format!(", __type__=\"{kind}\", __unit__=\"bytes\"");
    assert_eq!(bed.samples(), wanted(["test.counter", "test.gauge", "test.histogram"], "foo.bar", &more));
}

#[tokio::test]
async fn known_series_are_not_resolved_again_until_the_settings_change() {
    let bed = Bed::new(Settings::default());
    bed.ok(body()).await;
    let (first, resolved) = (bed.samples(), bed.store.0.lock().resolved);
    bed.ok(body()).await;
    assert_eq!((bed.samples(), bed.store.0.lock().resolved), (first.clone(), resolved));
    *bed.settings.lock() = Settings { strategy: Strategy::NoTranslation, ..Settings::default() }.into();
    bed.ok(body()).await;
    assert_ne!(bed.samples(), first);
}
