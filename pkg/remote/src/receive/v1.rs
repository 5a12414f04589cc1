//! `prometheus.WriteRequest`, remote write 1.0.

use labels::Labels;
use model::Exemplar;

use super::batch::{Batch, Entry, LabelsAt, NotTaken, Span, What};
use super::histogram;
use super::limits::{EXEMPLAR_LABELS_BYTES_MAX, TOO_FAR_AHEAD};
use super::rows::{EXEMPLAR_BYTES, FLOAT_BYTES, HISTOGRAM_BYTES};
use super::wire::{Malformed, Reader, Value};
use ingest::Hasher;

/// First byte of a label in a `TimeSeries`: field 1, a message.
const LABEL_TAG: u8 = 0x0a;

/// Reads a request into `batch`. Samples later than `latest_ms` are refused there.
pub(super) fn decode(plain: &[u8], batch: &mut Batch, hasher: &Hasher, latest_ms: i64) -> Result<(), Malformed> {
    let mut request = Reader::new(plain, 0);
    while let Some((field, value)) = request.field()? {
        match field {
            1 => timeseries(value.part(&request)?, plain, batch, hasher, latest_ms)?,
            4 | 5 => return Err(request.malformed("fields of remote write 2.0 in a message of 1.0")),
            // Metadata by family, of no series.
            _ => {}
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
    batch.take_room(size_of::<Entry>(), &message)?;
    let number = batch.series.len() as u32;
    // Labels come first, from every sender there is.
    let begin = message.offset();
    while message.peek() == Some(LABEL_TAG) {
        message.varint()?;
        message.part()?;
    }
    let mut at = LabelsAt::Request(Span::new(begin, message.offset()));
    let rows = batch.floats.series.len() + batch.histograms.series.len();
    while let Some((field, value)) = message.field()? {
        match field {
            1 => at = joined(at, value.part(&message)?, plain, batch),
            2 => {
                let (value, time_ms, _) = sample(value.part(&message)?)?;
                batch.take_room(FLOAT_BYTES, &message)?;
                take_float(batch, number, (time_ms, value, 0), latest_ms);
            }
            3 => exemplar(value.part(&message)?, number, batch, latest_ms)?,
            4 => take_histogram(value.part(&message)?, number, batch, latest_ms)?,
            _ => {}
        }
    }
    batch.without_metadata += (batch.floats.series.len() + batch.histograms.series.len() - rows) as u64;
    let bytes = match at {
        LabelsAt::Joined(span) => batch.joined.get(span.range()),
        LabelsAt::Request(span) | LabelsAt::Symbols(span) => plain.get(span.range()),
    };
    let digest = hasher.digest(bytes.unwrap_or_default());
    batch.series.push(Entry { digest, labels: at, known: None, metadata: 0, refused: false });
    Ok(())
}

/// A label that does not stand with the others: all of them are copied to one place.
fn joined(at: LabelsAt, label: Reader<'_>, plain: &[u8], batch: &mut Batch) -> LabelsAt {
    let begin = match at {
        // Nothing came behind it in the meantime: series are read one after the other.
        LabelsAt::Joined(span) => span.range().start,
        LabelsAt::Request(span) | LabelsAt::Symbols(span) => {
            let begin = batch.joined.len();
            batch.joined.extend_from_slice(plain.get(span.range()).unwrap_or_default());
            begin
        }
    };
    batch.joined.push(LABEL_TAG);
    let mut len = label.bytes().len();
    while len >= 0x80 {
        batch.joined.push(len as u8 | 0x80);
        len >>= 7;
    }
    batch.joined.push(len as u8);
    batch.joined.extend_from_slice(label.bytes());
    LabelsAt::Joined(Span::new(begin, batch.joined.len()))
}

/// Notes a float sample of a time, a value and a start.
#[inline]
pub(super) fn take_float(batch: &mut Batch, series: u32, (time_ms, value, start_ms): (i64, f64, i64), latest_ms: i64) {
    if time_ms > latest_ms {
        return refuse(batch, series, What::Float, time_ms, TOO_FAR_AHEAD.to_owned());
    }
    batch.floats.push(series, time_ms, value, start(start_ms, time_ms));
}

/// A start that is not before its sample says nothing; the sample does not suffer for it.
fn start(start_ms: i64, time_ms: i64) -> i64 {
    if start_ms < time_ms { start_ms } else { 0 }
}

#[cold]
pub(super) fn refuse(batch: &mut Batch, series: u32, what: What, time_ms: i64, why: String) {
    batch.refused.push(NotTaken { series: series as usize, what, time_ms: Some(time_ms), why });
}

/// Value, time and start of a sample message; of both versions.
#[inline]
pub(super) fn sample(mut message: Reader<'_>) -> Result<(f64, i64, i64), Malformed> {
    let (mut value, mut time_ms, mut start_ms) = (0.0, 0, 0);
    while let Some((field, field_value)) = message.field()? {
        match (field, field_value) {
            (1, field_value) => value = field_value.double(&message)?,
            (2, Value::Varint(time)) => time_ms = time as i64,
            (3, Value::Varint(start)) => start_ms = start as i64,
            (2 | 3, _) => return Err(message.malformed("the time of a sample is no number")),
            _ => {}
        }
    }
    Ok((value, time_ms, start_ms))
}

/// Notes a histogram sample.
pub(super) fn take_histogram(
    message: Reader<'_>,
    series: u32,
    batch: &mut Batch,
    latest_ms: i64,
) -> Result<(), Malformed> {
    batch.take_room(HISTOGRAM_BYTES, &message)?;
    let sample = histogram::decode(message)?;
    match sample.value {
        _ if sample.time_ms > latest_ms => {
            refuse(batch, series, What::Histogram, sample.time_ms, TOO_FAR_AHEAD.to_owned());
        }
        Ok(value) => {
            batch.histograms.push(series, sample.time_ms, value, start(sample.start_ms, sample.time_ms));
        }
        Err(why) => refuse(batch, series, What::Histogram, sample.time_ms, format!("invalid histogram: {why}")),
    }
    Ok(())
}

fn exemplar(mut message: Reader<'_>, series: u32, batch: &mut Batch, latest_ms: i64) -> Result<(), Malformed> {
    batch.take_room(EXEMPLAR_BYTES, &message)?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    let (mut value, mut timestamp_ms, mut readable) = (0.0, 0, true);
    while let Some((field, field_value)) = message.field()? {
        match field {
            1 => match label(field_value.part(&message)?)? {
                Some(pair) => pairs.push(pair),
                None => readable = false,
            },
            2 => value = field_value.double(&message)?,
            3 => timestamp_ms = field_value.varint(&message)? as i64,
            _ => {}
        }
    }
    let acceptable = readable && timestamp_ms <= latest_ms && !too_long(&pairs);
    match acceptable.then(|| exemplar_labels(pairs)).flatten() {
        Some(labels) => {
            batch.exemplars.series.push(series);
            batch.exemplars.exemplars.push(Exemplar { labels, value, timestamp_ms });
        }
        None => batch.bad_exemplars += 1,
    }
    Ok(())
}

/// Whether labels are longer than those of an exemplar may be.
pub(super) fn too_long(pairs: &[(&str, &str)]) -> bool {
    pairs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > EXEMPLAR_LABELS_BYTES_MAX
}

/// The label set of an exemplar, which may be empty; `None` if a name comes twice or is empty.
pub(super) fn exemplar_labels(mut pairs: Vec<(&str, &str)>) -> Option<Labels> {
    pairs.sort_unstable();
    let twice = pairs.windows(2).any(|w| w[0].0 == w[1].0);
    let nameless = pairs.first().is_some_and(|(name, _)| name.is_empty());
    (!twice && !nameless).then(|| Labels::from_pairs(pairs))
}

/// Name and value of a label message; `None` if either is not UTF-8.
fn label(mut message: Reader<'_>) -> Result<Option<(&str, &str)>, Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some((field, field_value)) = message.field()? {
        match field {
            1 => name = field_value.part(&message)?.bytes(),
            2 => value = field_value.part(&message)?.bytes(),
            _ => {}
        }
    }
    Ok(std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()))
}

/// Name and value of each label in `labels`, which are messages one after the other. False if one cannot be read or is
/// not UTF-8.
pub(super) fn pairs<'a>(labels: &'a [u8], out: &mut Vec<(&'a str, &'a str)>) -> bool {
    let mut reader = Reader::new(labels, 0);
    while let Ok(Some((_, value))) = reader.field() {
        let Ok(Some(pair)) = value.part(&reader).and_then(label) else { return false };
        out.push(pair);
    }
    reader.is_empty()
}
