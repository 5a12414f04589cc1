//! Native histograms, their buckets with bounds.

use histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};

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
    let schema = h.schema.clamp(-4, 8);
    let (fraction, exponent) = if schema < 0 {
        (1.0, i64::from(index) << -schema)
    } else {
        let within = index & ((1 << schema) - 1);
        ((f64::from(within) / f64::from(1 << schema)).exp2(), i64::from(index >> schema))
    };
    if fraction == 1.0 && exponent == 1024 {
        // The last bucket of regular numbers; the next one is for the infinities.
        return f64::MAX;
    }
    ldexp(fraction, exponent)
}

/// `fraction` × 2^`exponent`, in two steps so that subnormal results are right.
fn ldexp(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-2200, 2200) as i32;
    let half = exponent / 2;
    fraction * 2f64.powi(half) * 2f64.powi(exponent - half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(schema: i32, index: i32) -> f64 {
        bound(&FloatHistogram { schema, ..FloatHistogram::default() }, index)
    }

    #[test]
    fn bounds_are_powers() {
        for (schema, index, value) in [
            (0, 0, 1.0),
            (0, -1, 0.5),
            (0, 1023, 2f64.powi(1023)),
            (0, 1024, f64::MAX),
            (0, 1025, f64::INFINITY),
            (0, -1074, 5e-324),
            (1, 1, std::f64::consts::SQRT_2),
            (1, 2, 2.0),
            (2, 1, 1.189207115002721),
            (3, 8, 2.0),
            (8, 0, 1.0),
            (-1, 1, 4.0),
            (-2, 1, 16.0),
            (-4, 64, f64::MAX),
        ] {
            assert_eq!(at(schema, index), value, "schema {schema} index {index}");
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
