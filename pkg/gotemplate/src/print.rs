//! `%v`: any value as text.

use std::fmt::Write as _;

use crate::Value;
use crate::float::format_g;
use crate::go_time::{format_duration_ns, rfc3339_like};

/// As Go's `%v`: `map[a:1 b:2]`, `[x y]`, `{1 2}`.
pub(crate) fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => {
            // Writing to a string does not fail.
            let _ = write!(out, "{n}");
        }
        Value::Float(f) => out.push_str(&format_g(*f)),
        Value::String(text) | Value::Opaque(text) => out.push_str(text),
        Value::List(values) => push_all(out, '[', ']', values.iter().map(|value| ("", value))),
        Value::Labels(labels) => {
            out.push_str("map[");
            for (at, (name, value)) in labels.iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(name);
                out.push(':');
                out.push_str(value);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map");
            push_all(out, '[', ']', map.iter().map(|(key, value)| (key.as_str(), value)));
        }
        Value::Struct(fields) => push_all(out, '{', '}', fields.fields.iter().map(|(_, value)| ("", value))),
        Value::Sample(sample) => {
            out.push_str("&{");
            push_value(out, &Value::Labels(sample.labels.clone()));
            out.push(' ');
            out.push_str(&format_g(sample.value));
            out.push('}');
        }
        Value::Time(ms) => out.push_str(&rfc3339_like(*ms)),
        Value::Duration(ns) => out.push_str(&format_duration_ns(*ns)),
    }
}

fn push_all<'v>(out: &mut String, open: char, close: char, values: impl Iterator<Item = (&'v str, &'v Value)>) {
    out.push(open);
    for (at, (key, value)) in values.enumerate() {
        if at > 0 {
            out.push(' ');
        }
        if !key.is_empty() {
            out.push_str(key);
            out.push(':');
        }
        push_value(out, value);
    }
    out.push(close);
}

/// The text of a value.
pub(crate) fn text_of(value: &Value) -> String {
    let mut out = String::new();
    push_value(&mut out, value);
    out
}

/// Go's `Sprint`: a space between two values neither of which is a string.
pub(crate) fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        let is_string = |value: &Value| matches!(value, Value::String(_));
        if at > 0 && !is_string(value) && !is_string(&values[at - 1]) {
            out.push(' ');
        }
        push_value(&mut out, value);
    }
    out
}

/// Go's `Sprintln`: a space between all values.
pub(crate) fn sprintln(values: &[Value]) -> String {
    let mut out = String::new();
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        push_value(&mut out, value);
    }
    out.push('\n');
    out
}
