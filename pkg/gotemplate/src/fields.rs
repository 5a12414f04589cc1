//! `.Field` of values, and the methods of times and durations.

use crate::go_time::{format_duration_ns, format_layout, rfc3339_like};
use crate::{Value, go_time};

/// A field, an entry of a map, or a method without arguments.
pub(crate) fn field(value: &Value, name: &str, missing_is_zero: bool) -> Result<Value, String> {
    match value {
        Value::Labels(labels) => Ok(match labels.get(name) {
            Some(text) => text.into(),
            None if missing_is_zero => "".into(),
            None => Value::Nil,
        }),
        Value::Map(map) => Ok(map.get(name).cloned().unwrap_or(Value::Nil)),
        Value::Struct(fields) => match fields.get(name) {
            Some(value) => Ok(value.clone()),
            None if !fields.embedded.is_empty() && name == fields.embedded => Ok(value.clone()),
            None => {
                let names: Vec<&str> = fields.fields.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!("can't evaluate field {name} in type {}; there are {}", fields.type_name, names.join(", ")))
            }
        },
        Value::Sample(sample) => match name {
            "Labels" => Ok(Value::Labels(sample.labels.clone())),
            "Value" => Ok(Value::Float(sample.value)),
            _ => Err(format!("can't evaluate field {name} in type {}", value.type_name())),
        },
        Value::Nil => Err(format!("nil data; no entry for key {name:?}")),
        _ => match method(value, name, &[]) {
            Some(outcome) => outcome,
            None => Err(format!("can't evaluate field {name} in type {}", value.type_name())),
        },
    }
}

/// A method of a time or a duration; `None` if there is none of this name.
pub(crate) fn method(value: &Value, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    match value {
        Value::Time(ms) => time_method(*ms, name, args),
        Value::Duration(ns) => duration_method(*ns, name, args),
        _ => None,
    }
}

fn time_method(ms: i64, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    let parts = go_time::Parts::of(ms);
    let value = match (name, args) {
        ("Format", [Value::String(layout)]) => format_layout(ms, layout).into(),
        ("Format", _) => return Some(Err("wrong number of args for Format: want 1 string".to_owned())),
        (_, [_, ..]) => return Some(Err(format!("wrong number of args for {name}: want 0 got {}", args.len()))),
        ("String", []) => rfc3339_like(ms).into(),
        ("Unix", []) => Value::Int(ms.div_euclid(1000)),
        ("UnixMilli", []) => Value::Int(ms),
        ("UnixNano", []) => Value::Int(ms.saturating_mul(1_000_000)),
        ("UTC" | "Local", []) => Value::Time(ms),
        ("Year", []) => Value::Int(parts.year),
        ("Month", []) => parts.month_name().into(),
        ("Day", []) => Value::Int(parts.day),
        ("YearDay", []) => Value::Int(parts.year_day),
        ("Weekday", []) => parts.weekday_name().into(),
        ("Hour", []) => Value::Int(parts.hour),
        ("Minute", []) => Value::Int(parts.minute),
        ("Second", []) => Value::Int(parts.second),
        ("Nanosecond", []) => Value::Int(parts.millisecond * 1_000_000),
        ("IsZero", []) => Value::Bool(false),
        _ => return None,
    };
    Some(Ok(value))
}

fn duration_method(ns: i64, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
    if !args.is_empty() {
        return Some(Err(format!("wrong number of args for {name}: want 0 got {}", args.len())));
    }
    let value = match name {
        "String" => format_duration_ns(ns).into(),
        "Hours" => Value::Float(ns as f64 / 3.6e12),
        "Minutes" => Value::Float(ns as f64 / 6e10),
        "Seconds" => Value::Float(ns as f64 / 1e9),
        "Milliseconds" => Value::Int(ns / 1_000_000),
        "Microseconds" => Value::Int(ns / 1000),
        "Nanoseconds" => Value::Int(ns),
        _ => return None,
    };
    Some(Ok(value))
}
