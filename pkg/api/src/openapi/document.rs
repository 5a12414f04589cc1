//! The description as YAML, which JSON is a part of: each value is written as JSON, keys and nesting as YAML.

use std::fmt::Write;

use serde_json::{Value, json};

use super::parameters::{Kind, NAME, Parameter};
use super::table::{Answer, Body, Data, OPERATIONS, Operation};

/// Versions of OpenAPI, the default first.
pub(crate) const VERSIONS: [(&str, &str); 2] = [("3.1", "3.1.0"), ("3.2", "3.2.0")];

/// The description, for a program of `version`.
pub(crate) fn document(openapi: &str, version: &str) -> String {
    let mut out = format!(
        "openapi: {openapi}\ninfo:\n  title: Prometheus HTTP API of aion\n  version: {}\nservers:\n  - url: /api/v1\npaths:\n",
        json!(version)
    );
    for operation in OPERATIONS.iter().filter(|o| o.answer != Answer::Events || openapi != VERSIONS[0].1) {
        // Writing to a string does not fail.
        let _ = writeln!(out, "  {}:", operation.path);
        for method in operation.methods {
            let _ = writeln!(out, "    {method}: {}", described(operation, method));
        }
    }
    let _ = writeln!(out, "components:\n  schemas:\n    Error: {}", error());
    out
}

fn described(operation: &Operation, method: &str) -> Value {
    let id = format!("{method}{}", operation.path.replace(['/', '_', '.'], "-").replace(['{', '}'], ""));
    let mut described = json!({
        "operationId": id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "responses": {
            status(operation.answer): success(operation.answer),
            "default": {
                "description": "What is wrong.",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } }
            }
        }
    });
    let in_form = method == "post" && operation.methods.contains(&"get");
    let mut parameters: Vec<Value> = Vec::new();
    if operation.path.contains("{name}") {
        parameters.push(parameter(&NAME, "path"));
    }
    if operation.body == Body::Protobuf {
        described["requestBody"] = json!({ "required": true, "content": { "application/x-protobuf": { "schema": {
            "type": "string", "contentMediaType": "application/x-protobuf"
        } } } });
    } else if in_form {
        described["requestBody"] = form(operation.parameters);
    } else {
        parameters.extend(operation.parameters.iter().map(|p| parameter(p, "query")));
    }
    if !parameters.is_empty() {
        described["parameters"] = parameters.into();
    }
    described
}

fn parameter(p: &Parameter, place: &str) -> Value {
    json!({ "name": p.name, "in": place, "required": p.required, "description": p.text, "schema": schema(p.kind) })
}

fn form(parameters: &[Parameter]) -> Value {
    let properties: serde_json::Map<_, _> = parameters
        .iter()
        .map(|p| {
            let mut schema = schema(p.kind);
            schema["description"] = p.text.into();
            (p.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<_> = parameters.iter().filter(|p| p.required).map(|p| p.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    json!({ "content": { "application/x-www-form-urlencoded": { "schema": schema } } })
}

fn schema(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string" }),
        Kind::Time => json!({ "oneOf": [{ "type": "string", "format": "date-time" }, { "type": "number" }] }),
        Kind::Duration => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
        Kind::Count => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        Kind::Switch => json!({ "type": "boolean" }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Choice(of) => json!({ "type": "string", "enum": of }),
    }
}

fn status(answer: Answer) -> &'static str {
    if answer == Answer::Nothing { "204" } else { "200" }
}

fn success(answer: Answer) -> Value {
    let (media, schema) = match answer {
        Answer::Nothing => return json!({ "description": "It is done." }),
        Answer::Json(data) => ("application/json", envelope(data)),
        Answer::Lines => ("application/x-ndjson", json!({ "type": "string" })),
        Answer::Events => ("text/event-stream", json!({ "type": "string" })),
        Answer::Yaml => ("application/yaml", json!({ "type": "string" })),
        Answer::Protobuf => ("application/x-protobuf", json!({ "type": "string" })),
    };
    json!({ "description": "The answer.", "content": { media: { "schema": schema } } })
}

fn envelope(data: Data) -> Value {
    let data = match data {
        Data::Object => json!({ "type": "object" }),
        Data::List => json!({ "type": "array" }),
        Data::Text => json!({ "type": "string" }),
    };
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "required": ["status", "data"],
        "properties": {
            "status": { "type": "string", "enum": ["success"] },
            "data": data,
            "warnings": texts,
            "infos": texts
        }
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["status", "errorType", "error"],
        "properties": {
            "status": { "type": "string", "enum": ["error"] },
            "errorType": { "type": "string" },
            "error": { "type": "string" }
        }
    })
}
