//! Forms as `multipart/form-data` (RFC 7578), which `curl -F` sends.

/// Names and values of the fields in order; files are passed over. `None` where the body is no such form.
pub(crate) fn fields(content_type: &str, body: &[u8]) -> Option<Vec<(String, String)>> {
    let delimiter = format!("\r\n--{}", boundary(content_type)?).into_bytes();
    // The first delimiter may stand at the very beginning.
    let mut rest = match body.strip_prefix(&delimiter[2..]) {
        Some(rest) => rest,
        None => cut(body, &delimiter)?.1,
    };
    let mut out = Vec::new();
    while !rest.starts_with(b"--") {
        let (_, part) = cut(rest, b"\r\n")?;
        let (head, after) = match part.strip_prefix(b"\r\n") {
            Some(value) => (&b""[..], value),
            None => cut(part, b"\r\n\r\n")?,
        };
        let (value, next) = match after.strip_prefix(&delimiter[2..]) {
            Some(next) => (&b""[..], next),
            None => cut(after, &delimiter)?,
        };
        if let Some(name) = field_name(std::str::from_utf8(head).ok()?) {
            out.push((name, String::from_utf8_lossy(value).into_owned()));
        }
        rest = next;
    }
    Some(out)
}

/// What stands before and behind `at`.
fn cut<'a>(bytes: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = bytes.windows(at.len()).position(|window| window == at)?;
    Some((&bytes[..place], &bytes[place + at.len()..]))
}

fn boundary(content_type: &str) -> Option<String> {
    parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))
}

/// The name of a field; `None` for a file and for what has no name.
fn field_name(head: &str) -> Option<String> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) =
        lines.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))?;
    match parameter(disposition, "filename") {
        None => parameter(disposition, "name"),
        Some(_) => None,
    }
}

/// A parameter of a header's value: `; name=text` or `; name="text"`, in which a backslash takes the next letter as it is.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value;
    loop {
        rest = rest.split_once(';')?.1;
        let (name, after) = rest.split_once('=')?;
        let text;
        (text, rest) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_text(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted_text(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((text, &quoted[at + 1..])),
            '\\' => text.push(chars.next()?.1),
            c => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let kind = "multipart/form-data; charset=utf-8; boundary=\"x y\"";
        let head = "Content-Disposition: form-data; name=";
        let body = format!(
            "preamble\r\n--x y\r\n{head}\"query\"\r\n\r\nup{{a=\"b\"}}\r\n--x y \r\ncontent-disposition: form-data; name=time\r\n\
             Content-Type: text/plain\r\n\r\n5\r\n--x y\r\n{head}\"a\\\"b\"\r\n\r\n\r\n--x y\r\n{head}\"f\"; \
             filename=\"x\"\r\n\r\nfile\r\n--x y\r\n\r\nnameless\r\n--x y--\r\nepilogue"
        );
        let found = fields(kind, body.as_bytes()).unwrap();
        let shown: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("query", "up{a=\"b\"}"), ("time", "5"), ("a\"b", "")]);
        assert_eq!(fields(kind, b"--x y--"), Some(Vec::new()));
        for bad in ["", "--x y\r\n", "--x y\r\n\r\n", "--x y\r\n\r\na\r\n--x z--"] {
            assert_eq!(fields(kind, bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(fields("multipart/form-data", body.as_bytes()), None);
        let end = body.rfind("--x y--").unwrap();
        assert!((0..end).all(|cut| fields(kind, &body.as_bytes()[..cut]).is_none()), "cut short");
    }
}
