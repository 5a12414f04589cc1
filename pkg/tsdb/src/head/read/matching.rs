//! Which series match.

use labels::{MatchType, Matcher};

use crate::head::core::Core;
use crate::head::set::Set;

/// Values that are looked at between two looks at whether somebody else wants the lock.
const VALUES_AT_A_TIME: usize = 1024;

impl Core {
    /// The slots of series that match all.
    pub fn matching(&self, matchers: &[Matcher], check: &dyn Fn() -> storage::Result<()>) -> storage::Result<Set> {
        let (exact, others): (Vec<&Matcher>, Vec<&Matcher>) =
            matchers.iter().partition(|m| m.kind() == MatchType::Equal && !m.matches_empty());
        // Narrow ones first: what they leave is what the others are held against.
        let mut found = (!exact.is_empty()).then(|| self.having(&exact));
        let mut without = Vec::new();
        for matcher in others {
            check()?;
            if found.as_ref().is_some_and(Set::is_empty) {
                return Ok(Set::default());
            }
            if matcher.matches_empty() {
                // Series without the label match: those with another value do not.
                without.push(self.slots(matcher, &|m, value| !m.matches(value)));
                continue;
            }
            let slots = self.slots(matcher, &Matcher::matches);
            match &mut found {
                Some(found) => found.intersect(&slots),
                None => found = Some(slots),
            }
        }
        let mut found = found.unwrap_or_else(|| self.postings.read().all().clone());
        without.iter().for_each(|slots| found.subtract(slots));
        Ok(found)
    }

    /// The slots of series that have the labels which these matchers name.
    fn having(&self, exact: &[&Matcher]) -> Set {
        let symbols = self.symbols.read();
        let labels = exact.iter().map(|m| Some((symbols.find(m.name())?, symbols.find(m.value())?)));
        let Some(labels) = labels.collect::<Option<Vec<_>>>() else { return Set::default() };
        self.postings.read().having(&labels)
    }

    /// The slots of series whose value of the matcher's label `is` as wanted. Series without the label are not among them.
    fn slots(&self, matcher: &Matcher, is: &impl Fn(&Matcher, &str) -> bool) -> Set {
        let mut set = Set::default();
        if !matcher.matches_empty()
            && let Some(literals) = matcher.set_matches()
        {
            let symbols = self.symbols.read();
            let Some(name) = symbols.find(matcher.name()) else { return set };
            let values: Vec<u32> = literals.iter().filter_map(|literal| symbols.find(literal)).collect();
            let postings = self.postings.read();
            values.iter().for_each(|value| postings.unite(name, *value, &mut set));
            return set;
        }
        loop {
            let symbols = self.symbols.read();
            let sweeps = symbols.sweeps;
            let Some(name) = symbols.find(matcher.name()) else { return set };
            let mut values = self.postings.read().values(name);
            drop(symbols);
            values.retain({
                // The lock is let go now and then: values may be very many, and expressions slow.
                let mut seen = 0usize;
                let mut symbols = Some(self.symbols.read());
                move |value| {
                    seen += 1;
                    if seen.is_multiple_of(VALUES_AT_A_TIME) {
                        symbols = None;
                    }
                    is(matcher, symbols.get_or_insert_with(|| self.symbols.read()).text(*value))
                }
            });
            let symbols = self.symbols.read();
            // A symbol may be another text since.
            if symbols.sweeps == sweeps {
                let postings = self.postings.read();
                values.iter().for_each(|value| postings.unite(name, *value, &mut set));
                return set;
            }
        }
    }
}
