//! Labels as command lines give them: `name="value"`, the value quoted as in Go.

use labels::Labels;

use crate::unquote;

/// Reads the values `texts` of `--<flag>`, each `name="value"`. A name is any text; a value stands in double quotes with
/// Go's escapes, in backquotes as it is, or, if it is one character, in single quotes. An empty value is no label.
///
/// # Errors
/// The first text that is none of these, or names a label for the second time; says the flag and the text.
pub fn parse_flag_labels(flag: &str, texts: &[String]) -> Result<Labels, String> {
    let mut pairs: Vec<(&str, String)> = Vec::with_capacity(texts.len());
    for text in texts {
        let wrong = |why: String| format!("--{flag}: {text:?} {why}");
        let (name, quoted) =
            text.split_once('=').ok_or_else(|| wrong("is not of the form name=\"value\"".to_owned()))?;
        if name.is_empty() || name.trim() != name || name.starts_with(['"', '\'', '`']) {
            return Err(wrong("begins with no label name".to_owned()));
        }
        let value = go_unquote(quoted).ok_or_else(|| {
            let hint = if quoted.contains(['"', '\'', '`']) { String::new() } else { shell_hint(flag, name, quoted) };
            wrong(format!("has no value in Go's quotes, such as {name}=\"value\"{hint}"))
        })?;
        if pairs.iter().any(|(n, _)| *n == name) {
            return Err(wrong("names a label that was given before".to_owned()));
        }
        pairs.push((name, value));
    }
    Ok(Labels::from_pairs(pairs))
}

/// Whoever writes quotes in a shell loses them there.
fn shell_hint(flag: &str, name: &str, value: &str) -> String {
    format!("; in a shell: --{flag}='{name}=\"{value}\"'")
}

/// As Go's `strconv.Unquote`: unlike in PromQL, single quotes hold one character, and backquotes lose carriage returns.
fn go_unquote(text: &str) -> Option<String> {
    let value = unquote(text)?;
    match text.as_bytes().first() {
        Some(b'\'') if value.chars().count() != 1 => None,
        Some(b'`') => Some(value.replace('\r', "")),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Labels, String> {
        parse_flag_labels("label", &texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_quoted_as_in_go() {
        for (text, name, value) in [
            (r#"a="b""#, "a", "b"),
            ("a=`b`", "a", "b"),
            ("a='b'", "a", "b"),
            ("a='é'", "a", "é"),
            (r"a='\''", "a", "'"),
            ("a=`b\\n\r\nc`", "a", "b\\n\nc"),
            (r#"a="\n\x41\u00e9\"\101=""#, "a", "\nAé\"A="),
            (r#"a.b="c""#, "a.b", "c"),
            (r#"größe in m="c""#, "größe in m", "c"),
        ] {
            assert_eq!(parse(&[text]), Ok(Labels::from_pairs([(name, value)])), "{text}");
        }
        assert_eq!(parse(&[r#"b="2""#, r#"a="1""#]), Ok(Labels::from_pairs([("a", "1"), ("b", "2")])));
        assert_eq!(parse(&[r#"a="""#]), Ok(Labels::empty()));
    }

    #[test]
    fn refuses() {
        for (texts, why) in [
            (&["a"][..], "--label: \"a\" is not of the form"),
            (&["a=bc"], "in a shell: --label='a=\"bc\"'"),
            (&["a="], "no value in Go's quotes"),
            (&["a='bc'"], "no value in Go's quotes"),
            (&["a=''"], "no value in Go's quotes"),
            (&["a=\"b"], "no value in Go's quotes"),
            (&["a=\"b\" "], "no value in Go's quotes"),
            (&[r#"a="\'""#], "no value in Go's quotes"),
            (&[r#"a="\400""#], "no value in Go's quotes"),
            (&["=\"b\""], "no label name"),
            (&["\"a\"=\"b\""], "no label name"),
            (&["a =\"b\""], "no label name"),
            (&["a=\"b\"", "a=\"b\""], "given before"),
        ] {
            let error = parse(texts).unwrap_err();
            assert!(error.contains(why), "{texts:?}: {error}");
        }
    }
}
