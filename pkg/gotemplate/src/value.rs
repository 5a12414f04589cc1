//! Values as Go's templates have them.

use std::collections::BTreeMap;
use std::sync::Arc;

use labels::Labels;

/// A value of a template. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value.
    Nil,
    /// `bool`.
    Bool(bool),
    /// `int`.
    Int(i64),
    /// `float64`.
    Float(f64),
    /// `string`.
    String(Arc<str>),
    /// A slice.
    List(Arc<[Value]>),
    /// `map[string]string`: what is not in it is empty.
    Labels(Labels),
    /// `map[string]interface {}`.
    Map(Arc<BTreeMap<String, Value>>),
    /// A struct: fields that it does not have are errors.
    Struct(Arc<Struct>),
    /// One sample of an instant vector, as Prometheus' `query` gives it.
    Sample(Arc<Sample>),
    /// `time.Time`, ms since the epoch.
    Time(i64),
    /// `time.Duration`, ns.
    Duration(i64),
    /// A value that can only be printed: its text.
    Opaque(Arc<str>),
}

/// Fields by name, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Struct {
    /// Name of the type, for messages.
    pub type_name: &'static str,
    /// The fields.
    pub fields: Vec<(String, Value)>,
    /// The struct that the fields are embedded from, under whose name Go finds them too; else empty.
    pub embedded: &'static str,
}

/// A sample of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The labels of its series, the metric's name included.
    pub labels: Labels,
    /// The value; that of a native histogram is 0.
    pub value: f64,
}

impl Struct {
    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<Arc<str>>) -> Self {
        Self::String(text.into())
    }

    /// A list.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    /// The name of its type in Go.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::String(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Labels(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::Struct(s) => s.type_name,
            Self::Sample(_) => "*template.sample",
            Self::Time(_) => "*time.Time",
            Self::Duration(_) => "*time.Duration",
            Self::Opaque(_) => "value",
        }
    }

    /// Whether `if` takes the value for true: what is neither zero nor empty.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(n) => *n != 0,
            Self::Float(f) => *f != 0.0,
            Self::String(text) => !text.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Labels(labels) => !labels.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Struct(_) | Self::Sample(_) | Self::Time(_) | Self::Duration(_) | Self::Opaque(_) => true,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::string(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
