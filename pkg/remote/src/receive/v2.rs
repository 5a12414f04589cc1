//! `io.prometheus.write.v2.Request`, remote write 2.0: strings are numbers in a table.

use model::{Exemplar, MetricMetadata, MetricType};
use xxhash_rust::xxh3::xxh3_64;

use super::batch::{Batch, Entry, LabelsAt, Said, Span, Typed, What};
use super::limits::{HELP_BYTES_MAX, LABELS_MAX, TOO_FAR_AHEAD};
use super::rows::{EXEMPLAR_BYTES, FLOAT_BYTES};
use super::v1::{exemplar_labels, refuse, sample, take_float, take_histogram, too_long};
use super::wire::{Malformed, Reader};
use ingest::Hasher;

/// Labels of type and unit.
const TYPE_LABEL: &str = "__type__";
const UNIT_LABEL: &str = "__unit__";
/// References that a message about them shows.
const REFS_SHOWN_MAX: usize = 64;

/// What a series says of its metric, as numbers of symbols.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct MetadataRefs {
    kind: u64,
    help: u64,
    unit: u64,
}

/// Reads a request into `batch`. Samples later than `latest_ms` are refused there.
pub(super) fn decode(plain: &[u8], batch: &mut Batch, hasher: &Hasher, latest_ms: i64) -> Result<(), Malformed> {
    // Symbols may come behind the series that use them.
    let mut request = Reader::new(plain, 0);
    while let Some((field, value)) = request.field()? {
        match field {
            1..=3 => return Err(request.malformed("fields of remote write 1.0 in a message of 2.0")),
            4 => {
                batch.take_room(size_of::<Span>() + size_of::<u128>(), &request)?;
                let symbol = value.part(&request)?;
                let begin = symbol.offset();
                batch.symbols.push(Span::new(begin, begin + symbol.bytes().len()));
                batch.symbol_digests.push(hasher.digest(symbol.bytes()));
            }
            _ => {}
        }
    }
    if batch.symbols.first().is_some_and(|first| !first.range().is_empty()) {
        return Err(Reader::new(plain, 0).malformed("the first symbol is not the empty string"));
    }
    let mut request = Reader::new(plain, 0);
    while let Some((field, value)) = request.field()? {
        if field == 5 {
            timeseries(value.part(&request)?, plain, batch, hasher, latest_ms)?;
        }
    }
    Ok(())
}

fn timeseries(
    mut message: Reader<'_>,
    plain: &[u8],
    batch: &mut Batch,
    hasher: &Hasher,
    latest_ms: i64,
) -> Result<(), Malformed> {
    let typed_bytes = if batch.labels_types { size_of::<Typed>() } else { 0 };
    batch.take_room(size_of::<Entry>() + typed_bytes, &message)?;
    let number = batch.series.len() as u32;
    let begin = batch.refs.len();
    let mut metadata = MetadataRefs::default();
    let rows = batch.floats.series.len() + batch.histograms.series.len();
    let refused = batch.refused.samples;
    while let Some((field, value)) = message.field()? {
        match field {
            1 => {
                let bytes = value.part(&message).map_or(1, |part| part.bytes().len());
                batch.take_room(bytes * size_of::<u32>(), &message)?;
                let refs = &mut batch.refs;
                value.varints(&message, |r| refs.push(u32::try_from(r).unwrap_or(u32::MAX)))?;
            }
            2 => {
                let (value, time_ms, start_ms) = sample(value.part(&message)?)?;
                batch.take_room(FLOAT_BYTES, &message)?;
                take_float(batch, number, (time_ms, value, start_ms), latest_ms);
            }
            3 => take_histogram(value.part(&message)?, number, batch, latest_ms)?,
            4 => exemplar(value.part(&message)?, number, plain, batch, latest_ms)?,
            5 => metadata = metadata_refs(value.part(&message)?)?,
            _ => {}
        }
    }
    // Of those that are refused the sender is told already.
    let has_samples =
        batch.floats.series.len() + batch.histograms.series.len() > rows || batch.refused.samples > refused;
    let mut is_refused = !has_samples;
    let typed = typed(metadata, batch, number);
    let digest = match digest(batch, begin, typed, hasher) {
        Ok(digest) => digest,
        Err(why) => {
            let refs: Vec<_> = batch.refs[begin..].iter().take(REFS_SHOWN_MAX).collect();
            batch.refuse_series(number as usize, format!("parsing labels for series {refs:?}: {why}"));
            is_refused = true;
            0
        }
    };
    if !has_samples {
        batch.refuse_series(number as usize, "TimeSeries must contain at least one sample or histogram".to_owned());
    }
    if let Err(why) = note_metadata(metadata, batch, number, rows) {
        batch.refuse_series(number as usize, why);
        is_refused = true;
    }
    batch.typed.extend(typed);
    let labels = LabelsAt::Symbols(Span::new(begin, batch.refs.len()));
    batch.series.push(Entry { digest, labels, known: None, metadata: 0, refused: is_refused });
    Ok(())
}

/// The type and unit that a series gets as labels, where that is wanted.
fn typed(refs: MetadataRefs, batch: &Batch, series: u32) -> Option<Typed> {
    let kind = metric_type(refs.kind);
    let has_unit = usize::try_from(refs.unit).ok().and_then(|n| batch.symbols.get(n)).is_some_and(|s| !s.is_empty());
    let wanted = batch.labels_types && (kind != MetricType::Unknown || has_unit);
    wanted.then_some(Typed { series, kind, unit: if has_unit { refs.unit } else { 0 } })
}

/// Puts the labels of type and unit in place of those of these names.
pub(super) fn label_type<'a>(typed: Typed, symbols: &[Span], plain: &'a [u8], labels: &mut Vec<(&'a str, &'a str)>) {
    labels.retain(|(name, _)| !matches!(*name, TYPE_LABEL | UNIT_LABEL));
    if typed.kind != MetricType::Unknown {
        labels.push((TYPE_LABEL, typed.kind.as_str()));
    }
    if let Ok(unit) = text(typed.unit, symbols, plain)
        && !unit.is_empty()
    {
        labels.push((UNIT_LABEL, unit));
    }
}

/// The digest of the labels from `begin` on, out of those of their symbols.
fn digest(batch: &mut Batch, begin: usize, typed: Option<Typed>, hasher: &Hasher) -> Result<u128, String> {
    let refs = &batch.refs[begin..];
    if refs.len() > 2 * LABELS_MAX {
        return Err(format!("{} labels, more than {LABELS_MAX}", refs.len() / 2));
    }
    if !refs.len().is_multiple_of(2) {
        return Err(format!("{} references, which are no pairs of name and value", refs.len()));
    }
    batch.scratch.clear();
    for symbol in refs {
        let Some(digest) = batch.symbol_digests.get(*symbol as usize) else {
            return Err(outside(*symbol, batch.symbols.len()));
        };
        batch.scratch.extend_from_slice(&digest.to_le_bytes());
    }
    if let Some(typed) = typed {
        // No symbols have a digest of this length, so that it is no other series.
        batch.scratch.push(typed.kind as u8);
        let unit = usize::try_from(typed.unit).ok().and_then(|n| batch.symbol_digests.get(n)).copied();
        batch.scratch.extend_from_slice(&unit.unwrap_or_default().to_le_bytes());
    }
    Ok(hasher.digest(&batch.scratch))
}

fn outside(symbol: impl std::fmt::Display, symbols: usize) -> String {
    format!("reference {symbol} is outside of the symbols table of {symbols}")
}

fn exemplar(
    mut message: Reader<'_>,
    series: u32,
    plain: &[u8],
    batch: &mut Batch,
    latest_ms: i64,
) -> Result<(), Malformed> {
    batch.take_room(EXEMPLAR_BYTES, &message)?;
    let (mut value, mut timestamp_ms) = (0.0, 0);
    let mut refs: Vec<u32> = Vec::new();
    while let Some((field, field_value)) = message.field()? {
        match field {
            1 => field_value.varints(&message, |r| refs.push(u32::try_from(r).unwrap_or(u32::MAX)))?,
            2 => value = field_value.double(&message)?,
            3 => timestamp_ms = field_value.varint(&message)? as i64,
            _ => {}
        }
    }
    if timestamp_ms > latest_ms {
        refuse(batch, series, What::Exemplar, timestamp_ms, TOO_FAR_AHEAD.to_owned());
        return Ok(());
    }
    let mut found = Vec::with_capacity(refs.len() / 2);
    let read = pairs(&refs, &batch.symbols, plain, &mut found);
    if too_long(&found) {
        // Prometheus does not tell the sender of these.
        batch.bad_exemplars += 1;
        return Ok(());
    }
    match read.and_then(|()| exemplar_labels(found).ok_or_else(|| "a label's name comes twice or is empty".to_owned()))
    {
        Ok(labels) => {
            batch.exemplars.series.push(series);
            batch.exemplars.exemplars.push(Exemplar { labels, value, timestamp_ms });
        }
        Err(why) => refuse(batch, series, What::Exemplar, timestamp_ms, format!("parsing exemplar: {why}")),
    }
    Ok(())
}

/// Name and value of each label that `refs` stand for.
///
/// # Errors
/// References that are no pairs or outside of the table; text that is not UTF-8.
pub(super) fn pairs<'a>(
    refs: &[u32],
    symbols: &[Span],
    plain: &'a [u8],
    out: &mut Vec<(&'a str, &'a str)>,
) -> Result<(), String> {
    let (whole, rest) = refs.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("{} references, which are no pairs of name and value", refs.len()));
    }
    for [name, value] in whole {
        out.push((text(u64::from(*name), symbols, plain)?, text(u64::from(*value), symbols, plain)?));
    }
    Ok(())
}

fn text<'a>(symbol: u64, symbols: &[Span], plain: &'a [u8]) -> Result<&'a str, String> {
    let span = usize::try_from(symbol).ok().and_then(|n| symbols.get(n));
    let bytes = span.and_then(|s| plain.get(s.range())).ok_or_else(|| outside(symbol, symbols.len()))?;
    std::str::from_utf8(bytes).map_err(|_| format!("symbol {symbol} is not UTF-8"))
}

fn metadata_refs(mut message: Reader<'_>) -> Result<MetadataRefs, Malformed> {
    let mut refs = MetadataRefs::default();
    while let Some((field, value)) = message.field()? {
        match field {
            1 => refs.kind = value.varint(&message)?,
            3 => refs.help = value.varint(&message)?,
            4 => refs.unit = value.varint(&message)?,
            _ => {}
        }
    }
    Ok(refs)
}

/// Notes what a series says of its metric; `rows` is how many samples there were before it. Whether it is news shows when
/// the series is known.
///
/// # Errors
/// A reference outside of the table.
fn note_metadata(refs: MetadataRefs, batch: &mut Batch, series: u32, rows: usize) -> Result<(), String> {
    if refs == MetadataRefs::default() {
        batch.without_metadata += (batch.floats.series.len() + batch.histograms.series.len() - rows) as u64;
        return Ok(());
    }
    let digest_of = |symbol: u64| usize::try_from(symbol).ok().and_then(|n| batch.symbol_digests.get(n));
    let (Some(help), Some(unit)) = (digest_of(refs.help), digest_of(refs.unit)) else {
        let beyond = refs.help.max(refs.unit);
        return Err(format!("parsing metadata: {}", outside(beyond, batch.symbols.len())));
    };
    let mut bytes = [0; 40];
    bytes[..16].copy_from_slice(&help.to_le_bytes());
    bytes[16..32].copy_from_slice(&unit.to_le_bytes());
    bytes[32..].copy_from_slice(&refs.kind.to_le_bytes());
    batch.said.push(Said { series, digest: xxh3_64(&bytes).max(1), refs: [refs.kind, refs.help, refs.unit] });
    Ok(())
}

fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// Type, help and unit of symbols; what is not UTF-8 is left out.
pub(super) fn metadata([kind, help, unit]: [u64; 3], symbols: &[Span], plain: &[u8]) -> (MetricType, MetricMetadata) {
    let kind = metric_type(kind);
    let owned = |symbol| {
        let text = text(symbol, symbols, plain).unwrap_or_default();
        text.get(..text.floor_char_boundary(HELP_BYTES_MAX)).unwrap_or_default().to_owned()
    };
    (kind, MetricMetadata { metric_type: kind.as_str().to_owned(), help: owned(help), unit: owned(unit) })
}
