//! Go's own functions.

use std::cmp::Ordering;

use crate::compare::{eq, equal, order};
use crate::limits::Work;
use crate::print::{sprint, sprintln};
use crate::{CallError, Value, escape, printf};

const NAMES: [&str; 18] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery", "eq", "ne",
    "lt", "le", "gt", "ge",
];

type Result = std::result::Result<Value, CallError>;

pub(crate) fn is_builtin(name: &str) -> bool {
    NAMES.contains(&name)
}

/// How many arguments were given, and how many are wanted.
pub(crate) fn wrong_number(name: &str, want: usize, got: usize) -> CallError {
    format!("wrong number of args for {name}: want {want} got {got}").into()
}

pub(crate) fn call(name: &str, args: &[Value], work: &mut Work) -> Result {
    // Go's `and` and `or` decide before all arguments are evaluated: the renderer has them.
    for arg in args {
        if let Value::String(text) = arg {
            work.add(text.len() as u64 / 64)?;
        }
    }
    match (name, args) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => len(value),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", _) => Ok(sprint(args).into()),
        ("println", _) => Ok(sprintln(args).into()),
        ("printf", [Value::String(format), values @ ..]) => {
            widths_within(format, values, work)?;
            Ok(printf::printf(format, values).into())
        }
        ("printf", [other, ..]) => {
            Err(format!("wrong type for value; expected string; got {}", other.type_name()).into())
        }
        ("html", _) => Ok(escape::html(&sprint(args)).into()),
        ("js", _) => Ok(escape::js(&sprint(args)).into()),
        ("urlquery", _) => Ok(escape::query(&sprint(args)).into()),
        ("eq", _) => eq(args),
        ("ne", [a, b]) => Ok(Value::Bool(!equal(a, b)?)),
        ("lt", [a, b]) => Ok(Value::Bool(order(a, b)? == Some(Ordering::Less))),
        ("le", [a, b]) => Ok(Value::Bool(matches!(order(a, b)?, Some(Ordering::Less | Ordering::Equal)))),
        // As in Go, where these two are the opposites of the two above: with NaN both are true.
        ("gt", [a, b]) => Ok(Value::Bool(!matches!(order(a, b)?, Some(Ordering::Less | Ordering::Equal)))),
        ("ge", [a, b]) => Ok(Value::Bool(order(a, b)? != Some(Ordering::Less))),
        ("ne" | "lt" | "le" | "gt" | "ge", _) => Err(wrong_number(name, 2, args.len())),
        ("not" | "len", _) => Err(wrong_number(name, 1, args.len())),
        _ => Err(format!("wrong number of args for {name}: want at least 1 got {}", args.len()).into()),
    }
}

/// A format may not blow up: what its widths make is counted before it is made.
fn widths_within(format: &str, values: &[Value], work: &mut Work) -> std::result::Result<(), String> {
    let mut total = 0_usize;
    let mut digits = 0_usize;
    for byte in format.bytes() {
        match byte {
            b'0'..=b'9' => digits = digits.saturating_mul(10).saturating_add(usize::from(byte - b'0')),
            _ => total = total.saturating_add(std::mem::take(&mut digits).min(1_000_000)),
        }
    }
    if format.contains('*') {
        for value in values {
            if let Value::Int(n) = value {
                total = total.saturating_add(n.unsigned_abs().min(1_000_000) as usize);
            }
        }
    }
    let texts = values.iter().map(|value| match value {
        Value::String(text) => text.len(),
        _ => 0,
    });
    work.add_bytes(total.saturating_add(texts.sum()))
}

fn len(value: &Value) -> Result {
    let len = match value {
        Value::String(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Labels(labels) => labels.len(),
        Value::Map(map) => map.len(),
        Value::Nil => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name()).into()),
    };
    Ok(Value::Int(len as i64))
}

fn index(value: &Value, keys: &[Value]) -> Result {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Labels(labels), Value::String(name)) => labels.value(name).into(),
            (Value::Map(map), Value::String(name)) => map.get(&**name).cloned().unwrap_or(Value::Nil),
            (Value::Labels(_) | Value::Map(_), other) => {
                return Err(format!("value has type {}; should be string", other.type_name()).into());
            }
            (Value::List(values), Value::Int(n)) => {
                let found = usize::try_from(*n).ok().and_then(|n| values.get(n));
                found.cloned().ok_or_else(|| format!("index out of range: {n}"))?
            }
            (Value::String(text), Value::Int(n)) => {
                let found = usize::try_from(*n).ok().and_then(|n| text.as_bytes().get(n));
                Value::Int(i64::from(*found.ok_or_else(|| format!("index out of range: {n}"))?))
            }
            (Value::List(_) | Value::String(_), other) => {
                return Err(format!("cannot index slice/array with type {}", other.type_name()).into());
            }
            (Value::Nil, _) => return Err("index of untyped nil".into()),
            (other, _) => return Err(format!("can't index item of type {}", other.type_name()).into()),
        };
    }
    Ok(value)
}

fn slice(value: &Value, bounds: &[Value]) -> Result {
    let len = match value {
        Value::String(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Nil => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name()).into()),
    };
    if bounds.len() > 2 {
        return Err(format!("too many slice indexes: {}", bounds.len()).into());
    }
    let mut range = [0, len];
    for (place, bound) in range.iter_mut().zip(bounds) {
        let Value::Int(n) = bound else {
            return Err(format!("cannot index slice/array with type {}", bound.type_name()).into());
        };
        let found = usize::try_from(*n).ok().filter(|n| *n <= len);
        *place = found.ok_or_else(|| format!("index out of range: {n}"))?;
    }
    let [from, to] = range;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}").into());
    }
    Ok(match value {
        // A character that is cut shows as such.
        Value::String(text) => String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into(),
        Value::List(values) => Value::list(values[from..to].iter().cloned()),
        _ => Value::Nil,
    })
}
