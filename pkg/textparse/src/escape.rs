//! Backslashes in names, label values and help texts.

use std::borrow::Cow;

/// Replaces `\\`, `\n` and, unless it is a help text of the old format, `\"`. Any other backslash stands for itself.
pub(crate) fn unescape(text: Cow<'_, str>, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.clone().next() {
            Some('\\') => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('"') if quotes => out.push('"'),
            _ => {
                out.push('\\');
                continue;
            }
        }
        chars.next();
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        for (text, in_value, in_help) in [
            ("plain", "plain", "plain"),
            (r"a\\b", r"a\b", r"a\b"),
            (r"a\nb", "a\nb", "a\nb"),
            (r#"a\"b"#, "a\"b", r#"a\"b"#),
            (r"a\tb", r"a\tb", r"a\tb"),
            (r"\\n", r"\n", r"\n"),
            (r"a\", r"a\", r"a\"),
        ] {
            assert_eq!(unescape(text.into(), true), in_value, "{text}");
            assert_eq!(unescape(text.into(), false), in_help, "{text}");
        }
    }
}
