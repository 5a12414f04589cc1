//! Constants as Go's source has them.

/// The text of a string in double quotes or back quotes.
pub(crate) fn unquote(text: &str) -> Option<String> {
    if let Some(raw) = text.strip_prefix('`').and_then(|t| t.strip_suffix('`')) {
        return Some(raw.replace('\r', ""));
    }
    let body = text.strip_prefix('"')?.strip_suffix('"')?;
    let (mut bytes, mut rest) = (Vec::with_capacity(body.len()), body);
    while !rest.is_empty() {
        let (piece, after) = next(rest, '"')?;
        match piece {
            Piece::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Byte(b) => bytes.push(b),
        }
        rest = after;
    }
    // Bytes that are no UTF-8 can be written, and not be printed.
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The number of a character in single quotes.
pub(crate) fn unquote_char(text: &str) -> Option<i64> {
    let body = text.strip_prefix('\'')?.strip_suffix('\'')?;
    let (piece, after) = next(body, '\'')?;
    after.is_empty().then(|| match piece {
        Piece::Char(c) => i64::from(u32::from(c)),
        Piece::Byte(b) => i64::from(b),
    })
}

enum Piece {
    Char(char),
    Byte(u8),
}

fn next(text: &str, quote: char) -> Option<(Piece, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return (first != quote && first != '\n').then_some((Piece::Char(first), chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let digits = |len: usize, radix: u32, text: &'_ str| u32::from_str_radix(text.get(..len)?, radix).ok();
    let simple = |c: char| Some((Piece::Char(c), rest));
    match escape {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' => simple('\\'),
        c if c == quote => simple(c),
        'x' => Some((Piece::Byte(u8::try_from(digits(2, 16, rest)?).ok()?), &rest[2..])),
        'u' => Some((Piece::Char(char::from_u32(digits(4, 16, rest)?)?), &rest[4..])),
        'U' => Some((Piece::Char(char::from_u32(digits(8, 16, rest)?)?), &rest[8..])),
        '0'..='7' => {
            let text = &text[1..];
            Some((Piece::Byte(u8::try_from(digits(3, 8, text)?).ok()?), &text[3..]))
        }
        _ => None,
    }
}

/// A number, and whether it is written as a float.
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

pub(crate) fn number(text: &str) -> Option<Number> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let hexadecimal = lower.starts_with("0x");
    let is_float = lower.contains(['.', 'p']) || (!hexadecimal && lower.contains('e'));
    if is_float {
        return model::parse_go_float(text).ok().map(Number::Float);
    }
    let radix = |prefix: &str, radix| lower.strip_prefix(prefix).map(|d| i128::from_str_radix(d, radix).ok());
    let value = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8)).unwrap_or_else(|| {
        let octal = lower.len() > 1 && lower.starts_with('0');
        if !lower.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        i128::from_str_radix(&lower, if octal { 8 } else { 10 }).ok()
    })?;
    i64::try_from(sign * value).ok().map(Number::Int)
}
