//! Go's text templates, as far as people use them to print blocks: fields, `range`, `if`, `index`, `len`, `printf`,
//! `eq`, `json`, pipes, `{{-` and `-}}`.

use std::iter::Peekable;

use serde_json::Value;

/// A template is wrong, or asks for something that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub struct TemplateError(String);

type Result<T> = std::result::Result<T, TemplateError>;

fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(TemplateError(text.into()))
}

#[derive(Debug, Clone)]
pub struct Template {
    nodes: Vec<Node>,
}

#[derive(Debug, Clone)]
enum Node {
    Text(String),
    Print(Pipe),
    If(Pipe, Vec<Node>, Vec<Node>),
    Range(Pipe, Vec<Node>, Vec<Node>),
}

/// Commands, each of whose values is the last argument of the next.
type Pipe = Vec<Vec<Term>>;

#[derive(Debug, Clone)]
enum Term {
    /// `.a.b`; empty for `.`.
    Field(Vec<String>),
    /// `$.a`: from the outermost value.
    Root(Vec<String>),
    Literal(Value),
    Function(String),
    Nested(Pipe),
}

const FUNCTIONS: [&str; 12] =
    ["index", "len", "printf", "print", "println", "eq", "ne", "not", "and", "or", "json", "html"];

enum Piece {
    Text(String),
    Action(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// It is none, or uses what is not supported.
    pub fn parse(text: &str) -> Result<Self> {
        let mut pieces = split(text)?.into_iter().peekable();
        let (nodes, end) = parse_nodes(&mut pieces, 0)?;
        match end {
            None => Ok(Self { nodes }),
            Some(word) => fail(format!("unexpected {{{{{word}}}}}")),
        }
    }

    /// Fills the template with `value`.
    ///
    /// # Errors
    /// A field that is not there, a wrong argument of a function.
    pub fn render(&self, value: &Value) -> Result<String> {
        let mut out = String::new();
        write(&self.nodes, value, value, &mut out)?;
        Ok(out)
    }
}

fn split(text: &str) -> Result<Vec<Piece>> {
    let (mut pieces, mut rest, mut trims) = (Vec::new(), text, false);
    loop {
        let (plain, action) = match rest.split_once("{{") {
            Some((plain, action)) => (plain, Some(action)),
            None => (rest, None),
        };
        let mut plain = if trims { plain.trim_start() } else { plain };
        let Some(action) = action else {
            pieces.push(Piece::Text(plain.to_owned()));
            return Ok(pieces);
        };
        let Some(end) = end_of_action(action) else { return fail("unclosed action") };
        let (mut body, after) = (&action[..end], &action[end + 2..]);
        if let Some(trimmed) = body.strip_prefix("- ") {
            (body, plain) = (trimmed, plain.trim_end());
        }
        trims = body.ends_with(" -");
        let body = body.strip_suffix(" -").unwrap_or(body).trim();
        pieces.push(Piece::Text(plain.to_owned()));
        if !body.starts_with("/*") {
            pieces.push(Piece::Action(body.to_owned()));
        }
        rest = after;
    }
}

/// Where `}}` is, outside of quotes.
fn end_of_action(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut quote) = (0, None);
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(b'"'), b'\\') => at += 1,
            (Some(q), c) if q == c => quote = None,
            (None, c @ (b'"' | b'`')) => quote = Some(c),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Deeper templates are refused: nobody writes them by hand.
const DEPTH_MAX: usize = 32;

/// Nodes up to `end` or `else`, which is returned.
fn parse_nodes(
    pieces: &mut Peekable<impl Iterator<Item = Piece>>,
    depth: usize,
) -> Result<(Vec<Node>, Option<String>)> {
    if depth > DEPTH_MAX {
        return fail("nested too deep");
    }
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                nodes.push(Node::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let (word, rest) = action.split_once(char::is_whitespace).unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((nodes, Some(action))),
            "if" | "range" => {
                let pipe = parse_pipe(rest)?;
                let (body, end) = parse_nodes(pieces, depth + 1)?;
                let (other, end) = match end.as_deref() {
                    Some("else") => parse_nodes(pieces, depth + 1)?,
                    _ => (Vec::new(), end),
                };
                if end.as_deref() != Some("end") {
                    return fail(format!("{word} without {{{{end}}}}"));
                }
                nodes.push(if word == "if" { Node::If(pipe, body, other) } else { Node::Range(pipe, body, other) });
            }
            "define" | "template" | "block" | "with" | "break" | "continue" => {
                return fail(format!("{word:?} is not supported"));
            }
            _ => nodes.push(Node::Print(parse_pipe(&action)?)),
        }
    }
    Ok((nodes, None))
}

fn parse_pipe(text: &str) -> Result<Pipe> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    let pipe = parse_commands(&mut tokens, false, 0)?;
    match tokens.next() {
        None => Ok(pipe),
        Some(token) => fail(format!("unexpected {token:?} in {text:?}")),
    }
}

fn parse_commands(tokens: &mut Peekable<std::vec::IntoIter<String>>, nested: bool, depth: usize) -> Result<Pipe> {
    if depth > DEPTH_MAX {
        return fail("nested too deep");
    }
    let (mut pipe, mut command) = (Vec::new(), Vec::new());
    loop {
        match tokens.next().as_deref() {
            None if nested => return fail("unclosed parenthesis"),
            None | Some(")") => {
                if command.is_empty() {
                    return fail("missing value");
                }
                pipe.push(command);
                return Ok(pipe);
            }
            Some("|") if command.is_empty() => return fail("missing value before |"),
            Some("|") => pipe.push(std::mem::take(&mut command)),
            Some("(") => command.push(Term::Nested(parse_commands(tokens, true, depth + 1)?)),
            Some(token) => command.push(parse_term(token)?),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '(' | ')' | '|' => 1,
            '"' | '`' => {
                let mut escaped = false;
                let end = rest[1..].find(|c: char| {
                    let ends = c == first && !escaped;
                    escaped = first == '"' && c == '\\' && !escaped;
                    ends
                });
                match end {
                    Some(end) => end + 2,
                    None => return fail("unclosed quote"),
                }
            }
            _ => rest.find(|c: char| c.is_whitespace() || "()|".contains(c)).unwrap_or(rest.len()),
        };
        out.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    Ok(out)
}

fn parse_term(token: &str) -> Result<Term> {
    let fields = |path: &str| path.split('.').filter(|f| !f.is_empty()).map(str::to_owned).collect();
    if let Some(path) = token.strip_prefix('.') {
        return Ok(Term::Field(fields(path)));
    }
    if token == "$" || token.starts_with("$.") {
        return Ok(Term::Root(fields(&token[1..])));
    }
    if let Some(raw) = token.strip_prefix('`').and_then(|t| t.strip_suffix('`')) {
        return Ok(Term::Literal(raw.into()));
    }
    match serde_json::from_str::<Value>(token) {
        Ok(value) => Ok(Term::Literal(value)),
        Err(_) if FUNCTIONS.contains(&token) => Ok(Term::Function(token.to_owned())),
        Err(_) if token.starts_with('$') => fail(format!("variable {token:?} is not supported")),
        Err(_) => fail(format!("function {token:?} is not defined")),
    }
}

fn write(nodes: &[Node], root: &Value, dot: &Value, out: &mut String) -> Result<()> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(pipe) => out.push_str(&go_text(&evaluate(pipe, root, dot)?)),
            Node::If(pipe, then, other) => {
                let branch = if is_true(&evaluate(pipe, root, dot)?) { then } else { other };
                write(branch, root, dot, out)?;
            }
            Node::Range(pipe, body, other) => {
                let items = match evaluate(pipe, root, dot)? {
                    Value::Array(items) => items,
                    Value::Object(map) => map.into_iter().map(|(_, value)| value).collect(),
                    Value::Null => Vec::new(),
                    other => return fail(format!("range over {other}")),
                };
                if items.is_empty() {
                    write(other, root, dot, out)?;
                }
                for item in &items {
                    write(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

fn evaluate(pipe: &Pipe, root: &Value, dot: &Value) -> Result<Value> {
    let mut last: Option<Value> = None;
    for command in pipe {
        let mut values = Vec::new();
        let arguments = match command.first() {
            Some(Term::Function(_)) => &command[1..],
            _ => &command[..],
        };
        for term in arguments {
            values.push(match term {
                Term::Field(path) => field(dot, path)?,
                Term::Root(path) => field(root, path)?,
                Term::Literal(value) => value.clone(),
                Term::Nested(pipe) => evaluate(pipe, root, dot)?,
                Term::Function(name) => return fail(format!("function {name:?} as an argument, use parentheses")),
            });
        }
        values.extend(last.take());
        last = Some(match command.first() {
            Some(Term::Function(name)) => call(name, values)?,
            _ if values.len() == 1 => values.swap_remove(0),
            _ => return fail("a value takes no arguments"),
        });
    }
    last.map_or_else(|| fail("missing value"), Ok)
}

fn field(value: &Value, path: &[String]) -> Result<Value> {
    let mut at = value;
    for name in path {
        at = match at {
            Value::Object(map) => match map.get(name) {
                Some(value) => value,
                // Go lets embedded fields be named with the struct that they come from
                None if name == "BlockMeta" && map.contains_key("ULID") => at,
                // the labels of a block are a map: what is not there is empty
                None if map.keys().all(|k| !k.starts_with(|c: char| c.is_ascii_uppercase())) => &Value::Null,
                None => {
                    let names: Vec<&str> = map.keys().map(String::as_str).collect();
                    return fail(format!("no field {name:?}, there are {}", names.join(", ")));
                }
            },
            _ => return fail(format!("no field {name:?} in {at}")),
        };
    }
    Ok(at.clone())
}

fn call(name: &str, values: Vec<Value>) -> Result<Value> {
    let wants = |n: usize| match values.len() {
        found if found == n => Ok(()),
        found => fail(format!("{name} takes {n} values, not {found}")),
    };
    Ok(match name {
        "len" => {
            wants(1)?;
            match &values[0] {
                Value::Array(items) => items.len().into(),
                Value::Object(map) => map.len().into(),
                Value::String(text) => text.len().into(),
                Value::Null => 0.into(),
                other => return fail(format!("len of {other}")),
            }
        }
        "index" => {
            let mut values = values.into_iter();
            let mut at = values.next().unwrap_or_default();
            for key in values {
                at = match (&at, &key) {
                    (Value::Object(map), Value::String(name)) => map.get(name).cloned().unwrap_or_default(),
                    (Value::Array(items), Value::Number(n)) => {
                        let found = n.as_u64().and_then(|n| items.get(n as usize)).cloned();
                        found.map_or_else(|| fail(format!("index {n} of {}", items.len())), Ok)?
                    }
                    _ => return fail(format!("index of {at} by {key}")),
                };
            }
            at
        }
        "eq" | "ne" => {
            let Some((first, others)) = values.split_first().filter(|(_, others)| !others.is_empty()) else {
                return fail(format!("{name} takes two values"));
            };
            let equal = others.iter().any(|other| go_text(first) == go_text(other));
            (equal == (name == "eq")).into()
        }
        "not" => {
            wants(1)?;
            (!is_true(&values[0])).into()
        }
        "and" | "or" => {
            let stops = |value: &&Value| is_true(value) == (name == "or");
            values.iter().find(stops).or(values.last()).cloned().unwrap_or_default()
        }
        "json" => {
            wants(1)?;
            values[0].to_string().into()
        }
        "html" => {
            wants(1)?;
            go_text(&values[0]).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").into()
        }
        "print" => values.iter().map(go_text).collect::<Vec<_>>().join(" ").into(),
        "println" => (values.iter().map(go_text).collect::<Vec<_>>().join(" ") + "\n").into(),
        "printf" => format_values(&values)?.into(),
        other => return fail(format!("function {other:?} is not defined")),
    })
}

/// `printf` with `%s`, `%v`, `%d`, `%q` and widths.
fn format_values(values: &[Value]) -> Result<String> {
    let Some((Value::String(format), values)) = values.split_first() else {
        return fail("printf takes a format first");
    };
    let (mut out, mut values, mut rest) = (String::new(), values.iter(), format.as_str());
    while let Some((plain, directive)) = rest.split_once('%') {
        out.push_str(plain);
        let len = directive.find(|c: char| !(c.is_ascii_digit() || c == '-')).unwrap_or(directive.len());
        let (width, verb) = (&directive[..len], directive[len..].chars().next());
        rest = &directive[len + verb.map_or(0, char::len_utf8)..];
        let text = match verb {
            Some('%') => "%".to_owned(),
            Some(verb @ ('s' | 'v' | 'd' | 'q' | 't')) => {
                let Some(value) = values.next() else { return fail("printf has too few values") };
                if verb == 'q' { labels::quote(&go_text(value)) } else { go_text(value) }
            }
            other => return fail(format!("printf verb %{} is not supported", other.unwrap_or(' '))),
        };
        let columns = width.trim_start_matches('-').parse::<usize>().unwrap_or(0).min(1000);
        match width.starts_with('-') {
            true => out.push_str(&format!("{text:<columns$}")),
            false => out.push_str(&format!("{text:>columns$}")),
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Number(n) => n.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// As Go's `%v`: `map[a:1 b:2]`, `[x y]`; structs, whose names begin with an upper-case letter, as `{1 2}`.
fn go_text(value: &Value) -> String {
    let join = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(" ");
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", join(&mut items.iter().map(go_text))),
        Value::Object(map) if map.keys().any(|k| k.starts_with(|c: char| c.is_ascii_uppercase())) => {
            format!("{{{}}}", join(&mut map.values().map(go_text)))
        }
        Value::Object(map) => format!("map[{}]", join(&mut map.iter().map(|(k, v)| format!("{k}:{}", go_text(v))))),
        other => other.to_string(),
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
            ("{{index .Compaction.Sources 1}}", "B"),
            ("{{range .Compaction.Sources}}<{{.}} of {{$.ULID}}>{{else}}none{{end}}", "<A of 01X><B of 01X>"),
            ("{{range .Thanos.Files}}{{.RelPath}}={{.SizeBytes}}{{end}}", "index=7"),
            ("{{if eq .Compaction.Level 2}}two{{else}}other{{end}}", "two"),
            ("{{if .Compaction.Failed}}failed{{else}}fine{{end}}", "fine"),
            ("{{len .Compaction.Sources}} {{.Compaction.Sources | len}}", "2 2"),
            ("{{printf \"%-4s|%4d|%q\" .ULID .MinTime .ULID}}", "01X |   5|\"01X\""),
            ("{{.ULID | printf \"%s-%s\" \"a\"}}", "a-01X"),
            ("a  {{- .ULID -}}  b", "a01Xb"),
            ("{{/* nothing */}}{{\"}}\"}}", "}}"),
            ("{{if and .ULID (not .Compaction.Failed)}}yes{{end}}", "yes"),
            ("{{json .Compaction.Sources}}", "[\"A\",\"B\"]"),
        ] {
            let rendered = Template::parse(template).and_then(|t| t.render(&value()));
            assert_eq!(rendered.as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (template, text) in [
            ("{{.ULID", "unclosed action"),
            ("{{if .ULID}}x", "if without {{end}}"),
            ("{{end}}", "unexpected {{end}}"),
            ("{{.Ulid}}", "no field \"Ulid\", there are Compaction, MinTime, Thanos, ULID"),
            ("{{nonsense .ULID}}", "function \"nonsense\" is not defined"),
            ("{{printf \"%x\" .ULID}}", "verb %x is not supported"),
            ("{{range .ULID}}{{end}}", "range over \"01X\""),
            ("{{(.ULID}}", "unclosed parenthesis"),
            ("{{\"x}}", "unclosed action"),
            ("{{}}", "missing value"),
            ("{{with .ULID}}{{end}}", "\"with\" is not supported"),
        ] {
            let error = Template::parse(template).and_then(|t| t.render(&value())).unwrap_err().to_string();
            assert!(error.contains(text), "{template}: {error}");
        }
        let deep = format!("{}x{}", "{{if .ULID}}".repeat(100), "{{end}}".repeat(100));
        assert!(Template::parse(&deep).is_err());
        let deep = format!("{{{{{}.ULID{}}}}}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Template::parse(&deep).is_err());
    }
}
