//! Native histograms in the language of test files.

use gotemplate::format_g;
use histogram::{FloatHistogram, ResetHint, Span};

/// More empty buckets in a row are told by their number.
const GAP_MAX: usize = 1000;

/// The histogram as a test file writes it, `{{schema:1 count:3 sum:5 buckets:[1 2]}}`: two that are written alike are
/// the same to a test.
pub(super) fn test_expression(h: &FloatHistogram) -> String {
    let mut parts = Vec::new();
    if h.schema != 0 {
        parts.push(format!("schema:{}", h.schema));
    }
    for (name, value) in
        [("count", h.count), ("sum", h.sum), ("z_bucket", h.zero_count), ("z_bucket_w", h.zero_threshold)]
    {
        if value != 0.0 {
            parts.push(format!("{name}:{}", format_g(value)));
        }
    }
    if h.has_custom_buckets() {
        parts.push(format!("custom_values:{}", list(&h.custom_values)));
    }
    match h.reset_hint {
        ResetHint::Unknown => {}
        ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
        ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
        ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
    }
    buckets(&mut parts, ["offset", "buckets"], &h.positive_spans, &h.positive_buckets);
    buckets(&mut parts, ["n_offset", "n_buckets"], &h.negative_spans, &h.negative_buckets);
    format!("{{{{{}}}}}", parts.join(" "))
}

/// All buckets from the first to the last one with a count, those between without any as 0.
fn buckets(parts: &mut Vec<String>, [offset, name]: [&str; 2], spans: &[Span], counts: &[f64]) {
    let used: Vec<(i32, f64)> = histogram::indexed(spans, counts).filter(|(_, count)| *count != 0.0).collect();
    let Some((first, _)) = used.first() else { return };
    if *first != 0 {
        parts.push(format!("{offset}:{first}"));
    }
    let (mut all, mut next) = (Vec::new(), i64::from(*first));
    for (index, count) in &used {
        let index = i64::from(*index);
        match usize::try_from(index - next).unwrap_or(0) {
            gap @ ..=GAP_MAX => all.extend(std::iter::repeat_n("0".to_owned(), gap)),
            gap => all.push(format!("(0 {gap} times)")),
        }
        all.push(format_g(*count));
        next = index + 1;
    }
    parts.push(format!("{name}:[{}]", all.join(" ")));
}

fn list(values: &[f64]) -> String {
    let texts: Vec<String> = values.iter().map(|value| format_g(*value)).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_as_tests_write_them() {
        for text in [
            "{{schema:1 count:7 sum:5.5 z_bucket:1 z_bucket_w:0.1 offset:-2 buckets:[1 0 2] n_buckets:[3]}}",
            "{{schema:-53 count:3 sum:2 custom_values:[5 10] counter_reset_hint:gauge buckets:[1 2]}}",
            "{{}}",
        ] {
            let described = promql_syntax::parse_series_description(&format!("{{}} {text}"), 2).unwrap();
            let values = described.expand(|_, _, _| Err("one only".to_owned())).unwrap();
            let [promql_syntax::SequenceValue::Histogram { histogram, .. }] = values.as_slice() else {
                panic!("{text}")
            };
            assert_eq!(test_expression(histogram), text);
        }
    }

    #[test]
    fn far_buckets_make_no_long_text() {
        let spans = [Span { offset: 0, length: 1 }, Span { offset: i32::MAX - 2, length: 1 }];
        let mut parts = Vec::new();
        buckets(&mut parts, ["offset", "buckets"], &spans, &[1.0, 2.0]);
        assert_eq!(parts, ["buckets:[1 (0 2147483645 times) 2]"]);
    }
}
