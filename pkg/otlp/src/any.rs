//! Values of attributes as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ingest::wire::{Malformed, Reader, Value};

use crate::limits::DEPTH_MAX;

type Result<T> = std::result::Result<T, Malformed>;

/// Name and value of an attribute, where they lie; the value is a message `AnyValue`.
pub(crate) fn attribute(mut message: Reader<'_>) -> Result<(&str, Reader<'_>)> {
    let (mut key, mut value) = ("", Reader::new(&[], message.offset()));
    while let Some((field, field_value)) = message.field()? {
        match field {
            1 => key = text(field_value.part(&message)?)?,
            2 => value = field_value.part(&message)?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// A string of a message.
pub(crate) fn text(part: Reader<'_>) -> Result<&str> {
    std::str::from_utf8(part.bytes()).map_err(|_| part.malformed("a text is not UTF-8"))
}

/// Adds a value to `out`: strings as they are, numbers in decimal, bytes in base 64, lists and maps as JSON.
pub(crate) fn write(value: Reader<'_>, out: &mut String) -> Result<()> {
    match last(value)? {
        Some((1, field)) => out.push_str(text(field.part(&value)?)?),
        Some((4, field)) => {
            let number = field.double(&value)?;
            match number.is_finite() {
                true => float(number, out),
                false => put(out, format_args!("json: unsupported value: {}", special(number))),
            }
        }
        Some((7, field)) => STANDARD.encode_string(field.part(&value)?.bytes(), out),
        Some((5 | 6, _)) => {
            let begin = out.len();
            if !json(value, out, 0)? {
                // What JSON cannot say leaves nothing, as in Prometheus.
                out.truncate(begin);
            }
        }
        _ => {
            json_scalar(value, out)?;
        }
    }
    Ok(())
}

/// The alternative of the value that counts: the last one.
fn last(mut value: Reader<'_>) -> Result<Option<(u64, Value<'_>)>> {
    let mut last = None;
    while let Some((field, field_value)) = value.field()? {
        if (1..=7).contains(&field) {
            last = Some((field, field_value));
        }
    }
    Ok(last)
}

/// A value that is neither a list nor a map, as in JSON; one that is absent is nothing.
fn json_scalar(value: Reader<'_>, out: &mut String) -> Result<()> {
    match last(value)? {
        Some((2, field)) => out.push_str(if field.varint(&value)? != 0 { "true" } else { "false" }),
        Some((3, field)) => put(out, format_args!("{}", field.varint(&value)? as i64)),
        _ => {}
    }
    Ok(())
}

/// Adds JSON; false if there is none for it, as for NaN.
fn json(value: Reader<'_>, out: &mut String, depth: usize) -> Result<bool> {
    if depth > DEPTH_MAX {
        return Err(value.malformed("lists and maps lie in one another more than 128 deep"));
    }
    match last(value)? {
        None => out.push_str("null"),
        Some((1, field)) => quoted(text(field.part(&value)?)?, out),
        Some((4, field)) => {
            let number = field.double(&value)?;
            if !number.is_finite() {
                return Ok(false);
            }
            float(number, out);
        }
        Some((5, field)) => return list(field.part(&value)?, out, depth),
        Some((6, field)) => return map(field.part(&value)?, out, depth),
        Some((7, field)) => {
            out.push('"');
            STANDARD.encode_string(field.part(&value)?.bytes(), out);
            out.push('"');
        }
        Some(_) => json_scalar(value, out)?,
    }
    Ok(true)
}

fn list(mut message: Reader<'_>, out: &mut String, depth: usize) -> Result<bool> {
    out.push('[');
    let mut is_first = true;
    while let Some((field, value)) = message.field()? {
        if field == 1 {
            if !std::mem::take(&mut is_first) {
                out.push(',');
            }
            if !json(value.part(&message)?, out, depth + 1)? {
                return Ok(false);
            }
        }
    }
    out.push(']');
    Ok(true)
}

fn map(mut message: Reader<'_>, out: &mut String, depth: usize) -> Result<bool> {
    let mut sorted = BTreeMap::new();
    while let Some((field, value)) = message.field()? {
        if field == 1 {
            let (key, value) = attribute(value.part(&message)?)?;
            sorted.insert(key, value);
        }
    }
    out.push('{');
    for (n, (key, value)) in sorted.into_iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        quoted(key, out);
        out.push(':');
        if !json(value, out, depth + 1)? {
            return Ok(false);
        }
    }
    out.push('}');
    Ok(true)
}

/// A string as Go writes it into JSON, which escapes what HTML would take for markup.
fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => put(out, format_args!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A number as JSON has it: with an exponent where it is very large or small.
fn float(number: f64, out: &mut String) {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => put(out, format_args!("{digits}e+{exponent}")),
            _ => out.push_str(&text),
        }
        return;
    }
    put(out, format_args!("{number}"));
}

fn special(number: f64) -> &'static str {
    match (number.is_nan(), number > 0.0) {
        (true, _) => "NaN",
        (_, true) => "+Inf",
        _ => "-Inf",
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use ingest::wire::Writer;

    use super::*;

    fn shown(value: &Writer) -> String {
        let mut out = String::new();
        write(Reader::new(value.bytes(), 0), &mut out).unwrap();
        out
    }

    fn any(write: impl FnOnce(&mut Writer)) -> Writer {
        let mut writer = Writer::default();
        write(&mut writer);
        writer
    }

    fn number(value: f64) -> String {
        shown(&any(|w| {
            w.double(4, value);
        }))
    }

    #[test]
    fn values_as_text() {
        assert_eq!(shown(&any(|_| {})), "");
        assert_eq!(shown(&any(|w| _ = w.string(1, "a<\"b"))), "a<\"b");
        assert_eq!(shown(&any(|w| _ = w.varint(2, 1))), "true");
        assert_eq!(shown(&any(|w| _ = w.varint(2, 0))), "false");
        assert_eq!(shown(&any(|w| _ = w.varint(3, -5i64 as u64))), "-5");
        assert_eq!(shown(&any(|w| _ = w.string(7, [1, 2, 3, 4]))), "AQIDBA==");
        assert_eq!(shown(&any(|w| _ = w.string(1, "a").varint(3, 7))), "7", "the last alternative counts");
        for (value, wanted) in [
            (1.5, "1.5"),
            (1.0, "1"),
            (-0.000001, "-0.000001"),
            (0.0000005, "5e-7"),
            (1e21, "1e+21"),
            (123456789012345680000.0, "123456789012345680000"),
            (f64::NAN, "json: unsupported value: NaN"),
            (f64::NEG_INFINITY, "json: unsupported value: -Inf"),
        ] {
            assert_eq!(number(value), wanted);
        }
    }

    #[test]
    fn lists_and_maps_are_json() {
        let value = any(|w| {
            w.message(6, |map| {
                for (key, text) in [("z", "<&\u{1}\n"), ("a", "1")] {
                    map.message(1, |pair| {
                        pair.string(1, key).message(2, |v| _ = v.string(1, text));
                    });
                }
                map.message(1, |pair| {
                    pair.string(1, "list").message(2, |v| {
                        v.message(5, |list| {
                            list.message(1, |v| _ = v.varint(3, 7)).message(1, |_| {});
                            list.message(1, |v| _ = v.varint(2, 1)).message(1, |v| _ = v.string(7, [255]));
                        });
                    });
                });
            });
        });
        assert_eq!(shown(&value), r#"{"a":"1","list":[7,null,true,"/w=="],"z":"\u003c\u0026\u0001\n"}"#);
        let nan = any(|w| {
            w.message(5, |list| {
                list.message(1, |v| _ = v.double(4, f64::NAN));
            });
        });
        assert_eq!(shown(&nan), "");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| {
            (0..depth).fold(any(|w| _ = w.string(1, "x")), |inner, _| {
                any(|w| _ = w.message(5, |list| _ = list.string(1, inner.bytes())))
            })
        };
        assert_eq!(shown(&nested(100)).len(), 203);
        let deep = nested(DEPTH_MAX + 2);
        let error = write(Reader::new(deep.bytes(), 0), &mut String::new()).unwrap_err();
        assert!(error.what.contains("128 deep"), "{error}");
    }
}
