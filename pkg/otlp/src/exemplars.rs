//! Exemplars of data points.

use std::fmt::Write;

use ingest::wire::{Malformed, Reader};
use labels::Labels;
use model::Exemplar;

use crate::any;
use crate::limits::EXEMPLAR_CHARS_MAX;
use crate::point::to_ms;

/// Reads an exemplar; one without a time has that of its sample. `None` = it has no value.
pub(crate) fn read(mut message: Reader<'_>, sample_ms: i64) -> Result<Option<Exemplar>, Malformed> {
    let (mut time_ns, mut value) = (0, None);
    let (mut span, mut trace): (&[u8], &[u8]) = (&[], &[]);
    let mut attributes = Vec::new();
    while let Some((field, field_value)) = message.field()? {
        match field {
            2 => time_ns = field_value.fixed64(&message)?,
            3 => value = Some(field_value.double(&message)?),
            4 => span = field_value.part(&message)?.bytes(),
            5 => trace = field_value.part(&message)?.bytes(),
            6 => value = Some(field_value.fixed64(&message)? as i64 as f64),
            7 => attributes.push(field_value.part(&message)?),
            _ => {}
        }
        if attributes.len() > EXEMPLAR_CHARS_MAX {
            // More than there is room for: none of them is taken.
            attributes.truncate(EXEMPLAR_CHARS_MAX + 1);
        }
    }
    let Some(value) = value else { return Ok(None) };
    let mut pairs = Vec::new();
    for (name, id, bytes) in [("trace_id", trace, 16), ("span_id", span, 8)] {
        // An identifier of zeros is none.
        if id.len() == bytes && id.iter().any(|byte| *byte != 0) {
            pairs.push((name.to_owned(), hexed(id)));
        }
    }
    pairs.extend(fitting(&attributes, &pairs)?);
    pairs.sort_unstable();
    pairs.dedup_by(|later, earlier| later.0 == earlier.0);
    let timestamp_ms = if to_ms(time_ns) == 0 { sample_ms } else { to_ms(time_ns) };
    Ok(Some(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp_ms }))
}

/// The attributes, if all of them fit behind what there is.
fn fitting(attributes: &[Reader<'_>], pairs: &[(String, String)]) -> Result<Vec<(String, String)>, Malformed> {
    let chars = |name: &str, value: &str| name.chars().count() + value.chars().count();
    let mut taken: usize = pairs.iter().map(|(name, value)| chars(name, value)).sum();
    let mut out = Vec::new();
    for attribute in attributes {
        if attribute.bytes().len() > 4 * (EXEMPLAR_CHARS_MAX + 64) {
            return Ok(Vec::new());
        }
        let (key, value) = any::attribute(*attribute)?;
        let mut text = String::new();
        any::write(value, &mut text)?;
        taken += chars(key, &text);
        if !key.is_empty() && !text.is_empty() {
            out.push((key.to_owned(), text));
        }
    }
    Ok(if taken <= EXEMPLAR_CHARS_MAX { out } else { Vec::new() })
}

fn hexed(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a string does not fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
