//! A histogram as text, for label values: `{count:3, sum:4, [-0.5,-0.25):1, [-0.001,0.001]:1, (0.5,1]:1}`.

use std::fmt::Write;

use histogram::FloatHistogram;

use super::buckets::{Place, ascending, uncut};
use crate::go_float::format_g;

/// The text, as Prometheus writes it; buckets without observations are left out.
pub fn text(h: &FloatHistogram) -> String {
    with_count(h, &format_g(h.count))
}

/// The same of a histogram whose counts are whole numbers.
pub fn whole_text(h: &FloatHistogram) -> String {
    with_count(h, &format!("{}", h.count))
}

fn with_count(h: &FloatHistogram, count: &str) -> String {
    let mut out = format!("{{count:{count}, sum:{}", format_g(h.sum));
    let mut all: Vec<(Place, f64)> = ascending(h).collect();
    if h.zero_count < 0.0 {
        // Shown here only.
        let at = all.iter().position(|(place, _)| matches!(place, Place::Positive(_))).unwrap_or(all.len());
        all.insert(at, (Place::Zero, h.zero_count));
    }
    for (place, count) in all.into_iter().filter(|(_, count)| *count != 0.0) {
        let b = uncut(h, place, count);
        let (open, close) = match place {
            Place::Negative(_) => ('[', ')'),
            Place::Zero => ('[', ']'),
            Place::Positive(0) if h.has_custom_buckets() => ('[', ']'),
            Place::Positive(_) => ('(', ']'),
        };
        // Counts keep all their digits below 1e21.
        let plain = count != 0.0 && (1e-4..1e21).contains(&count.abs());
        let count = if plain { format!("{count}") } else { format_g(count) };
        // Writing into a string does not fail.
        let _ = write!(out, ", {open}{},{}{close}:{count}", format_g(b.lower), format_g(b.upper));
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use histogram::Span;

    use super::*;

    #[test]
    fn as_prometheus_writes_it() {
        let h = FloatHistogram {
            count: 1_500_003.0,
            sum: 1.5,
            zero_count: 2.0,
            zero_threshold: 0.001,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![1.0, 0.0, 1_500_000.0],
            negative_spans: vec![Span { offset: 1, length: 1 }],
            negative_buckets: vec![0.5],
            ..FloatHistogram::default()
        };
        let want = "{count:1.500003e+06, sum:1.5, [-2,-1):0.5, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:1500000}";
        assert_eq!(text(&h), want);
        let below = FloatHistogram { zero_count: -2.0, ..h };
        assert_eq!(text(&below), want.replace("]:2,", "]:-2,"));
    }
}
