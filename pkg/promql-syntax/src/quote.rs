//! Quoting and unquoting as Go does it, because texts travel between Prometheus and aion in this form.

use std::fmt::Write as _;

/// `text` in double quotes, as Go's `%q` writes it: printable characters stay, others become `\n`, `\x07`, `\u200b`.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        push_escaped(&mut out, c, '"');
    }
    out.push('"');
    out
}

/// `c` in single quotes, as Go's `%q` writes a rune; no character at all (the end of input) is written `'�'`.
pub(crate) fn quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c.unwrap_or('\u{fffd}'), '\'');
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{07}' => out.push_str("\\a"),
        '\u{08}' => out.push_str("\\b"),
        '\u{0c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{0b}' => out.push_str("\\v"),
        c if c == quote => {
            out.push('\\');
            out.push(c);
        }
        ' '..='~' => out.push(c),
        c if c.is_ascii() => {
            let _ = write!(out, "\\x{:02x}", c as u32);
        }
        c if is_printable(c) => out.push(c),
        c if (c as u32) < 0x1_0000 => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => {
            let _ = write!(out, "\\U{:08x}", c as u32);
        }
    }
}

/// Letters, marks, numbers, punctuation, symbols; no spaces but U+0020. The standard library's table says which; a
/// letter goes before `c` because a mark at the start of a text would be escaped for another reason.
fn is_printable(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    !text.escape_debug().any(|c| c == '\\')
}

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
    fn quotes_like_go() {
        for (text, quoted) in [
            ("plain", r#""plain""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("tab\tnl\n\u{7}", r#""tab\tnl\n\a""#),
            ("\u{7f}\u{1}", r#""\x7f\x01""#),
            ("größe 温度 é\u{301}", "\"größe 温度 é\u{301}\""),
            ("\u{200b}\u{a0}", r#""\u200b\u00a0""#),
            ("'", r#""'""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(quote_char(None), "'\u{fffd}'");
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
