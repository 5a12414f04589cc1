//! The parser's events made into a tree.

use std::collections::{HashMap, HashSet};

use base64::Engine;
use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::resolve::is_null;
use crate::{Error, Key, Node, Value};

/// Nodes that any text may stand for, counting those that aliases repeat; and how many more for each of its bytes.
const NODES_BASE: usize = 4096;
const NODES_PER_BYTE: usize = 4;

type Events<'a> = Parser<'a, granit_parser::StrInput<'a>>;

struct Composer<'a> {
    events: Events<'a>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    nodes_max: usize,
}

/// The first document of a text; null where there is none.
///
/// # Errors
/// What is no YAML, comes twice in a map, or is many times longer with its aliases written out.
pub fn parse(text: &str) -> Result<Node, Error> {
    let text = model::first_document(text);
    let options = granit_parser::options! { emit_comments: false };
    let events = Parser::new_from_str_with_options(text, options);
    let nodes_max = NODES_BASE + NODES_PER_BYTE * text.len();
    let mut composer = Composer { events, anchors: HashMap::new(), nodes: 0, nodes_max };
    loop {
        match composer.next()? {
            (Event::StreamStart | Event::DocumentStart(..), _) => {}
            (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(Node { line: 1, column: 1, value: Value::Null }),
            (event, span) => return composer.node(event, span),
        }
    }
}

fn place(span: &Span) -> (u32, u32) {
    (clamp(span.start.line()), clamp(span.start.col() + 1))
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn scan_error(e: &ScanError) -> Error {
    Error::at(clamp(e.marker().line()), clamp(e.marker().col() + 1), e.info())
}

impl<'a> Composer<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Error> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(e)) => Err(scan_error(&e)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Error> {
        let (line, column) = place(&span);
        self.count(1, line, column)?;
        let node = |value| Node { line, column, value };
        let (anchor, node) = match event {
            Event::Alias(id) => {
                let Some(known) = self.anchors.get(&id).cloned() else {
                    return Err(Error::at(line, column, "an alias stands inside of what it stands for"));
                };
                self.count(size(&known), line, column)?;
                return Ok(known);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
                let plain = style == ScalarStyle::Plain && tag.as_deref() != Some("str");
                let text = match tag.as_deref() {
                    Some("binary") => binary(&text).map_err(|why| Error::at(line, column, why))?,
                    _ => text.into_owned(),
                };
                let null = plain && is_null(&text);
                (anchor, node(if null { Value::Null } else { Value::Scalar { text, plain } }))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, node(Value::List(self.list()?))),
            Event::MappingStart(_, anchor, _) => (anchor, node(Value::Map(self.map()?))),
            _ => return Err(Error::at(line, column, "a value is expected here")),
        };
        if anchor != 0 {
            self.count(size(&node), line, column)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, more: usize, line: u32, column: u32) -> Result<(), Error> {
        self.nodes += more;
        if self.nodes > self.nodes_max {
            let why = format!("more than {} values, aliases counted: write fewer of them", self.nodes_max);
            return Err(Error::at(line, column, why));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Vec<Node>, Error> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(out),
                (event, span) => out.push(self.node(event, span)?),
            }
        }
    }

    fn map(&mut self) -> Result<Vec<(Key, Node)>, Error> {
        let mut out: Vec<(Key, Node)> = Vec::new();
        let mut seen = HashSet::new();
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                break;
            }
            let key = self.key(event, span)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span)?;
            if key.text == "<<" {
                merged.push(node);
                continue;
            }
            if !seen.insert(key.text.clone()) {
                return Err(Error::at(key.line, key.column, format!("the key {:?} is there already", key.text)));
            }
            out.push((key, node));
        }
        for node in merged {
            merge(node, &mut seen, &mut out)?;
        }
        Ok(out)
    }

    fn key(&mut self, event: Event<'a>, span: Span) -> Result<Key, Error> {
        let node = self.node(event, span)?;
        let (line, column) = (node.line, node.column);
        match node.value {
            Value::Scalar { text, .. } => Ok(Key { text, line, column }),
            _ => Err(Error::at(line, column, "a key must be a string")),
        }
    }
}

/// Adds what `<<` names, where the map does not say it itself.
fn merge(node: Node, seen: &mut HashSet<String>, out: &mut Vec<(Key, Node)>) -> Result<(), Error> {
    match node.value {
        Value::Map(entries) => out.extend(entries.into_iter().filter(|(key, _)| seen.insert(key.text.clone()))),
        Value::List(nodes) => {
            for node in nodes {
                merge(node, seen, out)?;
            }
        }
        _ => return Err(Error::at(node.line, node.column, "<< needs a map, or a list of maps")),
    }
    Ok(())
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::List(nodes) => 1 + nodes.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|(_, node)| size(node)).sum::<usize>(),
        Value::Scalar { text, .. } => 1 + text.len() / 256,
        Value::Null => 1,
    }
}

fn binary(text: &str) -> Result<String, &'static str> {
    let compact: String = text.split_whitespace().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(compact).map_err(|_| "!!binary must be base64")?;
    String::from_utf8(bytes).map_err(|_| "must be valid UTF-8")
}
