//! Native histograms, their buckets with bounds.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span, upper_bound};

use super::float::write_float;

/// What the bounds include: the first item of a bucket in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Above,
    Below,
    Both,
}

impl Closed {
    fn code(self) -> u8 {
        match self {
            Self::Above => b'0',
            Self::Below => b'1',
            Self::Both => b'3',
        }
    }
}

/// `{"count":"6","sum":"1.5","buckets":[[0,"0.5","1","3"]]}`, ascending, empty buckets left out.
pub(super) fn write_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(b"{\"count\":\"");
    write_float(out, h.count);
    out.extend_from_slice(b"\",\"sum\":\"");
    write_float(out, h.sum);
    out.push(b'"');

    let mut any = false;
    let mut bucket = |closed: Closed, lower: f64, upper: f64, count: f64| {
        if count == 0.0 {
            return;
        }
        out.extend_from_slice(if any { b"," as &[u8] } else { b",\"buckets\":[" });
        any = true;
        out.extend_from_slice(&[b'[', closed.code(), b',']);
        for (i, number) in [lower, upper, count].into_iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"\"" as &[u8] } else { b",\"" });
            write_float(out, number);
            out.push(b'"');
        }
        out.push(b']');
    };
    let custom = h.schema == CUSTOM_BUCKETS_SCHEMA;
    // Where the zero bucket reaches into its neighbours, they begin at its threshold.
    let (zero, narrow) = (h.zero_threshold, !custom);
    let negative: Vec<_> = used(&h.negative_spans, &h.negative_buckets).collect();
    for (index, count) in negative.into_iter().rev() {
        let (lower, mut upper) = (-bound(h, index), -bound(h, index.saturating_sub(1)));
        if narrow && upper < 0.0 && upper > -zero {
            upper = -zero;
        }
        bucket(Closed::Below, lower, upper, count);
    }
    if h.zero_count > 0.0 {
        bucket(Closed::Both, -zero, zero, h.zero_count);
    }
    for (index, count) in used(&h.positive_spans, &h.positive_buckets) {
        let (mut lower, upper) = (bound(h, index.saturating_sub(1)), bound(h, index));
        if narrow && lower > 0.0 && lower < zero {
            lower = zero;
        }
        let closed = if custom && index == 0 { Closed::Both } else { Closed::Above };
        bucket(closed, lower, upper, count);
    }
    if any {
        out.push(b']');
    }
    out.push(b'}');
}

/// Index and count of each bucket that the spans name.
fn used<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i32;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset);
        next = first.saturating_add_unsigned(span.length);
        first..next
    });
    indexes.zip(counts.iter().copied())
}

/// The upper bound of bucket `index`.
fn bound(h: &FloatHistogram, index: i32) -> f64 {
    if h.schema == CUSTOM_BUCKETS_SCHEMA {
        return match usize::try_from(index) {
            Err(_) => f64::NEG_INFINITY,
            Ok(i) => h.custom_values.get(i).copied().unwrap_or(f64::INFINITY),
        };
    }
    upper_bound(index, h.schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_bounds() {
        // As Prometheus 3.14 writes them; 2^(1/2) and 2^(-1/256) are not the nearest floats.
        for (schema, offset, want) in [
            (0, 1, r#"[[0,"1","2","1"]]"#),
            (1, 1, r#"[[0,"1","1.414213562373095","1"]]"#),
            (8, 0, r#"[[0,"0.9972960560854698","1","1"]]"#),
            (-4, 64, r#"[[0,"2.7430620343968443e+303","1.7976931348623157e+308","1"]]"#),
            (0, 1025, r#"[[0,"1.7976931348623157e+308","+Inf","1"]]"#),
            (0, -1074, r#"[[0,"0","5e-324","1"]]"#),
        ] {
            let h = FloatHistogram {
                schema,
                count: 1.0,
                positive_spans: vec![Span { offset, length: 1 }],
                positive_buckets: vec![1.0],
                ..FloatHistogram::default()
            };
            let mut out = Vec::new();
            write_histogram(&mut out, &h);
            let want = format!(r#"{{"count":"1","sum":"0","buckets":{want}}}"#);
            assert_eq!(String::from_utf8(out).unwrap(), want, "schema {schema}");
        }
    }

    #[test]
    fn custom_bounds() {
        let h = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: 6.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 2.0, 3.0],
            custom_values: vec![0.5, 5.0],
            ..FloatHistogram::default()
        };
        let mut out = Vec::new();
        write_histogram(&mut out, &h);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"count":"6","sum":"0","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","5","2"],[0,"5","+Inf","3"]]}"#
        );
    }
}
