//! Unquoting as Go does it; quoting is in `labels`.

/// Takes the quotes (`"`, `'` or a backquote) off `text` and resolves the escapes.
///
/// A label value is UTF-8 here, so bytes from `\xff` that do not form UTF-8 become U+FFFD.
///
/// `None` when the text is not one well-formed literal.
pub fn unquote(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let inner = chars.as_str().strip_suffix(quote)?;
    match quote {
        '`' => (!inner.contains('`')).then(|| inner.to_owned()),
        '"' | '\'' if inner.contains('\n') => None,
        '"' | '\'' => Some(match String::from_utf8(unescape(inner, quote)?) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }),
        _ => None,
    }
}

/// The literal with double quotes around it where its bytes are no UTF-8, the others of them as `\xff`; `None` for all
/// other literals.
pub(crate) fn quote_bytes(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let quote = chars.next()?;
    let inner = chars.as_str().strip_suffix(quote)?;
    if quote == '`' || !inner.contains('\\') {
        return None;
    }
    let bytes = unescape(inner, quote)?;
    if std::str::from_utf8(&bytes).is_ok() {
        return None;
    }
    let mut out = String::from('"');
    for chunk in bytes.utf8_chunks() {
        let valid = labels::quote(chunk.valid());
        out.push_str(&valid[1..valid.len() - 1]);
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("\\x{b:02x}")));
    }
    out.push('"');
    Some(out)
}

fn unescape(inner: &str, quote: char) -> Option<Vec<u8>> {
    if !inner.contains(['\\', quote]) {
        return Some(inner.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == quote {
            return None;
        }
        if c != '\\' {
            push_char(&mut bytes, c);
            continue;
        }
        match rest.next()? {
            'a' => bytes.push(0x07),
            'b' => bytes.push(0x08),
            'f' => bytes.push(0x0c),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(0x0b),
            '\\' => bytes.push(b'\\'),
            'x' => bytes.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?),
            'u' => push_char(&mut bytes, char::from_u32(digits(&mut rest, 4, 16)?)?),
            'U' => push_char(&mut bytes, char::from_u32(digits(&mut rest, 8, 16)?)?),
            c @ '0'..='7' => {
                let high = c.to_digit(8)?;
                bytes.push(u8::try_from(high * 64 + digits(&mut rest, 2, 8)?).ok()?);
            }
            c if c == quote => push_char(&mut bytes, c),
            _ => return None,
        }
    }
    Some(bytes)
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, base: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text() {
        for (text, quoted) in [
            (r#""a\xc5z""#, Some(r#""a\xc5z""#)),
            (r"'\xff\tü\''", Some("\"\\xff\\tü'\"")),
            (r#""a\u00e9""#, None),
            ("`\\xff`", None),
        ] {
            assert_eq!(quote_bytes(text).as_deref(), quoted, "{text}");
        }
    }

    #[test]
    fn unquotes_all_three_kinds() {
        for (text, value) in [
            (r#""a\tb""#, Some("a\tb")),
            (r"'a\'b'", Some("a'b")),
            (r"'a\x41\101\u00e9\U0001F600'", Some("aAAé😀")),
            ("`raw\\n\n`", Some("raw\\n\n")),
            (r#""\xff""#, Some("\u{fffd}")),
            (r#""\'""#, None),
            ("\"a\nb\"", None),
            (r#""\400""#, None),
            (r#""open"#, None),
            ("\"", None),
            ("", None),
        ] {
            assert_eq!(unquote(text).as_deref(), value, "{text}");
        }
    }
}
