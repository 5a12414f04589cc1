//! Thanos' aggregate chunk (encoding 0xFF): up to five chunks in one record.
//!
//! Layout: for count, sum, min, max, counter in turn `uvarint len`; 0 means absent, else one encoding byte and `len`
//! bytes of chunk data follow.

use bytes::Bytes;

use crate::{Encoding, Error};

/// The five parts, in on-disk order: count, sum, min, max, counter.
pub type Parts<T> = [Option<(Encoding, T)>; 5];

/// Joins chunks to an aggregate chunk's data.
pub fn encode(parts: Parts<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(parts.iter().flatten().map(|(_, data)| data.len() + 6).sum::<usize>() + 5);
    for part in parts {
        // An empty chunk cannot be told from an absent one.
        let Some((encoding, data)) = part.filter(|(_, data)| !data.is_empty()) else {
            out.push(0);
            continue;
        };
        let mut len = data.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.push(encoding as u8);
        out.extend_from_slice(data);
    }
    out
}

/// Splits an aggregate chunk's data; the parts share its memory.
///
/// # Errors
/// When lengths do not fit or an encoding is not one of a plain chunk.
pub fn decode(data: &Bytes) -> Result<Parts<Bytes>, Error> {
    let mut parts = [const { None }; 5];
    let mut at = 0;
    for (index, part) in parts.iter_mut().enumerate() {
        let invalid = |what: String| Error::Invalid { sample: index, what: format!("aggregate {index}: {what}") };
        let len = read_len(data, &mut at).ok_or_else(|| invalid("no length".to_owned()))?;
        if len == 0 {
            continue;
        }
        let byte = *data.get(at).ok_or_else(|| invalid("no encoding byte".to_owned()))?;
        let encoding = Encoding::from_byte(byte).filter(|e| *e != Encoding::Aggregates);
        let encoding = encoding.ok_or_else(|| invalid(format!("encoding {byte}")))?;
        at += 1;
        let end = usize::try_from(len).ok().and_then(|len| at.checked_add(len)).filter(|end| *end <= data.len());
        let end = end.ok_or_else(|| invalid(format!("length {len} with {} bytes left", data.len() - at)))?;
        *part = Some((encoding, data.slice(at..end)));
        at = end;
    }
    Ok(parts)
}

fn read_len(data: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = *data.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
