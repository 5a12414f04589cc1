//! The functions of Prometheus' templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::humanize::{
    duration_of, humanize, humanize_1024, humanize_duration, humanize_percentage, humanize_timestamp, number, time_of,
};
use super::names::{strip_domain, strip_port, title};
use super::replace::replace_all;
use crate::builtins::wrong_number;
use crate::limits::Work;
use crate::{CallError, Functions, Sample, Value, escape};

/// What the functions know beside their arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The time of the evaluation, ms since the epoch.
    pub now_ms: i64,
    /// Where the server is reached.
    pub external_url: String,
    /// The path of that URL.
    pub path_prefix: String,
}

/// Answers to the queries of a template, each the samples of an instant vector or why there is none.
#[derive(Debug, Clone, Default)]
pub struct Answers(BTreeMap<String, Result<Value, String>>);

impl Answers {
    /// Adds an answer.
    pub fn add(&mut self, query: String, answer: Result<Vec<Sample>, String>) {
        let answer = answer.map(|samples| Value::list(samples.into_iter().map(|s| Value::Sample(Arc::new(s)))));
        self.0.insert(query, answer);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The functions for one expansion.
pub(super) struct AlertFunctions<'a> {
    pub context: &'a Context,
    pub answers: &'a Answers,
}

/// The functions that templates of alerts have beside Go's own.
pub const NAMES: [&str; 30] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize",
    "humanize1024",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "tmpl",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

type Result1 = Result<Value, CallError>;

impl Functions for AlertFunctions<'_> {
    fn has(&self, name: &str) -> bool {
        NAMES.contains(&name)
    }

    fn call(&self, name: &str, args: &[Value], work: &mut Work) -> Result1 {
        match name {
            "query" => self.query(text(name, args, 0, 1)?),
            "now" => none(name, args).map(|()| Value::Float(self.context.now_ms as f64 / 1000.0)),
            "externalURL" => none(name, args).map(|()| self.context.external_url.as_str().into()),
            "pathPrefix" => none(name, args).map(|()| self.context.path_prefix.as_str().into()),
            "args" => {
                let named = args.iter().enumerate().map(|(at, value)| (format!("arg{at}"), value.clone()));
                Ok(Value::Map(Arc::new(named.collect())))
            }
            "first" | "value" | "strvalue" | "label" | "sortByLabel" => of_samples(name, args),
            "match" | "reReplaceAll" => with_regex(name, args, work),
            "humanize" | "humanize1024" | "humanizeDuration" | "humanizePercentage" | "humanizeTimestamp"
            | "toTime" | "toDuration" => of_number(name, args),
            _ => of_text(name, args),
        }
    }
}

impl AlertFunctions<'_> {
    fn query(&self, query: &str) -> Result1 {
        match self.answers.0.get(query) {
            None => Err(CallError::Wants(query.to_owned())),
            Some(Ok(samples)) => Ok(samples.clone()),
            Some(Err(why)) => Err(why.clone().into()),
        }
    }
}

fn none(name: &str, args: &[Value]) -> Result<(), CallError> {
    if args.is_empty() { Ok(()) } else { Err(wrong_number(name, 0, args.len())) }
}

/// An argument that is a string, of `want` arguments.
fn text<'a>(name: &str, args: &'a [Value], at: usize, want: usize) -> Result<&'a str, CallError> {
    if args.len() != want {
        return Err(wrong_number(name, want, args.len()));
    }
    match &args[at] {
        Value::String(text) => Ok(text),
        other => Err(format!("wrong type for value; expected string; got {}", other.type_name()).into()),
    }
}

fn of_text(name: &str, args: &[Value]) -> Result1 {
    let text = text(name, args, 0, 1)?;
    Ok(match name {
        "title" => title(text).into(),
        "toUpper" => model::to_upper(text).into(),
        "toLower" => model::to_lower(text).into(),
        "stripPort" => strip_port(text).into(),
        "stripDomain" => strip_domain(text).into(),
        "safeHtml" => text.into(),
        "urlQueryEscape" => escape::query(text).into(),
        "graphLink" => format!("/graph?g0.expr={}&g0.tab=0", escape::query(text)).into(),
        "tableLink" => format!("/graph?g0.expr={}&g0.tab=1", escape::query(text)).into(),
        "parseDuration" => {
            let ms = model::parse_duration(text).map_err(|e| e.to_string())?;
            Value::Float(ms as f64 / 1000.0)
        }
        _ => return Err(format!("function {name:?} not defined").into()),
    })
}

fn of_number(name: &str, args: &[Value]) -> Result1 {
    let [arg] = args else { return Err(wrong_number(name, 1, args.len())) };
    let v = number(arg)?;
    Ok(match name {
        "humanize" => humanize(v).into(),
        "humanize1024" => humanize_1024(v).into(),
        "humanizeDuration" => humanize_duration(v).into(),
        "humanizePercentage" => humanize_percentage(v).into(),
        "humanizeTimestamp" => humanize_timestamp(v)?.into(),
        "toDuration" => Value::Duration(duration_of(v)?),
        _ => Value::Time(time_of(v)?),
    })
}

fn of_samples(name: &str, args: &[Value]) -> Result1 {
    match (name, args) {
        ("first", [Value::List(samples)]) => match samples.first() {
            Some(sample) => Ok(sample.clone()),
            None => Err("first() called on vector with no elements".into()),
        },
        ("value", [Value::Sample(sample)]) => Ok(Value::Float(sample.value)),
        ("strvalue", [Value::Sample(sample)]) => Ok(sample.labels.value("__value__").into()),
        ("label", [Value::String(label), Value::Sample(sample)]) => Ok(sample.labels.value(label).into()),
        ("sortByLabel", [Value::String(label), Value::List(samples)]) => {
            let mut sorted: Vec<Value> = samples.to_vec();
            let key = |value: &Value| match value {
                Value::Sample(sample) => sample.labels.value(label).to_owned(),
                _ => String::new(),
            };
            sorted.sort_by_cached_key(key);
            Ok(Value::list(sorted))
        }
        ("label" | "sortByLabel", [_, _]) | ("first" | "value" | "strvalue", [_]) => {
            let types: Vec<&str> = args.iter().map(Value::type_name).collect();
            Err(format!("wrong type for value; got {}", types.join(", ")).into())
        }
        ("label" | "sortByLabel", _) => Err(wrong_number(name, 2, args.len())),
        _ => Err(wrong_number(name, 1, args.len())),
    }
}

fn with_regex(name: &str, args: &[Value], work: &mut Work) -> Result1 {
    let want = if name == "match" { 2 } else { 3 };
    let pattern = text(name, args, 0, want)?;
    let subject = text(name, args, want - 1, want)?;
    work.add(2 + pattern.len() as u64)?;
    let regex = re2::Regex::new(pattern).map_err(|e| e.to_string())?;
    let program_kib = 1 + regex.size_bytes() as u64 / 1024;
    work.add(program_kib.saturating_mul(1 + subject.len() as u64 / 16))?;
    if name == "match" {
        return Ok(Value::Bool(regex.is_match(subject)));
    }
    let replacement = text(name, args, 1, want)?;
    Ok(replace_all(&regex, replacement, subject, work)?.into())
}
