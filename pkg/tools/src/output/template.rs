//! Go templates over what commands print: Go's own functions, and `json`.

use std::sync::Arc;

use gotemplate::{CallError, Functions, Limits, Struct, Work};
use serde_json::Value;

/// A template is wrong, or asks for something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// A template given on the command line.
#[derive(Debug, Clone)]
pub struct Template(gotemplate::Template);

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It is none, or uses what is not there.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        gotemplate::Template::parse("output", text, &Json, &[]).map(Self).map_err(|e| TemplateError(e.to_string()))
    }

    /// Fills the template with `value`.
    ///
    /// # Errors
    /// A field that is not there, a wrong argument of a function.
    pub fn render(&self, value: &Value) -> Result<String, TemplateError> {
        self.0.render(&go_value(value), &[], &Json, Limits::default()).map_err(|e| TemplateError(e.to_string()))
    }
}

/// The function `json`.
struct Json;

impl Functions for Json {
    fn has(&self, name: &str) -> bool {
        name == "json"
    }

    fn call(&self, name: &str, args: &[gotemplate::Value], _: &mut Work) -> Result<gotemplate::Value, CallError> {
        match args {
            [value] => Ok(json_value(value).to_string().into()),
            _ => Err(format!("wrong number of args for {name}: want 1 got {}", args.len()).into()),
        }
    }
}

/// Objects whose keys begin with an upper-case letter are structs of Go, others are maps.
fn go_value(value: &Value) -> gotemplate::Value {
    match value {
        Value::Null => gotemplate::Value::Nil,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match n.as_i64() {
            Some(n) => n.into(),
            None => n.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => gotemplate::Value::list(items.iter().map(go_value)),
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| (key.clone(), go_value(value)));
            if map.keys().any(|key| key.starts_with(|c: char| c.is_ascii_uppercase())) {
                // Go lets embedded fields be named with the struct that they come from.
                let embedded = if map.contains_key("ULID") { "BlockMeta" } else { "" };
                return gotemplate::Value::Struct(Arc::new(Struct {
                    type_name: "metadata.Meta",
                    fields: fields.collect(),
                    embedded,
                }));
            }
            gotemplate::Value::Map(Arc::new(fields.collect()))
        }
    }
}

fn json_value(value: &gotemplate::Value) -> Value {
    use gotemplate::Value as Go;
    match value {
        Go::Nil => Value::Null,
        Go::Bool(b) => (*b).into(),
        Go::Int(n) | Go::Time(n) | Go::Duration(n) => (*n).into(),
        Go::Float(f) => (*f).into(),
        Go::String(text) | Go::Opaque(text) => text.as_ref().into(),
        Go::List(items) => items.iter().map(json_value).collect(),
        Go::Labels(labels) => labels.iter().collect(),
        Go::Map(map) => map.iter().map(|(key, value)| (key.clone(), json_value(value))).collect(),
        Go::Struct(fields) => fields.fields.iter().map(|(key, value)| (key.clone(), json_value(value))).collect(),
        Go::Sample(sample) => sample.value.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value() -> Value {
        serde_json::json!({
            "ULID": "01X", "MinTime": 5,
            "Thanos": {"Labels": {"cluster": "eu", "replica": "a"}, "Files": [{"RelPath": "index", "SizeBytes": 7}]},
            "Compaction": {"Level": 2, "Sources": ["A", "B"], "Failed": false},
        })
    }

    #[test]
    fn what_go_prints() {
        for (template, text) in [
            ("plain", "plain"),
            ("{{.ULID}} {{ .MinTime }}", "01X 5"),
            ("{{.Thanos.Labels}} {{.Compaction.Sources}}", "map[cluster:eu replica:a] [A B]"),
            ("{{.Thanos.Labels.cluster}}{{.Thanos.Labels.none}}", "eu<no value>"),
            ("{{.BlockMeta.ULID}} {{.BlockMeta.Compaction.Level}}", "01X 2"),
            ("{{index .Thanos.Labels \"replica\"}}", "a"),
            ("{{range .Compaction.Sources}}<{{.}} of {{$.ULID}}>{{else}}none{{end}}", "<A of 01X><B of 01X>"),
            ("{{range .Thanos.Files}}{{.RelPath}}={{.SizeBytes}}{{end}}", "index=7"),
            ("{{if .Compaction.Failed}}failed{{else}}fine{{end}}", "fine"),
            ("{{with .Thanos.Labels}}{{.cluster}}{{end}}", "eu"),
            (
                "{{json .Compaction.Sources}}{{json .Thanos.Labels}}",
                "[\"A\",\"B\"]{\"cluster\":\"eu\",\"replica\":\"a\"}",
            ),
        ] {
            let rendered = Template::parse(template).and_then(|t| t.render(&value()));
            assert_eq!(rendered.as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (template, text) in [
            ("{{.ULID", "template: output:1: unclosed action"),
            (
                "{{.Ulid}}",
                "can't evaluate field Ulid in type metadata.Meta; there are Compaction, MinTime, Thanos, ULID",
            ),
            ("{{nonsense .ULID}}", "function \"nonsense\" not defined"),
        ] {
            let error = Template::parse(template).and_then(|t| t.render(&value())).unwrap_err().to_string();
            assert!(error.contains(text), "{template}: {error}");
        }
    }
}
