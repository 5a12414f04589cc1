//! Sets of characters: brackets, `\d`, `[:alpha:]`, `\p{Greek}`; and escapes of single characters.

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

use crate::error::Error;
use crate::node::push_range;

/// Reads `[…]` at the start of `at`; the set and the rest.
pub(crate) fn parse_class(at: &str, fold: bool) -> Result<(ClassUnicode, &str), Error> {
    let mut rest = &at[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut class = ClassUnicode::empty();
    let mut first = true;
    // A `]` in the first place is a literal.
    while first || !rest.starts_with(']') {
        first = false;
        if let Some(after) = posix_class(rest, &mut class)? {
            rest = after;
            continue;
        }
        if let Some(after) = unicode_class(rest, &mut class, fold)? {
            rest = after;
            continue;
        }
        if let Some(after) = perl_class(rest, &mut class) {
            rest = after;
            continue;
        }
        let range = rest;
        let lo;
        (lo, rest) = class_char(rest, at)?;
        let mut hi = lo;
        // In `[a-]` the minus is a literal.
        if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
            (hi, rest) = class_char(&rest[1..], at)?;
            if hi < lo {
                let fragment = &range[..range.len() - rest.len()];
                return Err(Error::new("invalid character class range", fragment));
            }
        }
        push_range(&mut class, lo, hi);
    }
    if fold {
        class.case_fold_simple();
    }
    if negated {
        class.negate();
    }
    Ok((class, &rest[1..]))
}

fn class_char<'a>(rest: &'a str, whole: &str) -> Result<(u32, &'a str), Error> {
    if rest.starts_with('\\') {
        return escape(rest);
    }
    match rest.chars().next() {
        Some(c) => Ok((c as u32, &rest[c.len_utf8()..])),
        None => Err(Error::new("missing closing ]", whole)),
    }
}

/// Reads an escaped character; `at` starts with the backslash.
pub(crate) fn escape(at: &str) -> Result<(u32, &str), Error> {
    let mut chars = at[1..].chars();
    let Some(c) = chars.next() else {
        return Err(Error::new("trailing backslash at end of expression", ""));
    };
    let rest = chars.as_str();
    let bad = |rest: &str| Err(Error::new("invalid escape sequence", &at[..at.len() - rest.len()]));
    let octal = |b: Option<u8>| matches!(b, Some(b'0'..=b'7'));
    match c {
        // One digit alone would be a backreference.
        '1'..='7' if !octal(rest.bytes().next()) => bad(rest),
        '0'..='7' => {
            let more = rest.bytes().take(2).take_while(|b| octal(Some(*b))).count();
            let digits = &at[1..2 + more];
            Ok((u32::from_str_radix(digits, 8).unwrap_or(0), &rest[more..]))
        }
        'x' => hex(at, rest),
        'a' => Ok((0x07, rest)),
        'f' => Ok((0x0c, rest)),
        'n' => Ok((0x0a, rest)),
        'r' => Ok((0x0d, rest)),
        't' => Ok((0x09, rest)),
        'v' => Ok((0x0b, rest)),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok((c as u32, rest)),
        _ => bad(rest),
    }
}

/// `\x41`, `\x{1F600}`; `rest` is behind the `x`.
fn hex<'a>(at: &str, rest: &'a str) -> Result<(u32, &'a str), Error> {
    let bad = |rest: &str| Err(Error::new("invalid escape sequence", &at[..at.len() - rest.len()]));
    let mut chars = rest.chars();
    let Some(first) = chars.next() else {
        return bad(rest);
    };
    if first != '{' {
        let Some(second) = chars.next() else {
            return bad(chars.as_str());
        };
        return match (first.to_digit(16), second.to_digit(16)) {
            (Some(high), Some(low)) => Ok((high * 16 + low, chars.as_str())),
            _ => bad(chars.as_str()),
        };
    }
    let (mut value, mut digits) = (0u32, 0);
    loop {
        match chars.next() {
            Some('}') if digits > 0 => return Ok((value, chars.as_str())),
            Some(c) => match c.to_digit(16) {
                Some(digit) => {
                    value = value * 16 + digit;
                    digits += 1;
                    if value > 0x10_ffff {
                        return bad(chars.as_str());
                    }
                }
                None => return bad(chars.as_str()),
            },
            None => return bad(""),
        }
    }
}

const DIGIT: &[(u8, u8)] = &[(b'0', b'9')];
const SPACE: &[(u8, u8)] = &[(b'\t', b'\n'), (0x0c, b'\r'), (b' ', b' ')];
const WORD: &[(u8, u8)] = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

fn add(class: &mut ClassUnicode, ranges: &[(u8, u8)], negated: bool) {
    let mut set = ClassUnicode::empty();
    for (lo, hi) in ranges {
        push_range(&mut set, u32::from(*lo), u32::from(*hi));
    }
    if negated {
        set.negate();
    }
    class.union(&set);
}

/// Reads `\d`, `\W` and the like, ASCII only, into `class`; the rest.
pub(crate) fn perl_class<'a>(at: &'a str, class: &mut ClassUnicode) -> Option<&'a str> {
    let (ranges, negated) = match at.as_bytes() {
        [b'\\', b'd', ..] => (DIGIT, false),
        [b'\\', b'D', ..] => (DIGIT, true),
        [b'\\', b's', ..] => (SPACE, false),
        [b'\\', b'S', ..] => (SPACE, true),
        [b'\\', b'w', ..] => (WORD, false),
        [b'\\', b'W', ..] => (WORD, true),
        _ => return None,
    };
    add(class, ranges, negated);
    Some(&at[2..])
}

/// Reads `[:alpha:]`, `[:^alpha:]` into `class`; the rest.
fn posix_class<'a>(at: &'a str, class: &mut ClassUnicode) -> Result<Option<&'a str>, Error> {
    let Some(end) = at.strip_prefix("[:").and_then(|inner| inner.find(":]")) else {
        return Ok(None);
    };
    let (whole, rest) = at.split_at(end + 4);
    let name = &whole[2..end + 2];
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let ranges: &[(u8, u8)] = match name {
        "alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        "alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        "ascii" => &[(0, 0x7f)],
        "blank" => &[(b'\t', b'\t'), (b' ', b' ')],
        "cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        "digit" => DIGIT,
        "graph" => &[(b'!', b'~')],
        "lower" => &[(b'a', b'z')],
        "print" => &[(b' ', b'~')],
        "punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        "space" => &[(b'\t', b'\r'), (b' ', b' ')],
        "upper" => &[(b'A', b'Z')],
        "word" => WORD,
        "xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return Err(Error::new("invalid character class range", whole)),
    };
    add(class, ranges, negated);
    Ok(Some(rest))
}

/// Reads `\pN`, `\p{Greek}`, `\P{^Lu}` into `class`; the rest.
pub(crate) fn unicode_class<'a>(at: &'a str, class: &mut ClassUnicode, fold: bool) -> Result<Option<&'a str>, Error> {
    let mut negated = match at.as_bytes() {
        [b'\\', b'p', ..] => false,
        [b'\\', b'P', ..] => true,
        _ => return Ok(None),
    };
    let bad = |fragment: &str| Err(Error::new("invalid character class range", fragment));
    let Some(first) = at[2..].chars().next() else {
        return bad(at);
    };
    let (whole, mut name, rest) = if first == '{' {
        let Some(end) = at.find('}') else {
            return bad(at);
        };
        (&at[..=end], &at[3..end], &at[end + 1..])
    } else {
        let end = 2 + first.len_utf8();
        (&at[..end], &at[2..end], &at[end..])
    };
    if let Some(inner) = name.strip_prefix('^') {
        negated = !negated;
        name = inner;
    }
    let Some(mut set) = named_set(name) else {
        return bad(whole);
    };
    if fold {
        set.case_fold_simple();
    }
    if negated {
        set.negate();
    }
    class.union(&set);
    Ok(Some(rest))
}

/// A general category or a script, by the names that Go knows.
fn named_set(name: &str) -> Option<ClassUnicode> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let squeezed: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    match squeezed.to_ascii_lowercase().as_str() {
        "any" => return query("[\\x{0}-\\x{10FFFF}]"),
        "ascii" => return query("[\\x00-\\x7F]"),
        "assigned" => return query("\\P{gc=Cn}"),
        _ => {}
    }
    let lower = squeezed.to_ascii_lowercase();
    query(&format!("\\p{{gc={squeezed}}}"))
        .or_else(|| SCRIPTS.split_whitespace().any(|s| s == lower).then(|| query(&format!("\\p{{sc={squeezed}}}")))?)
}

/// The scripts that Go can name: those of one word. It has neither the four-letter aliases, nor a way to write a name
/// of more words (it drops the underscore before it looks the name up).
const SCRIPTS: &str = "\
     adlam ahom arabic armenian avestan balinese bamum batak bengali bhaiksuki bopomofo brahmi braille \
     buginese buhid carian chakma cham cherokee chorasmian common coptic cuneiform cypriot cyrillic deseret \
     devanagari dogra duployan elbasan elymaic ethiopic georgian glagolitic gothic grantha greek gujarati \
     gurmukhi han hangul hanunoo hatran hebrew hiragana inherited javanese kaithi kannada katakana kawi \
     kharoshthi khmer khojki khudawadi lao latin lepcha limbu lisu lycian lydian mahajani makasar malayalam \
     mandaic manichaean marchen medefaidrin miao modi mongolian mro multani myanmar nabataean nandinagari newa \
     nko nushu ogham oriya osage osmanya palmyrene phoenician rejang runic samaritan saurashtra sharada \
     shavian siddham signwriting sinhala sogdian soyombo sundanese syriac tagalog tagbanwa takri tamil tangsa \
     tangut telugu thaana thai tibetan tifinagh tirhuta toto ugaritic vai vithkuqi wancho yezidi yi";

fn query(pattern: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(pattern).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        HirKind::Class(Class::Bytes(class)) => class.to_unicode_class(),
        _ => None,
    }
}
