//! Typed structs out of a tree.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, Visitor};

use crate::resolve::{boolean, float, integer};
use crate::{Error, Key, Node, Value};

impl Node {
    /// What this part says, as a `T`. Keys that are null count as absent, as in Go.
    ///
    /// # Errors
    /// What `T` does not take, at its place.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        T::deserialize(self).map_err(|e| e.or_at(self.line, self.column))
    }

    fn wrong(&self, wanted: &str) -> Error {
        let found = match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a scalar",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        de::Error::custom(format_args!("{wanted} is expected here, not {found}"))
    }

    fn plain(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, plain: true } => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Result<i128, Error> {
        let number = self.plain().and_then(|text| {
            // As in Go, 1e3 is an integer where one is wanted.
            integer(text).or_else(|| float(text).filter(|f| f.fract() == 0.0 && f.abs() < 1e18).map(|f| f as i128))
        });
        number.ok_or_else(|| self.wrong("an integer"))
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number = self.integer()?;
            let fits = <$type>::try_from(number);
            visitor.$visit(fits.map_err(|_| Error::custom(format_args!("{number} is out of range here")))?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, None)),
            Value::Scalar { text, plain: false } => visitor.visit_borrowed_str(text),
            Value::Scalar { text, plain: true } => match (boolean(text, false), integer(text), float(text)) {
                (Some(yes), ..) => visitor.visit_bool(yes),
                (_, Some(n), _) => match (i64::try_from(n), u64::try_from(n)) {
                    (Ok(n), _) => visitor.visit_i64(n),
                    (_, Ok(n)) => visitor.visit_u64(n),
                    _ => visitor.visit_f64(n as f64),
                },
                (.., Some(f)) => visitor.visit_f64(f),
                _ => visitor.visit_borrowed_str(text),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let found = self.plain().and_then(|text| boolean(text, true));
        visitor.visit_bool(found.ok_or_else(|| self.wrong("true or false"))?)
    }

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let found = self.plain().and_then(|text| integer(text).map(|n| n as f64).or_else(|| float(text)));
        visitor.visit_f64(found.ok_or_else(|| self.wrong("a number"))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Scalar { text, .. } => visitor.visit_borrowed_str(text),
            Value::Null => visitor.visit_borrowed_str(""),
            _ => Err(self.wrong("a string")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.is_null() { visitor.visit_unit() } else { Err(self.wrong("nothing")) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(nodes) => visitor.visit_seq(Elements(nodes.iter())),
            Value::Null => visitor.visit_seq(Elements([].iter())),
            _ => Err(self.wrong("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, None)),
            Value::Null => visitor.visit_map(Entries::new(&[], None)),
            _ => Err(self.wrong("a map")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(entries, Some(fields))),
            Value::Null => visitor.visit_map(Entries::new(&[], None)),
            _ => Err(self.wrong("a map of keys")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = self.text().ok_or_else(|| self.wrong("a string"))?;
        let name: StrDeserializer<'_, Error> = text.into_deserializer();
        visitor.visit_enum(name)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

struct Elements<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(node).map(Some).map_err(|e| e.or_at(node.line, node.column))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    /// The keys of a struct: those that are null are passed over.
    fields: Option<&'static [&'static str]>,
    value: Option<(&'de Key, &'de Node)>,
}

impl<'de> Entries<'de> {
    fn new(entries: &'de [(Key, Node)], fields: Option<&'static [&'static str]>) -> Self {
        Self { rest: entries.iter(), fields, value: None }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let known = |key: &Key| self.fields.is_some_and(|fields| fields.contains(&key.text.as_str()));
        let Some((key, node)) = self.rest.find(|(key, node)| !(node.is_null() && known(key))) else { return Ok(None) };
        self.value = Some((key, node));
        let name: StrDeserializer<'_, Error> = key.text.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|e| e.or_at(key.line, key.column))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value is read before its key"));
        };
        seed.deserialize(node).map_err(|mut e| {
            if e.line == 0 {
                e.text = format!("{}: {}", key.text, e.text);
            }
            e.or_at(node.line, node.column)
        })
    }
}
