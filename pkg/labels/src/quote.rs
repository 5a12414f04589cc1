//! Quoting as Go does it, because label values travel between Prometheus and aion in this form.

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
pub fn quote_char(c: Option<char>) -> String {
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
/// letter goes before `c` because a mark at the start of a string would be escaped for another reason.
fn is_printable(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    !text.escape_debug().any(|c| c == '\\')
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
            ("\0\u{7f}\u{1}", r#""\x00\x7f\x01""#),
            ("größe 温度 é\u{301}", "\"größe 温度 é\u{301}\""),
            ("\u{200b}\u{a0}", r#""\u200b\u00a0""#),
            ("'", r#""'""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote_char(Some('\'')), r"'\''");
        assert_eq!(quote_char(None), "'\u{fffd}'");
    }
}
