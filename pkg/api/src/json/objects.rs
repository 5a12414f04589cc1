//! Label sets, times and numbers for answers that serde writes.

use labels::Labels;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// A label set as an object.
#[derive(Debug)]
pub struct LabelObject<'a>(pub &'a Labels);

impl Serialize for LabelObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// A number that is written without `.0` when it is whole.
#[derive(Debug, Clone, Copy)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.trunc() == self.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// A time in ns since the epoch as RFC 3339; never is Go's zero time.
#[derive(Debug, Clone, Copy)]
pub struct Time(pub Option<i64>);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
            // Every i64 of ns lies between the years 1677 and 2262.
            Some(ns) => match jiff::Timestamp::from_nanosecond(i128::from(ns)) {
                Ok(time) => serializer.collect_str(&time),
                Err(_) => serializer.serialize_str("0001-01-01T00:00:00Z"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_texts() {
        let json = |v: &dyn Fn() -> serde_json::Result<String>| v().unwrap();
        assert_eq!(json(&|| serde_json::to_string(&Number(60.0))), "60");
        assert_eq!(json(&|| serde_json::to_string(&Number(0.25))), "0.25");
        assert_eq!(json(&|| serde_json::to_string(&Time(None))), r#""0001-01-01T00:00:00Z""#);
        let time = Time(Some(1_435_781_430_781_000_000));
        assert_eq!(json(&|| serde_json::to_string(&time)), r#""2015-07-01T20:10:30.781Z""#);
        let labels = Labels::from_pairs([("b", "2"), ("a", "1")]);
        assert_eq!(json(&|| serde_json::to_string(&LabelObject(&labels))), r#"{"a":"1","b":"2"}"#);
    }
}
