//! What all objects have, and how the parts of objects are read.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

/// A text of an object; it takes no more memory than its bytes.
pub(crate) type Text = Box<str>;

/// What tells an object from others of its resource: `namespace/name`, or the name of one that is in no namespace.
pub(crate) type Key = Arc<str>;

/// Takes `null` for the default, as the API server's own language does.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Names with values, in the order of the object.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Pairs(pub(crate) Box<[(Text, Text)]>);

impl Pairs {
    /// The value of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| &**n == name).map(|(_, value)| &**value)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Vec<(Text, Text)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(name) = map.next_key()? {
                    out.push((name, map.next_value::<Option<Text>>()?.unwrap_or_default()));
                }
                Ok(out)
            }
        }
        from.deserialize_map(Map).map(|pairs| Self(pairs.into()))
    }
}

/// `metadata` of an object.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) namespace: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) uid: Text,
    /// Another one after each change of the object.
    #[serde(deserialize_with = "nullable")]
    pub(crate) resource_version: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) labels: Pairs,
    #[serde(deserialize_with = "nullable")]
    pub(crate) annotations: Pairs,
    #[serde(deserialize_with = "nullable")]
    owner_references: Box<[Owner]>,
}

/// What an object belongs to.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Owner {
    #[serde(deserialize_with = "nullable")]
    pub(crate) kind: Text,
    #[serde(deserialize_with = "nullable")]
    pub(crate) name: Text,
    #[serde(deserialize_with = "nullable")]
    controller: bool,
}

impl Meta {
    /// See [`Key`].
    pub(crate) fn key(&self) -> Key {
        key(&self.namespace, &self.name)
    }

    /// The owner that made the object.
    pub(crate) fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// The key of an object of this name; `namespace` is empty where the resource has none.
pub(crate) fn key(namespace: &str, name: &str) -> Key {
    if namespace.is_empty() { name.into() } else { format!("{namespace}/{name}").into() }
}
