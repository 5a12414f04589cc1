//! What a text says, as a tree.

use serde::{Serialize, Serializer};

use crate::Error;
use crate::resolve::{boolean, float, integer, is_null};

/// A key of a map, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key as it is written.
    pub text: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// What stands at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar.
    Scalar {
        /// The text after quotes and escapes.
        text: String,
        /// Whether it stands without quotes, so that it may be a number or a boolean.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map in the order of the text. No key comes twice.
    Map(Vec<(Key, Node)>),
}

/// A part of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// What stands there.
    pub value: Value,
}

impl Node {
    /// An error at this place.
    pub fn error(&self, text: impl Into<String>) -> Error {
        Error::at(self.line, self.column, text)
    }

    /// An error at this key of a map, or at the map itself where the key is not in it.
    pub fn error_at(&self, key: &str, text: impl Into<String>) -> Error {
        match self.entries().iter().find(|(k, _)| k.text == key) {
            Some((key, _)) => Error::at(key.line, key.column, text),
            None => self.error(text),
        }
    }

    /// Whether nothing stands here.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// The entries of a map; none of anything else.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What a map has at `key`, unless it is null.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// The elements of a list; none where there is nothing.
    ///
    /// # Errors
    /// When it is something else.
    pub fn list(&self) -> Result<&[Node], Error> {
        match &self.value {
            Value::List(nodes) => Ok(nodes),
            Value::Null => Ok(&[]),
            _ => Err(self.error("a list is expected here")),
        }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A map taken apart: the entries whose keys are wanted, and the others. Null and other values are two empty maps.
    ///
    /// # Errors
    /// When it is a scalar or a list.
    pub fn split(self, wanted: impl Fn(&str) -> bool) -> Result<(Node, Node), Error> {
        let (line, column) = (self.line, self.column);
        let entries = match self.value {
            Value::Map(entries) => entries,
            Value::Null => Vec::new(),
            _ => return Err(self.error("a map of keys is expected here")),
        };
        let (these, others) = entries.into_iter().partition(|(key, _)| wanted(&key.text));
        let map = |entries| Node { line, column, value: Value::Map(entries) };
        Ok((map(these), map(others)))
    }
}

/// What is read from what is written here is equal, places excepted.
impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Value::Null => serializer.serialize_unit(),
            Value::List(nodes) => serializer.collect_seq(nodes),
            Value::Map(entries) => serializer.collect_map(entries.iter().map(|(key, node)| (&key.text, node))),
            Value::Scalar { text, plain: true } if !is_null(text) => match (boolean(text, false), integer(text)) {
                (Some(yes), _) => serializer.serialize_bool(yes),
                // A number that is not written as usual stays a string, so that no digit of it is lost.
                (_, Some(n)) if n.to_string() == *text => match i64::try_from(n) {
                    Ok(n) => serializer.serialize_i64(n),
                    Err(_) => serializer.serialize_str(text),
                },
                (None, None) => match float(text).filter(|f| f.to_string() == *text) {
                    Some(f) => serializer.serialize_f64(f),
                    None => serializer.serialize_str(text),
                },
                _ => serializer.serialize_str(text),
            },
            Value::Scalar { text, .. } => serializer.serialize_str(text),
        }
    }
}
