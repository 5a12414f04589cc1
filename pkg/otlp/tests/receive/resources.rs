//! Attributes of resources, scopes and data points as labels, and `target_info`.

use std::collections::BTreeSet;

use ingest::wire::Writer;
use otlp::{Settings, Strategy};

use crate::messages::{Bed, NOW_MS, NOW_NS, add_resource, gauge, request, sum};

const RESOURCE: [(&str, &str); 4] =
    [("service.name", "api"), ("service.namespace", "shop"), ("host.name", "h1"), ("a.b", "1")];

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn labels_with(settings: Settings, resource: &[(&str, &str)], point: &[(&str, &str)]) -> Vec<String> {
    let bed = Bed::new(settings);
    bed.ok(request(resource, |scope| gauge(scope, "g", &[(point, NOW_NS, 1.0)]))).await;
    bed.samples()
}

#[tokio::test]
async fn resource_attributes_are_promoted() {
    let point = [("x", "y"), ("host.name", "of-point")];
    for (settings, wanted) in [
        (Settings::default(), r#"{__name__="g", host_name="of-point", job="shop/api", x="y"}"#),
        (
            Settings { resource_attributes: names(&["a.b", "host.name", "no"]), ..Settings::default() },
            r#"{__name__="g", a_b="1", host_name="of-point", job="shop/api", x="y"}"#,
        ),
        (
            Settings {
                promote_all_resource_attributes: true,
                resource_attributes: names(&["host.name"]),
                ..Settings::default()
            },
            r#"{__name__="g", a_b="1", host_name="of-point", job="shop/api", service_name="api", service_namespace="shop", x="y"}"#,
        ),
    ] {
        let samples = labels_with(settings, &RESOURCE, &point).await;
        assert_eq!(samples[0], format!("{wanted} 1 @{NOW_MS}"));
    }
}

#[tokio::test]
async fn scopes_are_promoted_where_asked() {
    let settings = Settings { promote_scope_metadata: true, ..Settings::default() };
    let samples = labels_with(settings, &RESOURCE, &[("otel.scope.name", "mine")]).await;
    assert_eq!(
        samples[0],
        format!(
            "{{__name__=\"g\", job=\"shop/api\", otel_scope_kind_of=\"test\", otel_scope_name=\"lib\", \
             otel_scope_schema_url=\"http://schema\", otel_scope_version=\"1.2\"}} 1 @{NOW_MS}"
        )
    );
    assert!(!samples[1].contains("otel_scope"), "{}", samples[1]);
}

#[tokio::test]
async fn attributes_that_collide_are_joined_by_their_names() {
    let point = [("a_b", "3"), ("a.b", "1"), ("a-b", "0"), ("a0", "x"), ("__name__", "other")];
    let bed = Bed::new(Settings::default());
    bed.ok(request(&[], |scope| gauge(scope, "g", &[(&point, NOW_NS, 1.0)]))).await;
    assert_eq!(bed.samples(), [format!("{{__name__=\"g\", a0=\"x\", a_b=\"0;1;3\"}} 1 @{NOW_MS}")]);
    assert!(
        bed.metrics
            .encode()
            .contains("prometheus_api_otlp_translation_warnings_total{category=\"label_name_collision\"} 1")
    );
    let utf8 = Settings { strategy: Strategy::NoTranslation, ..Settings::default() };
    let samples = labels_with(utf8, &[], &point).await;
    assert!(samples[0].contains(r#""a-b"="0", "a.b"="1", a0="x", a_b="3""#), "{}", samples[0]);
}

#[tokio::test]
async fn target_info_covers_the_time_of_the_samples() {
    let minute = 60_000_000_000;
    let body = || {
        request(&RESOURCE, |scope| {
            gauge(scope, "g", &[(&[], NOW_NS - 6 * minute, 1.0), (&[], NOW_NS, 1.0), (&[], 0, 7.0)]);
        })
    };
    let bed = Bed::new(Settings::default());
    bed.ok(body()).await;
    let info = |ago_s: i64| {
        let time_ms = NOW_MS - ago_s * 1000;
        format!("{{__name__=\"target_info\", a_b=\"1\", host_name=\"h1\", job=\"shop/api\"}} 1 @{time_ms}")
    };
    assert_eq!(bed.samples()[3..], [info(360), info(210), info(60), info(0)]);
    let keep = Settings { keep_identifying_resource_attributes: true, ..Settings::default() };
    let bed = Bed::new(keep);
    bed.ok(body()).await;
    assert!(bed.samples()[3].contains(r#"job="shop/api", service_name="api", service_namespace="shop"}"#));
}

#[tokio::test]
async fn target_info_only_where_it_says_something() {
    for (resource, has_info) in [
        (&[("service.name", "a")][..], false),
        (&[("host.name", "a")], false),
        (&[], false),
        (&[("service.instance.id", "1"), ("host.name", "a")], true),
        (&[("job", "j"), ("host.name", "a")], true),
    ] {
        let samples = labels_with(Settings::default(), resource, &[]).await;
        assert_eq!(samples.len(), 1 + usize::from(has_info), "{resource:?}: {samples:?}");
    }
}

#[tokio::test]
async fn target_info_of_hostile_times_stays_small() {
    let mut writer = Writer::default();
    for n in 0..100 {
        let id = n.to_string();
        add_resource(&mut writer, &[("service.name", "a"), ("host.name", &id)], |scope| {
            gauge(scope, "g", &[(&[], 1_000_000, 1.0), (&[], NOW_NS, 1.0)]);
        });
    }
    let bed = Bed::new(Settings::default());
    bed.ok(writer.into_bytes()).await;
    assert_eq!(bed.samples().len(), 300);
    let late = Bed::new(Settings::default());
    late.store.0.lock().oldest_ms = NOW_MS;
    let minute = 60_000_000_000;
    let answer = late
        .send(request(&RESOURCE, |scope| {
            sum(scope, "s", 2, &[(&[], NOW_NS - 4 * minute, 1.0), (&[], NOW_NS, 2.0)]);
        }))
        .await;
    assert!(answer.text().contains("too old sample for metric \"s\""), "{}", answer.text());
    assert_eq!(late.samples().len(), 2);
    assert!(late.metrics.encode().contains("aion_otlp_target_info_refused_total 2"), "{}", late.metrics.encode());
}
