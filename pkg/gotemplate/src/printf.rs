//! `printf` by the rules of Go's package `fmt`.

use crate::Value;
use crate::float::format_float;
use crate::print::{push_value, text_of};

/// Wider fields and more digits are a mistake, as in Go.
const WIDTH_MAX: usize = 1_000_000;

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Fills `format`. Mistakes show in the text, as with Go: `%!d(string=x)`.
pub(crate) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::with_capacity(format.len() + 16);
    let mut args = Args { args, next: 0, is_reordered: false };
    let mut rest = format;
    while let Some((plain, directive)) = rest.split_once('%') {
        out.push_str(plain);
        rest = one(&mut out, directive, &mut args);
    }
    out.push_str(rest);
    let extra = args.args.get(args.next..).unwrap_or_default();
    if !extra.is_empty() && !args.is_reordered {
        out.push_str("%!(EXTRA ");
        for (at, value) in extra.iter().enumerate() {
            if at > 0 {
                out.push_str(", ");
            }
            out.push_str(value.type_name());
            if *value != Value::Nil {
                out.push('=');
                push_value(&mut out, value);
            }
        }
        out.push(')');
    }
    out
}

struct Args<'a> {
    args: &'a [Value],
    next: usize,
    /// An index such as `[2]` was used.
    is_reordered: bool,
}

impl<'a> Args<'a> {
    fn take(&mut self) -> Option<&'a Value> {
        let value = self.args.get(self.next);
        self.next += usize::from(value.is_some());
        value
    }

    /// Goes to the argument that an index at the begin of `text` names, if there is one; what comes behind it, and whether it
    /// names an argument.
    fn index<'f>(&mut self, text: &'f str) -> (&'f str, bool) {
        let Some((index, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) else {
            return (text, true);
        };
        self.is_reordered = true;
        match index.parse::<usize>() {
            Ok(number) if (1..=self.args.len()).contains(&number) => {
                self.next = number - 1;
                (after, true)
            }
            _ => (after, false),
        }
    }

    /// The number behind `*`; `None` for what is no number or too large.
    fn number(&mut self) -> Option<i64> {
        match self.take() {
            Some(Value::Int(n)) if n.unsigned_abs() <= WIDTH_MAX as u64 => Some(*n),
            _ => None,
        }
    }
}

/// One directive behind its `%`; what comes after it.
fn one<'f>(out: &mut String, directive: &'f str, args: &mut Args<'_>) -> &'f str {
    let mut flags = Flags::default();
    let mut rest = directive;
    while let Some(c) = rest.chars().next() {
        match c {
            '-' => flags.minus = true,
            '+' => flags.plus = true,
            '#' => flags.sharp = true,
            ' ' => flags.space = true,
            '0' => flags.zero = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    flags.zero &= !flags.minus;
    (flags.width, rest) = match rest.strip_prefix('*') {
        Some(after) => match args.number() {
            Some(width) => {
                flags.minus |= width < 0;
                (Some(width.unsigned_abs() as usize), after)
            }
            None => {
                out.push_str("%!(BADWIDTH)");
                (None, after)
            }
        },
        None => digits(rest),
    };
    if let Some(after) = rest.strip_prefix('.') {
        (flags.precision, rest) = match after.strip_prefix('*') {
            Some(after) => match args.number().and_then(|n| usize::try_from(n).ok()) {
                Some(precision) => (Some(precision), after),
                None => {
                    out.push_str("%!(BADPREC)");
                    (None, after)
                }
            },
            None => match digits(after) {
                (None, after) => (Some(0), after),
                found => found,
            },
        };
    }
    let (after, is_known) = args.index(rest);
    rest = after;
    let Some(verb) = rest.chars().next() else {
        out.push_str("%!(NOVERB)");
        return rest;
    };
    rest = &rest[verb.len_utf8()..];
    if verb == '%' {
        out.push('%');
        return rest;
    }
    if !is_known {
        out.push_str("%!");
        out.push(verb);
        out.push_str("(BADINDEX)");
        return rest;
    }
    match args.take() {
        None => {
            out.push_str("%!");
            out.push(verb);
            out.push_str("(MISSING)");
        }
        Some(value) => value_by(out, value, verb, flags),
    }
    rest
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text[..len].parse().ok().filter(|n| *n <= WIDTH_MAX);
    (number, &text[len..])
}

fn value_by(out: &mut String, value: &Value, verb: char, flags: Flags) {
    match (verb, value) {
        ('T', _) => pad(out, value.type_name(), flags),
        ('v', Value::String(text)) if flags.sharp => pad(out, &labels::quote(text), flags),
        ('v', Value::Int(n)) => integer(out, *n, 'd', flags),
        ('v', Value::Float(f)) => float(out, *f, 'g', flags),
        ('v' | 's', Value::String(text)) => pad(out, cut(text, flags.precision), flags),
        ('s', Value::Time(_) | Value::Duration(_) | Value::Opaque(_)) => pad(out, &text_of(value), flags),
        ('v', _) => pad(out, &text_of(value), flags),
        ('t', Value::Bool(_)) => pad(out, &text_of(value), flags),
        ('q', Value::String(text)) => pad(out, &labels::quote(cut(text, flags.precision)), flags),
        ('x' | 'X', Value::String(text)) => {
            let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
            pad(out, &if verb == 'X' { hex.to_uppercase() } else { hex }, flags);
        }
        ('b' | 'd' | 'o' | 'O' | 'x' | 'X', Value::Int(n)) => integer(out, *n, verb, flags),
        ('c' | 'q' | 'U', Value::Int(n)) => character(out, *n, verb, flags),
        ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(f)) => float(out, *f, verb, flags),
        ('d', Value::Duration(ns)) => integer(out, *ns, 'd', flags),
        // Elements are printed one by one, maps and structs too.
        ('s' | 'q' | 'd' | 'x' | 'f' | 'e' | 'g', Value::List(values)) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                value_by(out, value, verb, flags);
            }
            out.push(']');
        }
        ('s', Value::Labels(_)) => pad(out, &text_of(value), flags),
        (_, Value::Nil) => {
            out.push_str("%!");
            out.push(verb);
            out.push_str("(<nil>)");
        }
        _ => {
            out.push_str("%!");
            out.push(verb);
            out.push('(');
            out.push_str(value.type_name());
            out.push('=');
            push_value(out, value);
            out.push(')');
        }
    }
}

fn cut(text: &str, precision: Option<usize>) -> &str {
    match precision.and_then(|max| text.char_indices().nth(max)) {
        Some((at, _)) => &text[..at],
        None => text,
    }
}

/// Fills up to the width, with zeros on the left where the flag says so.
fn pad(out: &mut String, text: &str, flags: Flags) {
    let missing = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    let fill = |out: &mut String, c: char| out.extend(std::iter::repeat_n(c, missing));
    if flags.minus {
        out.push_str(text);
        fill(out, ' ');
    } else {
        fill(out, if flags.zero { '0' } else { ' ' });
        out.push_str(text);
    }
}

/// A sign or prefix, and digits: zeros go between them.
fn number(out: &mut String, sign: &str, digits: &str, zeros: bool, flags: Flags) {
    let missing = flags.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
    if flags.zero && zeros {
        out.push_str(sign);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(digits);
    } else {
        pad(out, &format!("{sign}{digits}"), Flags { zero: false, ..flags });
    }
}

fn sign_of(negative: bool, flags: Flags) -> &'static str {
    match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn integer(out: &mut String, n: i64, verb: char, flags: Flags) {
    let size = n.unsigned_abs();
    let (prefix, digits) = match verb {
        'b' => ("0b", format!("{size:b}")),
        'o' => ("0", format!("{size:o}")),
        'O' => ("0o", format!("{size:o}")),
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        _ => ("", size.to_string()),
    };
    let digits = match flags.precision {
        Some(0) if n == 0 => String::new(),
        Some(least) => format!("{digits:0>least$}"),
        None => digits,
    };
    let prefix = if flags.sharp || verb == 'O' { prefix } else { "" };
    let sign = format!("{}{prefix}", sign_of(n < 0, flags));
    number(out, &sign, &digits, flags.precision.is_none(), flags);
}

fn character(out: &mut String, n: i64, verb: char, flags: Flags) {
    let c = u32::try_from(n).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    match verb {
        'c' => pad(out, &c.to_string(), flags),
        'q' => pad(out, &labels::quote_char(Some(c)), flags),
        _ => pad(out, &format!("U+{n:04X}"), flags),
    }
}

fn float(out: &mut String, f: f64, verb: char, flags: Flags) {
    let default = if matches!(verb, 'e' | 'E' | 'f' | 'F') { Some(6) } else { None };
    let text = format_float(f.abs(), verb, flags.precision.or(default));
    let text = if verb.is_ascii_uppercase() && verb != 'F' { text.to_uppercase() } else { text };
    let finite = f.is_finite();
    let digits = if finite { text.as_str() } else { text.trim_start_matches('+') };
    let digits = if f.is_infinite() { "Inf" } else { digits };
    let plus = flags.plus || (f.is_infinite() && !flags.space && f > 0.0);
    number(out, sign_of(f.is_sign_negative() && !f.is_nan(), Flags { plus, ..flags }), digits, finite, flags);
}
