//! Which rules of a group may be evaluated at the same time.

use labels::{METRIC_NAME, Matcher};
use promql_syntax::selectors;

use crate::file::RuleSpec;

/// The rules in levels: those of one level do not matter to one another, so that evaluating each level at once gives what
/// evaluating the rules one by one gives.
pub(crate) fn levels(rules: &[RuleSpec]) -> Vec<Vec<usize>> {
    let mut level_of: Vec<usize> = Vec::with_capacity(rules.len());
    for (at, rule) in rules.iter().enumerate() {
        let after = (0..at).filter(|before| matters(&rules[*before], rule)).map(|before| level_of[before] + 1).max();
        level_of.push(after.unwrap_or(0));
    }
    let mut levels = vec![Vec::new(); level_of.iter().max().map_or(0, |last| last + 1)];
    for (at, level) in level_of.into_iter().enumerate() {
        levels[level].push(at);
    }
    levels
}

/// Most rules of a run: each is held against those before it.
const RUN_MAX: usize = 64;

/// The rules in their order, divided where one matters to one shortly before it.
pub(crate) fn runs(rules: &[RuleSpec]) -> Vec<Vec<usize>> {
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let fits =
            |run: &&mut Vec<usize>| run.len() < RUN_MAX && !run.iter().any(|before| matters(&rules[*before], rule));
        match runs.last_mut().filter(fits) {
            Some(run) => run.push(at),
            None => runs.push(vec![at]),
        }
    }
    runs
}

/// Whether one of the two may read, or write as well, what the other writes.
fn matters(a: &RuleSpec, b: &RuleSpec) -> bool {
    let same_series = a.name == b.name && a.alert.is_some() == b.alert.is_some();
    same_series || may_read(a, b) || may_read(b, a)
}

/// Whether `reader` may select series that `writer` gives. Templates of alerts may query anything.
fn may_read(reader: &RuleSpec, writer: &RuleSpec) -> bool {
    let queries = |text: &str| text.contains("query");
    let templates = reader.alert.as_ref().map(|alert| alert.annotations.iter().chain(reader.labels.iter()));
    if templates.into_iter().flatten().any(|(_, text)| text.contains("{{") && queries(text)) {
        return true;
    }
    selectors(&reader.expr).iter().any(|selector| selects(&selector.matchers, writer))
}

/// Whether matchers may select series that a rule gives. Labels that come from the expression may have any value.
fn selects(matchers: &[Matcher], writer: &RuleSpec) -> bool {
    let of = |label: &'static str| matchers.iter().filter(move |m| m.name() == label);
    if writer.alert.is_some() {
        let name = ["ALERTS", "ALERTS_FOR_STATE"].iter().any(|name| of(METRIC_NAME).all(|m| m.matches(name)));
        return name && of("alertname").all(|m| m.matches(&writer.name));
    }
    of(METRIC_NAME).all(|m| m.matches(&writer.name))
        && writer
            .labels
            .iter()
            .all(|(name, value)| matchers.iter().filter(|m| m.name() == name).all(|m| m.matches(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{ParseOptions, parse};

    fn specs(rules: &[(&str, &str)]) -> Vec<RuleSpec> {
        let lines: String = rules
            .iter()
            .map(|(name, expr)| {
                let kind = if name.starts_with(char::is_uppercase) { "alert" } else { "record" };
                format!("  - {kind}: {name}\n    expr: '{expr}'\n")
            })
            .collect();
        let groups = parse("f", &format!("groups:\n- name: g\n  rules:\n{lines}"), &ParseOptions::default());
        groups.unwrap().remove(0).rules
    }

    fn levels_of(rules: &[(&str, &str)]) -> Vec<Vec<usize>> {
        levels(&specs(rules))
    }

    #[test]
    fn a_run_ends_before_a_rule_that_matters_to_it() {
        let runs_of = |rules: &[(&str, &str)]| runs(&specs(rules));
        assert_eq!(
            runs_of(&[("a", "x"), ("b", "y"), ("c", "a + b"), ("d", "x"), ("e", "c"), ("e", "y")]),
            [vec![0, 1], vec![2, 3], vec![4], vec![5]]
        );
        assert_eq!(runs_of(&[("a", "b"), ("b", "x")]), [vec![0], vec![1]]);
        let many: Vec<(String, String)> = (0..100).map(|n| (format!("r{n}"), "x".to_owned())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, expr)| (name.as_str(), expr.as_str())).collect();
        assert_eq!(runs_of(&many).iter().map(Vec::len).collect::<Vec<_>>(), [RUN_MAX, 100 - RUN_MAX]);
    }

    #[test]
    fn what_reads_comes_later() {
        assert_eq!(
            levels_of(&[("a", "x"), ("b", "y"), ("c", "a + b"), ("d", "c"), ("e", "z")]),
            [vec![0, 1, 4], vec![2], vec![3]]
        );
        // What reads the value of the evaluation before must not read the new one.
        assert_eq!(levels_of(&[("a", "b"), ("b", "x")]), [vec![0], vec![1]]);
        assert_eq!(levels_of(&[("a", "x"), ("a", "y")]), [vec![0], vec![1]]);
        assert_eq!(levels_of(&[("a", "x"), ("b", "{job=\"j\"}"), ("c", "y")]), [vec![0], vec![1], vec![2]]);
        assert_eq!(levels_of(&[("a", "x"), ("b", "{__name__=~\"q|r\"}")]), [vec![0, 1]]);
        assert_eq!(
            levels_of(&[("Down", "up == 0"), ("Other", "up == 1"), ("n", "count(ALERTS{alertname=\"Down\"})")]),
            [vec![0, 1], vec![2]]
        );
        assert_eq!(levels_of(&[]), Vec::<Vec<usize>>::new());
    }
}
