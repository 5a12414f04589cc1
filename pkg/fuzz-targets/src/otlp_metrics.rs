//! OTLP metrics: decoders and seeds.

use ingest::wire::Writer;

const NOW_NS: u64 = 1_700_000_000_000_000_000;

/// A decompressed request in protobuf.
pub fn otlp_protobuf(data: &[u8]) {
    otlp::untrusted(data, false);
}

/// The same in JSON.
pub fn otlp_json(data: &[u8]) {
    otlp::untrusted(data, true);
}

fn attribute(writer: &mut Writer, field: u64, key: &str) {
    writer.message(field, |pair| {
        pair.string(1, key).message(2, |any| {
            any.message(5, |list| _ = list.message(1, |v| _ = v.varint(3, 7)).message(1, |v| _ = v.double(4, 0.5)));
        });
    });
}

pub(crate) fn seeds_protobuf() -> Vec<Vec<u8>> {
    let mut writer = Writer::default();
    writer.message(1, |rm| {
        rm.message(1, |resource| {
            attribute(resource, 1, "service.name");
            attribute(resource, 1, "host.name");
        });
        rm.message(2, |sm| {
            sm.message(1, |scope| attribute(scope.string(1, "lib"), 3, "x"));
            for data in [5, 7, 9, 10, 11] {
                sm.message(2, |metric| {
                    metric.string(1, "m").string(3, "By/s").message(data, |data| {
                        data.varint(2, 1).message(1, |point| {
                            point.fixed64(2, NOW_NS - 1).fixed64(3, NOW_NS).fixed64(4, 3).double(5, 1.5);
                            attribute(point, 7, "a.b");
                        });
                    });
                });
            }
        });
    });
    vec![writer.into_bytes()]
}

pub(crate) fn seeds_json() -> Vec<Vec<u8>> {
    let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},
        "scopeMetrics":[{"metrics":[{"name":"m","unit":"s","sum":{"aggregationTemporality":1,"isMonotonic":true,
        "dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"3","exemplars":[{"traceId":"0aff","asDouble":1}]}]}},
        {"name":"e","exponentialHistogram":{"aggregationTemporality":2,"dataPoints":[{"timeUnixNano":1700000000000000000,
        "scale":9,"count":"6","positive":{"offset":-1,"bucketCounts":[1,"2",3]}}]}}]}]}]}"#;
    vec![json.as_bytes().to_vec()]
}
