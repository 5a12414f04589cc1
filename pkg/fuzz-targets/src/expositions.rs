//! Bodies of scrapes, with everything that can be asked of them.

use textparse::{Entry, Format, NativeHistogram, Options, Parser};

/// The text format, with and without conversion of classic histograms.
pub fn exposition_text(data: &[u8]) {
    read(data, Format::Text);
}

/// OpenMetrics, with exemplars and start times too.
pub fn exposition_openmetrics(data: &[u8]) {
    read(data, Format::OpenMetrics);
}

/// Delimited protobuf.
pub fn exposition_protobuf(data: &[u8]) {
    read(data, Format::Protobuf);
}

/// A `Content-Type`.
pub fn content_type(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let chosen = textparse::choose_format(&header, None);
    if let Ok(chosen) = chosen {
        assert_eq!(textparse::choose_format(&header, Some(Format::Text)), Ok(chosen));
    }
}

fn read(data: &[u8], format: Format) {
    let plain = walk(data, format, Options::default());
    let all = Options { exemplars: true, start_timestamps: true, ..Options::default() };
    let full = walk(data, format, all);
    // Whatever is asked for, a body is taken or refused alike.
    assert!(plain.is_some() == full.is_some() || format == Format::Protobuf, "{plain:?} {full:?}");
    for keep_classic_histograms in [false, true] {
        let options = Options { convert_classic_histograms: true, keep_classic_histograms, ..all };
        walk(data, format, options);
        walk(data, format, Options { ignore_native_histograms: true, ..options });
    }
}

/// How many samples a body has; `None` if it is refused.
fn walk(data: &[u8], format: Format, options: Options) -> Option<usize> {
    let mut parser = Parser::new(data, format, options).ok()?;
    let mut samples = 0;
    while let Some(entry) = parser.next().ok()? {
        let series = match &entry {
            Entry::Sample(sample) => {
                assert!(!model::is_stale(sample.value), "a target cannot write a stale marker");
                sample.series
            }
            Entry::Histogram(histogram) => {
                let (spans, buckets) = match histogram.value {
                    NativeHistogram::Int(h) => (&h.positive_spans, h.positive_deltas.len()),
                    NativeHistogram::Float(h) => (&h.positive_spans, h.positive_buckets.len()),
                };
                assert_eq!(spans.iter().map(|span| span.length as usize).sum::<usize>(), buckets);
                histogram.series
            }
            _ => continue,
        };
        assert!(!series.key().is_empty());
        assert_eq!(series.labels().count(), series.label_count());
        drop(series.name());
        samples += 1;
    }
    assert!(!parser.advance().unwrap_or(true), "the end stays the end");
    Some(samples)
}
