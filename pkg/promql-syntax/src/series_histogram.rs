//! Native histograms as tests write them: `{{schema:1 sum:3 count:4 buckets:[1 2 1] offset:-1}}`.

use histogram::{FloatHistogram, ResetHint, Span};

use crate::series::{Cursor, Read};

/// Reads the rest of a histogram behind `{{`, up to and with `}}`; also whether it names a counter reset hint.
pub(crate) fn parse_histogram(cursor: &mut Cursor<'_>) -> Read<(FloatHistogram, bool)> {
    let mut h = FloatHistogram::default();
    let mut seen: Vec<String> = Vec::new();
    let (mut offset, mut negative_offset) = (0, 0);
    loop {
        let blank = cursor.skip_spaces();
        if cursor.accept("}}") {
            break;
        }
        if !blank && !seen.is_empty() {
            return cursor.fail(
                "unexpected text in histogram description, expected histogram description key, e.g. buckets:[5 10 7]",
            );
        }
        let key = cursor.take_while(|c| c.is_ascii_alphabetic() || c == '_').to_ascii_lowercase();
        if key.is_empty() {
            return cursor.fail("histogram description incomplete");
        }
        if !cursor.accept(":") {
            return cursor.fail(format!("missing `:` for histogram descriptor {key:?}"));
        }
        match key.as_str() {
            "schema" => h.schema = cursor.integer()?,
            "sum" => h.sum = cursor.signed_number()?,
            "count" => h.count = cursor.signed_number()?,
            "z_bucket" => h.zero_count = cursor.signed_number()?,
            "z_bucket_w" => h.zero_threshold = cursor.signed_number()?,
            "custom_values" => h.custom_values = numbers(cursor)?,
            "buckets" => h.positive_buckets = numbers(cursor)?,
            "n_buckets" => h.negative_buckets = numbers(cursor)?,
            "offset" => offset = cursor.integer()?,
            "n_offset" => negative_offset = cursor.integer()?,
            "counter_reset_hint" => h.reset_hint = reset_hint(cursor)?,
            _ => return cursor.fail(format!("bad histogram descriptor found: {key:?}")),
        }
        if seen.contains(&key) {
            return cursor.fail(format!("duplicate key {key:?} in histogram"));
        }
        seen.push(key);
    }
    h.positive_spans = span(offset, h.positive_buckets.len());
    h.negative_spans = span(negative_offset, h.negative_buckets.len());
    Ok((h, seen.iter().any(|key| key == "counter_reset_hint")))
}

fn span(offset: i32, buckets: usize) -> Vec<Span> {
    match u32::try_from(buckets) {
        Ok(0) | Err(_) => Vec::new(),
        Ok(length) => vec![Span { offset, length }],
    }
}

/// `[1 2.5 -3]`.
fn numbers(cursor: &mut Cursor<'_>) -> Read<Vec<f64>> {
    if !cursor.accept("[") {
        return cursor.fail("unexpected text in histogram description, expected a list in brackets");
    }
    let mut out = Vec::new();
    loop {
        let blank = cursor.skip_spaces();
        if !out.is_empty() && cursor.accept("]") {
            return Ok(out);
        }
        if !blank && !out.is_empty() {
            return cursor.fail("invalid character in buckets description");
        }
        out.push(cursor.signed_number()?);
    }
}

fn reset_hint(cursor: &mut Cursor<'_>) -> Read<ResetHint> {
    let word = cursor.take_while(|c| c.is_ascii_alphabetic() || c == '_').to_ascii_lowercase();
    Ok(match word.as_str() {
        "unknown" => ResetHint::Unknown,
        "reset" => ResetHint::Reset,
        "not_reset" => ResetHint::NotReset,
        "gauge" => ResetHint::Gauge,
        _ => return cursor.fail(format!("error parsing counter_reset_hint: unknown value {word:?}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SeriesItem, parse_series_description};

    fn first(text: &str) -> SeriesItem {
        parse_series_description(&format!("m {text}"), 100).unwrap().items.remove(0)
    }

    #[test]
    fn all_keys() {
        let text = "{{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 \
                    n_buckets:[4.1 5] n_offset:-5 custom_values:[1 Inf] COUNTER_reset_hint:gauge}}";
        let expected = FloatHistogram {
            reset_hint: ResetHint::Gauge,
            schema: 1,
            sum: -0.3,
            count: 3.1,
            zero_count: 7.1,
            zero_threshold: 0.05,
            positive_buckets: vec![5.1, 10.0, 7.0],
            positive_spans: vec![Span { offset: -3, length: 3 }],
            negative_buckets: vec![4.1, 5.0],
            negative_spans: vec![Span { offset: -5, length: 2 }],
            custom_values: vec![1.0, f64::INFINITY],
        };
        assert_eq!(first(text), SeriesItem::Histograms { histogram: expected, hint_given: true, points: 1 });
    }

    #[test]
    fn empty_and_repeated() {
        let empty = FloatHistogram::default();
        let histograms =
            |points| SeriesItem::Histograms { histogram: FloatHistogram::default(), hint_given: false, points };
        assert_eq!(first("{{}}"), histograms(1));
        assert_eq!(first("{{ }}x2"), histograms(3));
        assert_eq!(
            first("{{}}-{{sum:1}}x2"),
            SeriesItem::HistogramSteps {
                start: empty.clone(),
                step: FloatHistogram { sum: 1.0, ..empty },
                negative: true,
                hint_given: false,
                points: 3
            }
        );
    }

    #[test]
    fn refusals() {
        for text in [
            "{{sum:1 sum:2}}",
            "{{sum 1}}",
            "{{foo:1}}",
            "{{sum:1",
            "{{buckets:[]}}",
            "{{buckets:[1,2]}}",
            "{{counter_reset_hint:maybe}}",
            "{{schema:1.5}}",
            "{{sum:1count:2}}",
            "{{buckets:5}}",
            "{{sum:}}",
        ] {
            assert!(parse_series_description(&format!("m {text}"), 100).is_err(), "{text}");
        }
    }
}
