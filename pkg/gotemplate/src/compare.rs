//! `eq`, `ne`, `lt` and their like.

use std::cmp::Ordering;

use crate::{CallError, Value};

const INCOMPATIBLE: &str = "incompatible types for comparison";

/// `eq` with any number of others: equal to one of them.
pub(crate) fn eq(args: &[Value]) -> Result<Value, CallError> {
    let Some((first, others)) = args.split_first() else { return Err("missing argument for comparison".into()) };
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// Values of different types cannot be compared, as in Go: `eq 1 1.0` is an error.
pub(crate) fn equal(a: &Value, b: &Value) -> Result<bool, CallError> {
    match (a, b) {
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::List(_) | Value::Labels(_) | Value::Map(_), _) => {
            Err(format!("non-comparable type {}: {}", crate::print::text_of(a), a.type_name()).into())
        }
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => Err(INCOMPATIBLE.into()),
        (a, b) => Ok(a == b),
    }
}

/// The order of two values of one type that has an order; `None` where one of them is NaN.
pub(crate) fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, CallError> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) | (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Err("invalid type for comparison".into()),
        _ => Err(INCOMPATIBLE.into()),
    }
}
