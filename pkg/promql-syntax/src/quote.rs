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
        '"' | '\'' => unescape(inner, quote),
        _ => None,
    }
}

fn unescape(inner: &str, quote: char) -> Option<String> {
    if !inner.contains(['\\', quote]) {
        return Some(inner.to_owned());
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
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    })
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
