//! The syntax of selectors, which the API server reads: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>
//! and <https://kubernetes.io/docs/concepts/overview/working-with-objects/field-selectors/>. A mistake in one is found before
//! a server is asked.

/// Checks a field selector: `path=value`, `path==value` and `path!=value`, separated by commas. In values `\`, `,` and `=`
/// stand after a `\`.
///
/// # Errors
/// The part that is wrong.
pub(crate) fn check_fields(selector: &str) -> Result<(), String> {
    for term in terms(selector) {
        if term.is_empty() {
            continue;
        }
        let Some(value) = value_of(term) else {
            return Err(format!("invalid selector: '{selector}'; can't understand '{term}': it needs =, == or !="));
        };
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            let wrong = match c {
                '\\' => !matches!(chars.next(), Some('\\' | ',' | '=')),
                ',' | '=' => true,
                _ => false,
            };
            if wrong {
                return Err(format!("invalid selector: '{selector}'; write \\, \\= and \\\\ in the value '{value}'"));
            }
        }
    }
    Ok(())
}

/// The parts between commas that have no `\` before them.
fn terms(selector: &str) -> Vec<&str> {
    let (mut out, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in selector.char_indices() {
        if c == ',' && !escaped {
            out.push(&selector[start..at]);
            start = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    out.push(&selector[start..]);
    out
}

fn value_of(term: &str) -> Option<&str> {
    term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        ["!=", "==", "="].into_iter().find_map(|operator| rest.strip_prefix(operator))
    })
}

/// Checks a label selector: requirements such as `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`, `a>1`, separated by
/// commas.
///
/// # Errors
/// The part that is wrong.
pub(crate) fn check_labels(selector: &str) -> Result<(), String> {
    let wrong = |why: String| format!("invalid label selector '{selector}': {why}");
    let tokens = tokens(selector);
    let mut rest = tokens.as_slice();
    if rest.is_empty() {
        return Ok(());
    }
    loop {
        rest = requirement(rest).map_err(wrong)?;
        match rest {
            [] => return Ok(()),
            [Token::Symbol(","), more @ ..] if !more.is_empty() => rest = more,
            [Token::Symbol(","), ..] => {
                return Err(wrong("a label's name is expected after the last comma".to_owned()));
            }
            [token, ..] => return Err(wrong(format!("'{}' is not expected there", token.text()))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Symbol(text) => text,
        }
    }
}

const SYMBOLS: [&str; 10] = ["!=", "==", "=", "!", "(", ")", ",", ">", "<", "~"];

fn tokens(selector: &str) -> Vec<Token<'_>> {
    let mut out = Vec::new();
    let mut rest = selector.trim_start();
    while !rest.is_empty() {
        let token = match SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
            Some(symbol) => Token::Symbol(symbol),
            None => {
                let end = rest.find(|c: char| c.is_whitespace() || "!=(),><~".contains(c)).unwrap_or(rest.len());
                Token::Word(&rest[..end])
            }
        };
        rest = rest[token.text().len()..].trim_start();
        out.push(token);
    }
    out
}

/// What follows one requirement.
fn requirement<'t, 'a>(tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], String> {
    use Token::{Symbol, Word};
    match tokens {
        [Symbol("!"), Word(key), rest @ ..] => check_key(key).map(|()| rest),
        [Word(key), rest @ ..] => {
            check_key(key)?;
            match rest {
                [Symbol("=" | "==" | "!="), Word(value), rest @ ..] => check_value(value).map(|()| rest),
                // Nothing after the operator is the empty value.
                [Symbol("=" | "==" | "!="), rest @ ..] => Ok(rest),
                [Symbol(">" | "<"), Word(value), rest @ ..] => match value.parse::<i64>() {
                    Ok(_) => Ok(rest),
                    Err(_) => Err(format!("'{value}' must be an integer")),
                },
                [Word("in" | "notin"), Symbol("("), rest @ ..] => values(rest),
                [Word(word), ..] => Err(format!("'{word}' is not expected there: write in (…) or notin (…)")),
                rest => Ok(rest),
            }
        }
        [token, ..] => Err(format!("a label's name is expected, not '{}'", token.text())),
        [] => Err("a label's name is expected at its end".to_owned()),
    }
}

/// What follows a list of values and its parenthesis.
fn values<'t, 'a>(mut tokens: &'t [Token<'a>]) -> Result<&'t [Token<'a>], String> {
    loop {
        match tokens {
            [Token::Word(value), rest @ ..] => {
                check_value(value)?;
                tokens = rest;
            }
            [Token::Symbol(","), rest @ ..] => tokens = rest,
            [Token::Symbol(")"), rest @ ..] => return Ok(rest),
            _ => return Err("a list of values ends with )".to_owned()),
        }
    }
}

/// A label's name: an optional DNS name and `/` before up to 63 letters, digits, `-`, `_` and `.`.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let good_prefix = prefix.is_none_or(|prefix| {
        let part = |part: &str| {
            is_name(part) && part.bytes().all(|b| b == b'-' || b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        prefix.len() <= 253 && prefix.split('.').all(part)
    });
    if good_prefix && name.len() <= 63 && is_name(name) {
        return Ok(());
    }
    Err(format!("'{key}' is no label's name"))
}

fn check_value(value: &str) -> Result<(), String> {
    if value.len() <= 63 && (value.is_empty() || is_name(value)) {
        return Ok(());
    }
    Err(format!("'{value}' is no label's value"))
}

/// Letters, digits, and between them `-`, `_` and `.`.
fn is_name(text: &str) -> bool {
    let end = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    end(text.bytes().next()) && end(text.bytes().next_back()) && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for good in [
            "",
            "a=b",
            "metadata.status=Running",
            "a==b,c!=d",
            "a=",
            "a=b,",
            ",",
            r"a=x\,y\=z\\",
            "status.phase!=Failed",
        ] {
            assert_eq!(check_fields(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("metadata.status-Running", "can't understand 'metadata.status-Running'"),
            ("a=b,c", "can't understand 'c'"),
            ("a=b=c", "in the value 'b=c'"),
            (r"a=b\x", r"in the value 'b\x'"),
            (r"a=b\", r"in the value 'b\'"),
        ] {
            let error = check_fields(bad).unwrap_err();
            assert!(error.contains(why) && error.contains(bad), "{error}");
        }
    }

    #[test]
    fn labels() {
        for good in [
            "",
            " ",
            "foo=bar",
            "foo in (bar,baz)",
            "foo notin ( bar , baz ),x",
            "!foo",
            "! foo , a == b, c!=d",
            "kubernetes.io/os=linux",
            "n>5,m<-1",
            "a=,b=c",
            "a in ()",
            "a in (,b)",
        ] {
            assert_eq!(check_labels(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("foo bar", "'bar' is not expected"),
            ("foo in (a", "ends with )"),
            ("foo in a", "'in' is not expected"),
            ("=a", "not '='"),
            ("a,", "after the last comma"),
            ("a>b", "'b' must be an integer"),
            ("-a=b", "'-a' is no label's name"),
            ("Foo.io/a/b=c", "no label's name"),
            ("a=b/c", "'b/c' is no label's value"),
            ("a=b)", "')' is not expected"),
            ("!", "not '!'"),
            ("a~b", "'~' is not expected"),
        ] {
            let error = check_labels(bad).unwrap_err();
            assert!(error.contains(why) && error.contains(bad), "{bad}: {error}");
        }
    }
}
