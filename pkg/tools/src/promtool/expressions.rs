//! `aion tools promql`: expressions laid out and changed.

use flags::{Flag, Parsed};
use labels::{METRIC_NAME, MatchType, Matcher};
use promql_syntax::{Expr, VectorSelector, parse_with, pretty, walk_mut};
use service::tool::Deps;

use super::common::Outcome;
use crate::Error;

pub(super) const SET_FLAGS: &[Flag] =
    &[Flag::word("type", &["=", "!=", "=~", "!~"], "=", "Type of the label matcher to set.").short('t')];

fn parse(text: &str) -> Result<Expr, Error> {
    parse_with(text, &promql_syntax::ParseOptions::ALL).map_err(|e| Error::Failed(e.to_string()))
}

pub(super) fn format(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let expr = parse(&parsed.args()[0])?;
    deps.print(&format!("{}\n", pretty(&expr)))?;
    Ok(0)
}

pub(super) fn set(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let [query, name, value] = parsed.args() else {
        return Err(Error::Usage("a query, the name and the value of a matcher are needed".to_owned()));
    };
    let kind = match parsed.text("type") {
        "!=" => MatchType::NotEqual,
        "=~" => MatchType::Regex,
        "!~" => MatchType::NotRegex,
        _ => MatchType::Equal,
    };
    let matcher = Matcher::new(kind, name.as_str(), value.as_str()).map_err(|e| Error::Usage(e.to_string()))?;
    change(query, deps, |matchers, named| match matchers.iter_mut().find(|m| m.name() == name) {
        Some(there) => *there = matcher.clone(),
        // The matcher of a name before the braces stays the last.
        None => matchers.insert(matchers.len() - usize::from(named), matcher.clone()),
    })
}

pub(super) fn delete(parsed: &Parsed, deps: &mut Deps<'_>) -> Outcome {
    let [query, name] = parsed.args() else {
        return Err(Error::Usage("a query and the name of a label are needed".to_owned()));
    };
    change(query, deps, |matchers, _| matchers.retain(|m| m.name() != name))
}

/// Prints the query with the matchers of all its selectors changed; the second argument is whether one is for a name that
/// stands before the braces.
fn change(query: &str, deps: &mut Deps<'_>, mut each: impl FnMut(&mut Vec<Matcher>, bool)) -> Outcome {
    let mut expr = parse(query)?;
    let mut one = |selector: &mut VectorSelector| {
        let mut matchers = selector.matchers.to_vec();
        each(&mut matchers, selector.name.is_some());
        if matchers.last().is_none_or(|m| m.name() != METRIC_NAME) {
            selector.name = None;
        }
        selector.matchers = matchers.into();
    };
    walk_mut(&mut expr, &mut |e| match e {
        Expr::Vector(selector) => one(selector),
        Expr::Matrix(matrix) => one(&mut matrix.vector),
        _ => {}
    });
    deps.print(&format!("{}\n", pretty(&expr)))?;
    Ok(0)
}
