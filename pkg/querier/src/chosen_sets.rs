//! `--selector.relabel-config` on an endpoint with several external label sets: matchers that let through the series of
//! the sets that are kept and none of those that are dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use labels::{Labels, MatchType, Matcher};
use parking_lot::Mutex;
use relabel::Rule;

/// Values of one name in one request, in bytes: far below the longest expression that is compiled.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Endpoints whose choice is remembered.
const NAMES_MAX: usize = 1000;

/// What was chosen for each endpoint, for as long as its label sets stay as they are.
#[derive(Debug, Default)]
pub(crate) struct Choices(Mutex<HashMap<String, (Vec<Labels>, Arc<Chosen>)>>);

impl Choices {
    /// [`choose`] for the endpoint of that name.
    pub(crate) fn of(&self, rules: &[Rule], name: &str, sets: &[Labels]) -> Arc<Chosen> {
        if rules.is_empty() || sets.is_empty() {
            return Arc::new(Chosen::All);
        }
        if let Some((known, chosen)) = self.0.lock().get(name)
            && known == sets
        {
            return chosen.clone();
        }
        let chosen = Arc::new(choose(rules, sets));
        let mut known = self.0.lock();
        if known.len() >= NAMES_MAX {
            // addresses come and go
            known.clear();
        }
        known.insert(name.to_owned(), (sets.to_vec(), chosen.clone()));
        chosen
    }
}

/// What to ask an endpoint for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Chosen {
    /// Whatever it has.
    All,
    /// The union of what each list of further matchers selects; no two overlap. None = nothing.
    Parts(Vec<Vec<Matcher>>),
}

/// The label sets that the rules keep.
pub(crate) fn kept<'s>(rules: &[Rule], sets: &'s [Labels]) -> Vec<&'s Labels> {
    sets.iter().filter(|s| relabel::apply(rules, s).is_some()).collect()
}

/// What to ask an endpoint with these label sets for. One without any is asked for all it has.
fn choose(rules: &[Rule], sets: &[Labels]) -> Chosen {
    let kept = kept(rules, sets);
    if kept.len() == sets.len() {
        return Chosen::All;
    }
    let dropped: Vec<&Labels> = sets.iter().filter(|s| !kept.contains(s)).collect();
    // The values of several sets together may match a dropped one: {a=1,b=1} and {a=2,b=2} match {a=1,b=2}. Then they
    // are asked for apart.
    let mut parts: Vec<Part> = Vec::new();
    for set in &kept {
        if parts.iter().any(|p| p.lets(set)) {
            continue;
        }
        let one = Part::of(set, &dropped);
        let joined = parts.iter().enumerate().find_map(|(at, part)| {
            let joined = part.with(&one)?;
            // neither what was dropped, nor what another part has
            let others = || parts.iter().enumerate().filter(|(other, _)| *other != at);
            let taken = kept.iter().any(|k| joined.lets(k) && others().any(|(_, p)| p.lets(k)));
            (!taken && !dropped.iter().any(|d| joined.lets(d))).then_some((at, joined))
        });
        match joined {
            Some((at, joined)) => parts[at] = joined,
            None => parts.push(one),
        }
    }
    Chosen::Parts(parts.iter().map(Part::matchers).collect())
}

/// Values that each name may have; `""` = the label is not there.
#[derive(Debug, Clone, PartialEq)]
struct Part(BTreeMap<String, BTreeSet<String>>);

impl Part {
    /// Exactly `set`, as far as it can be told from `dropped`.
    fn of(set: &Labels, dropped: &[&Labels]) -> Self {
        let mut values: BTreeMap<_, BTreeSet<_>> =
            set.iter().map(|(n, v)| (n.to_owned(), BTreeSet::from([v.to_owned()]))).collect();
        // A dropped set with more labels has one of these, which the kept set's series must then not have.
        for other in dropped {
            if set.iter().all(|(n, v)| other.get(n) == Some(v))
                && let Some((name, _)) = other.iter().find(|(n, _)| set.get(n).is_none())
            {
                values.insert(name.to_owned(), BTreeSet::from([String::new()]));
            }
        }
        Self(values)
    }

    /// Both together, unless one of them knows a label that the other does not.
    fn with(&self, other: &Self) -> Option<Self> {
        if !self.0.keys().eq(other.0.keys()) {
            return None;
        }
        let mut joined = self.clone();
        for (name, values) in &other.0 {
            joined.0.entry(name.clone()).or_default().extend(values.iter().cloned());
        }
        let fits = joined.0.values().all(|v| v.iter().map(String::len).sum::<usize>() <= TEXT_BYTES_MAX);
        fits.then_some(joined)
    }

    fn lets(&self, set: &Labels) -> bool {
        self.0.iter().all(|(name, values)| values.contains(set.value(name)))
    }

    fn matchers(&self) -> Vec<Matcher> {
        let one = |(name, values): (&String, &BTreeSet<String>)| {
            let name = name.as_str();
            let first = Matcher::equal(name, values.first().map_or("", String::as_str));
            if values.len() == 1 {
                return first;
            }
            let texts: Vec<String> = values.iter().map(|v| escape(v)).collect();
            // `TEXT_BYTES_MAX` keeps it compiling; were it not so, too little is better than what was to be left out
            Matcher::new(MatchType::Regex, name, texts.join("|")).unwrap_or(first)
        };
        self.0.iter().map(one).collect()
    }
}

/// As a regular expression that matches `text` alone.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(list: &[&[(&str, &str)]]) -> Vec<Labels> {
        list.iter().map(|pairs| Labels::from_pairs(pairs.iter().copied())).collect()
    }

    #[test]
    fn parts() {
        let all: &[&[(&str, &str)]] = &[
            &[("r", "eu"), ("t", "a")],
            &[("r", "us"), ("t", "a")],
            &[("r", "eu"), ("t", "b.c")],
            &[("r", "us"), ("t", "b.c")],
        ];
        for (rules, sets_of, want) in [
            ("[]", all, "all"),
            ("[{action: keep, source_labels: [r], regex: .+}]", all, "all"),
            ("[{action: keep, source_labels: [r], regex: eu}]", all, "r=\"eu\",t=~\"a|b\\\\.c\""),
            ("[{action: drop, source_labels: [t], regex: b.c}]", all, "r=~\"eu|us\",t=\"a\""),
            (
                "[{action: keep, source_labels: [r, t], regex: eu;a|us;b.c}]",
                all,
                "r=\"eu\",t=\"a\" + r=\"us\",t=\"b.c\"",
            ),
            ("[{action: drop, source_labels: [r], regex: .*}]", all, ""),
            ("[{action: drop, source_labels: [r], regex: .*}]", &[], "all"),
            // told apart by what the kept one lacks
            (
                "[{action: drop, source_labels: [x], regex: .+}]",
                &[&[("r", "eu")], &[("r", "eu"), ("x", "1")]],
                "r=\"eu\",x=\"\"",
            ),
            // sets with other names are asked for apart
            (
                "[{action: drop, source_labels: [r], regex: us}]",
                &[&[("r", "eu")], &[("z", "1")], &[("r", "us")]],
                "r=\"eu\" + z=\"1\"",
            ),
        ] {
            let rules = relabel::parse_rules(rules).unwrap();
            let shown = match choose(&rules, &sets(sets_of)) {
                Chosen::All => "all".to_owned(),
                Chosen::Parts(parts) => {
                    let part = |p: &Vec<Matcher>| p.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
                    parts.iter().map(part).collect::<Vec<_>>().join(" + ")
                }
            };
            assert_eq!(shown, want);
        }
    }

    /// What is asked for has the series of every kept set and of no dropped one.
    #[test]
    fn exactly_the_kept_sets() {
        let mut all = Vec::new();
        for n in 0..60u32 {
            let pairs = [("r", format!("r{}", n % 3)), ("t", format!("t{}", n % 20)), ("z", format!("{}", n % 7))];
            all.push(Labels::from_pairs(pairs.iter().map(|(n, v)| (*n, v.as_str()))));
        }
        for modulus in 2..6 {
            let yaml = format!(
                "[{{action: hashmod, source_labels: [r, t, z], modulus: {modulus}, target_label: shard}}, \
                 {{action: keep, source_labels: [shard], regex: 1}}]"
            );
            let rules = relabel::parse_rules(&yaml).unwrap();
            let kept = kept(&rules, &all);
            let Chosen::Parts(parts) = choose(&rules, &all) else { panic!("all kept") };
            for set in &all {
                let lets = parts.iter().filter(|p| p.iter().all(|m| m.matches(set.value(m.name())))).count();
                assert_eq!(lets, usize::from(kept.contains(&set)), "{set}");
            }
            assert!(parts.len() <= kept.len());
        }
    }
}
