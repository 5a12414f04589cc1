//! What to delete and how to relabel, from YAML.

use std::collections::BTreeSet;
use std::sync::Arc;

use block::BlockMeta;
use block::meta::{Deletion as AppliedDeletion, DeletionInterval, DeletionMatcher};
use flags::Parsed;
use labels::{MatchType, Matcher};
use merge::Deletion;
use model::TimeRange;
use relabel::Rule;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::Error;

/// Both, and how `meta.json` notes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Changes {
    pub(super) deletions: Vec<Deletion>,
    pub(super) rules: Vec<Rule>,
    pub(super) deletions_applied: Vec<AppliedDeletion>,
    pub(super) relabels_applied: Vec<Value>,
    /// Matchers see the block's external labels too.
    pub(super) match_external: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeletionYaml {
    /// Series selector, for instance `{job="a"}`; only series that have all of the labels are deleted. Required.
    matchers: String,
    /// Times whose samples are deleted. Empty means all.
    #[serde(default)]
    intervals: Vec<IntervalYaml>,
    /// Noted in `meta.json` of the new block.
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IntervalYaml {
    /// Begin, ms since the epoch. Required.
    mint: i64,
    /// End, ms since the epoch, included. Required.
    maxt: i64,
}

impl Changes {
    pub(super) fn new(parsed: &Parsed, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let mut out = Self { match_external: parsed.switch("rewrite.match-external-labels"), ..Self::default() };
        let wrong = |flag: &str, why: String| Error::Usage(format!("{}: {why}", parsed.origin(flag)));
        let flag = "rewrite.to-relabel-config";
        if let Some(yaml) = content(parsed, flag, env)? {
            out.rules = relabel::parse_rules(&yaml).map_err(|e| wrong(flag, e.to_string()))?;
            let noted: Option<Vec<Map<String, Value>>> = flags::parse_yaml(&yaml).map_err(|e| wrong(flag, e))?;
            out.relabels_applied = noted.unwrap_or_default().into_iter().map(as_noted).collect();
        }
        let flag = "rewrite.to-delete-config";
        if let Some(yaml) = content(parsed, flag, env)? {
            let requests: Option<Vec<Spanned<DeletionYaml>>> = flags::parse_yaml(&yaml).map_err(|e| wrong(flag, e))?;
            for request in requests.unwrap_or_default() {
                let line = request.referenced.line();
                out.add(request.value).map_err(|e| wrong(flag, format!("line {line}: {e}")))?;
            }
        }
        if out.rules.is_empty() && out.deletions.is_empty() {
            return Err(Error::Usage(
                "rewrite configuration should be provided: give --rewrite.to-delete-config or --rewrite.to-relabel-config"
                    .to_owned(),
            ));
        }
        Ok(out)
    }

    /// `meta` with the external labels that matchers see.
    pub(super) fn as_matched(&self, meta: &Arc<BlockMeta>) -> Arc<BlockMeta> {
        let mut meta = meta.clone();
        if !self.match_external
            && meta.thanos.as_ref().is_some_and(|t| !t.labels.is_empty())
            && let Some(thanos) = &mut Arc::make_mut(&mut meta).thanos
        {
            thanos.labels.clear();
        }
        meta
    }

    /// Logs matchers on external labels that will not see them: nothing may then be deleted.
    pub(super) fn warn_of_external(&self, meta: &BlockMeta) {
        let Some(thanos) = meta.thanos.as_ref().filter(|_| !self.match_external) else { return };
        let names: BTreeSet<&str> = self
            .deletions
            .iter()
            .flat_map(|d| &d.matchers)
            .map(Matcher::name)
            .filter(|n| thanos.labels.contains_key(*n))
            .collect();
        for label in names {
            tracing::warn!(
                block = %meta.ulid,
                label,
                "a matcher names an external label of the block, which only counts with --rewrite.match-external-labels"
            );
        }
    }

    fn add(&mut self, request: DeletionYaml) -> Result<(), String> {
        let matchers = promql_syntax::parse_series_matchers(&request.matchers)
            .map_err(|e| format!("matchers {:?}: {e}", request.matchers))?;
        if matchers.is_empty() {
            return Err(format!("matchers {:?} would delete everything", request.matchers));
        }
        if let Some(i) = request.intervals.iter().find(|i| i.mint > i.maxt) {
            return Err(format!("interval from {} to {}", i.mint, i.maxt));
        }
        // as Thanos does it, a series without one of the labels is never meant
        let named = matchers.iter().map(|m| Matcher::not_equal(m.name(), ""));
        self.deletions.push(Deletion {
            matchers: matchers.iter().cloned().chain(named).collect(),
            ranges: request.intervals.iter().map(|i| TimeRange::new(i.mint, i.maxt)).collect(),
        });
        let noted = |m: &Matcher| DeletionMatcher {
            kind: match m.kind() {
                MatchType::Equal => 0,
                MatchType::NotEqual => 1,
                MatchType::Regex => 2,
                MatchType::NotRegex => 3,
            },
            name: m.name().to_owned(),
            value: m.value().to_owned(),
        };
        let interval = |i: &IntervalYaml| DeletionInterval { min_time: i.mint, max_time: i.maxt };
        self.deletions_applied.push(AppliedDeletion {
            matchers: matchers.iter().map(noted).collect(),
            intervals: request.intervals.iter().map(interval).collect(),
            request_id: request.request_id,
        });
        Ok(())
    }
}

/// A rule as other readers of `meta.json` take it: texts are texts, whatever YAML made of them.
fn as_noted(rule: Map<String, Value>) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let noted = rule.into_iter().map(|(key, value)| {
        let value = match (key.as_str(), value) {
            ("modulus", value) => value,
            ("source_labels", Value::Array(names)) => names.iter().map(|n| Value::String(text(n))).collect(),
            (_, value) => Value::String(text(&value)),
        };
        (key, value)
    });
    Value::Object(noted.collect())
}

/// The content of a flag with `$(NAME)` replaced from the environment.
fn content(parsed: &Parsed, flag: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, Error> {
    let Some(text) = parsed.content(flag)? else { return Ok(None) };
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some((before, after)) = rest.split_once("$(") {
        out.push_str(before);
        let name = after.split_once(')').map(|(name, _)| name);
        let name = name.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        match name {
            Some(name) => {
                let value = env(name).ok_or_else(|| unset(parsed, flag, out.matches('\n').count() + 1, name))?;
                out.push_str(&value);
                rest = &after[name.len() + 1..];
            }
            None => {
                out.push_str("$(");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn unset(parsed: &Parsed, flag: &str, line: usize, name: &str) -> Error {
    Error::Usage(format!("{}: line {line}: environment variable {name:?} is not set", parsed.origin(flag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(args: &[&str]) -> Result<Changes, String> {
        let tool = super::super::super::TOOLS.iter().find(|tool| tool.name == "rewrite").unwrap();
        match flags::parse(&crate::bucket::command(tool), args.iter().map(|a| (*a).to_owned()), "v")
            .map_err(|e| e.to_string())?
        {
            flags::Outcome::Run(parsed) => {
                Changes::new(&parsed, &|name| (name == "JOB").then(|| "api".to_owned())).map_err(|e| e.to_string())
            }
            flags::Outcome::Print(text) => Err(text),
        }
    }

    #[test]
    fn what_is_asked_for() {
        let yaml =
            "- matchers: '{__name__=~\"up.*\", job=\"$(JOB)\"}'\n  intervals: [{mint: 5, maxt: 9}]\n  request_id: r1\n";
        let found = changes(&[&format!("--rewrite.to-delete-config={yaml}")]).unwrap();
        assert_eq!(found.deletions[0].ranges, [TimeRange::new(5, 9)]);
        assert_eq!(found.deletions[0].matchers.len(), 4);
        let noted = serde_json::to_string(&found.deletions_applied[0]).unwrap();
        assert_eq!(
            noted,
            r#"{"matchers":[{"Type":2,"Name":"__name__","Value":"up.*"},{"Type":0,"Name":"job","Value":"api"}],"intervals":[{"Mint":5,"Maxt":9}],"request_id":"r1"}"#
        );
        let yaml =
            "[{action: hashmod, source_labels: [a], modulus: 4, target_label: b}, {action: labeldrop, regex: 1}]";
        let found = changes(&[&format!("--rewrite.to-relabel-config={yaml}")]).unwrap();
        assert_eq!(found.rules.len(), 2);
        assert_eq!(found.relabels_applied[1], serde_json::json!({"action": "labeldrop", "regex": "1"}));
        assert_eq!(found.relabels_applied[0]["modulus"], 4);
    }

    #[test]
    fn mistakes_are_told() {
        for (args, text) in [
            (&[][..], "rewrite configuration should be provided"),
            (&["--rewrite.to-delete-config=[{matchers: '{}'}]"], "would delete everything"),
            (&["--rewrite.to-delete-config=[{matchers: '{a='}]"], "matchers \"{a=\""),
            (&["--rewrite.to-delete-config=[{matcher: x}]"], "--rewrite.to-delete-config"),
            (&["--rewrite.to-delete-config=[{matchers: a, intervals: [{mint: 9, maxt: 5}]}]"], "interval from 9 to 5"),
            (
                &["--rewrite.to-delete-config=$(NONE)"],
                "--rewrite.to-delete-config: line 1: environment variable \"NONE\" is not set",
            ),
            (&["--rewrite.to-relabel-config=[{action: none}]"], "unknown relabel action"),
        ] {
            let error = changes(args).unwrap_err();
            assert!(error.contains(text), "{args:?}: {error}");
        }
    }
}
