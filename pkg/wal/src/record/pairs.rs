//! Label pairs: their number, then names and values.

use encoding::{Corrupt, Cursor, put_string, put_uvarint};

/// Appends label pairs to `out`.
pub fn put_labels<'l>(out: &mut Vec<u8>, labels: impl Iterator<Item = (&'l str, &'l str)> + Clone) {
    put_uvarint(out, labels.clone().count() as u64);
    for (name, value) in labels {
        put_string(out, name);
        put_string(out, value);
    }
}

/// Reads label pairs into `pairs`, whose content before is dropped.
///
/// # Errors
/// [`Corrupt`] if they are cut short or not UTF-8.
pub fn read_labels<'a>(cursor: &mut Cursor<'a>, pairs: &mut Vec<(&'a str, &'a str)>) -> Result<(), Corrupt> {
    pairs.clear();
    let at = *cursor;
    let count = cursor.uvarint()?;
    // Each pair takes two bytes at least.
    if count > (cursor.left() / 2) as u64 {
        return Err(at.corrupt(format!("{count} labels, {} bytes left", cursor.left())));
    }
    pairs.reserve(count as usize);
    for _ in 0..count {
        pairs.push((cursor.string()?, cursor.string()?));
    }
    Ok(())
}
