//! A request in JSON, rewritten into protobuf as it is read.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ingest::wire::Writer;
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::json_schema::{Field, Kind, REQUEST, Schema};

/// The request as protobuf. It is no larger than a few times the JSON.
///
/// # Errors
/// What is wrong, and where: line and column.
pub(crate) fn to_protobuf(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut writer = Writer::default();
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = Message { schema: &REQUEST, writer: &mut writer };
    seed.deserialize(&mut json).and_then(|()| json.end()).map_err(|e| e.to_string())?;
    Ok(writer.into_bytes())
}

/// Reads the object of a message.
struct Message<'w> {
    schema: &'static Schema,
    writer: &'w mut Writer,
}

/// Reads the value of a field, or a list of them.
struct Content<'w> {
    field: &'static Field,
    writer: &'w mut Writer,
}

/// Whether a key names the field: in camel case, or with underscores as in the `.proto` files.
fn names(field: &Field, key: &str) -> bool {
    field.name == key || field.name.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).eq(unscored(key))
}

fn unscored(key: &str) -> impl Iterator<Item = char> {
    key.chars().filter(|c| *c != '_')
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object, the {}", self.schema.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(field)) = map.next_key_seed(KeyOf(self.schema))? {
            match field {
                Some(field) => map.next_value_seed(Content { field, writer: self.writer })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

struct KeyOf(&'static Schema);

struct Key(Option<&'static Field>);

impl<'de> DeserializeSeed<'de> for KeyOf {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyOf {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(Key(self.0.fields.iter().find(|field| names(field, key))))
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Content<'_> {
    fn wrong<E: Error>(&self, found: impl fmt::Debug) -> E {
        E::custom(format_args!("{found:?} is no value of {}", self.field.name))
    }

    /// An integer that came as a number or as text.
    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let number = self.field.number;
        let unsigned = u64::try_from(value);
        let signed = i64::try_from(value);
        match (self.field.kind, unsigned, signed) {
            (Kind::Fixed64, Ok(value), _) => self.writer.fixed64(number, value),
            (Kind::SignedFixed64, _, Ok(value)) => self.writer.fixed64(number, value as u64),
            (Kind::Varint | Kind::Temporality, Ok(value), _) => self.writer.varint(number, value),
            (Kind::Signed, _, Ok(value)) => self.writer.varint(number, value as u64),
            (Kind::Zigzag, _, Ok(value)) => self.writer.varint(number, ((value << 1) ^ (value >> 63)) as u64),
            (Kind::Double, ..) => self.writer.double(number, value as f64),
            _ => return Err(self.wrong(value)),
        };
        Ok(())
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.name)
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.field.kind {
            Kind::Bool => self.writer.varint(self.field.number, u64::from(value)),
            _ => return Err(self.wrong(value)),
        };
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(i128::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.writer.double(self.field.number, value);
                Ok(())
            }
            // A whole number in the form of a float, such as 1e3.
            _ if value.fract() == 0.0 && value.abs() < 9e15 => self.integer(value as i128),
            _ => Err(self.wrong(value)),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => self.writer.string(number, value),
            Kind::Hex => match unhexed(value) {
                Some(bytes) => self.writer.string(number, bytes),
                None => return Err(self.wrong(value)),
            },
            Kind::Base64 => match STANDARD.decode(value) {
                Ok(bytes) => self.writer.string(number, bytes),
                Err(_) => return Err(self.wrong(value)),
            },
            Kind::Double => match value.parse() {
                Ok(float) => self.writer.double(number, float),
                Err(_) => return Err(self.wrong(value)),
            },
            Kind::Temporality => match value {
                "AGGREGATION_TEMPORALITY_UNSPECIFIED" => self.writer.varint(number, 0),
                "AGGREGATION_TEMPORALITY_DELTA" => self.writer.varint(number, 1),
                "AGGREGATION_TEMPORALITY_CUMULATIVE" => self.writer.varint(number, 2),
                _ => return Err(self.wrong(value)),
            },
            Kind::Bool | Kind::Message(_) => return Err(self.wrong(value)),
            _ => match value.parse() {
                Ok(integer) => return self.integer(integer),
                Err(_) => return Err(self.wrong(value)),
            },
        };
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Content { field: self.field, writer: self.writer })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Message(schema) => {
                self.writer.nested(self.field.number, |writer| Message { schema, writer }.visit_map(map))
            }
            _ => Err(self.wrong("an object")),
        }
    }
}

fn unhexed(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| (byte as char).to_digit(16);
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4 | digit(*low)?) as u8));
    if rest.is_empty() { bytes.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protobuf(json: &str) -> Result<Vec<u8>, String> {
        to_protobuf(json.as_bytes())
    }

    #[test]
    fn a_request() {
        let json = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}],
            "droppedAttributesCount":0,"unknown":{"a":[1,{}]}},
            "scope_metrics":[{"metrics":[{"name":"m","unit":null,"sum":{"aggregationTemporality":2,"isMonotonic":true,
            "dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"-3","flags":1e0,
              "exemplars":[{"traceId":"0aFF","asDouble":"NaN"}]},{"asDouble":2}]}}]}]}]}"#;
        let mut wanted = Writer::default();
        wanted.message(1, |rm| {
            rm.message(1, |resource| {
                resource.message(1, |pair| _ = pair.string(1, "service.name").message(2, |v| _ = v.string(1, "a")));
            });
            rm.message(2, |sm| {
                sm.message(2, |metric| {
                    metric.string(1, "m").message(7, |sum| {
                        sum.varint(2, 2).varint(3, 1);
                        sum.message(1, |point| {
                            point.fixed64(3, 1_700_000_000_000_000_000).fixed64(6, -3i64 as u64).varint(8, 1);
                            point.message(5, |exemplar| {
                                exemplar.string(5, [0x0a, 0xff]).double(3, f64::NAN);
                            });
                        });
                        sum.message(1, |point| _ = point.double(4, 2.0));
                    });
                });
            });
        });
        assert_eq!(protobuf(json), Ok(wanted.into_bytes()));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let point = |field: &str| {
            protobuf(&format!(
                r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{{{field}}}]}}}}]}}]}}]}}"#
            ))
        };
        for (field, wanted) in [
            (r#""timeUnixNano":-1"#, "-1 is no value of timeUnixNano"),
            (r#""timeUnixNano":"x""#, "\"x\" is no value of timeUnixNano"),
            (r#""asInt":1.5"#, "1.5 is no value of asInt"),
            (r#""asDouble":true"#, "true is no value of asDouble"),
            (r#""asDouble":{}"#, "is no value of asDouble"),
            (r#""exemplars":[{"spanId":"abc"}]"#, "\"abc\" is no value of spanId"),
            (r#""attributes":[7]"#, "7 is no value of attributes"),
        ] {
            let error = point(field).unwrap_err();
            assert!(error.contains(wanted) && error.contains("line 1 column"), "{field}: {error}");
        }
        assert!(protobuf("[1]").unwrap_err().contains("an object, the request"));
        assert!(protobuf("{} x").unwrap_err().contains("trailing"));
        let deep = format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"value":{}{}}}]}}}}]}}"#,
            r#"{"arrayValue":{"values":["#.repeat(100),
            "]}}".repeat(100)
        );
        assert!(protobuf(&deep).unwrap_err().contains("recursion limit"), "nested too deep");
    }
}
