//! From matchers to series: which postings lists are needed, and how they combine. Two steps, so that a reader of a
//! bucket can fetch all lists at once in between.

use std::ops::Range;

use labels::{MatchType, Matcher};

use crate::{PostingsTable, Result, postings};

/// Which lists to read, and what to do with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Intersection of these unions. Empty without `all`: no series matches.
    keep: Vec<Vec<Range<u64>>>,
    /// Minus these.
    drop: Vec<Range<u64>>,
    /// The list of all series, when there is nothing to intersect.
    all: Option<Range<u64>>,
}

impl Plan {
    fn nothing() -> Self {
        Self { keep: Vec::new(), drop: Vec::new(), all: None }
    }

    /// True when no series can match; nothing needs to be read.
    pub fn is_nothing(&self) -> bool {
        self.keep.is_empty() && self.all.is_none()
    }

    /// The byte ranges of the index to read, ascending and each once; a list begins where its range begins.
    pub fn ranges(&self) -> Vec<Range<u64>> {
        let mut ranges: Vec<_> = self.keep.iter().flatten().chain(&self.drop).chain(&self.all).cloned().collect();
        ranges.sort_unstable_by_key(|r| r.start);
        ranges.dedup();
        ranges
    }

    /// The ids of the series that match, ascending; `list` gives the decoded list of a range.
    ///
    /// # Errors
    /// Those of `list`.
    pub fn combine<E>(
        &self,
        mut list: impl FnMut(Range<u64>) -> std::result::Result<Vec<u32>, E>,
    ) -> std::result::Result<Vec<u32>, E> {
        let mut lists = Vec::with_capacity(self.keep.len() + 1);
        for ranges in self.keep.iter().map(Vec::as_slice).chain(self.all.as_ref().map(std::slice::from_ref)) {
            let parts = ranges.iter().map(|r| list(r.clone())).collect::<std::result::Result<Vec<_>, _>>()?;
            lists.push(postings::merge(parts));
        }
        let kept = postings::intersect_all(lists);
        if kept.is_empty() || self.drop.is_empty() {
            return Ok(kept);
        }
        let parts = self.drop.iter().map(|r| list(r.clone())).collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(postings::subtract(&kept, &postings::merge(parts)))
    }
}

/// Plans the lists for `matchers`, all of which must hold.
///
/// A matcher that refuses the empty value keeps the series with an accepted value. One that accepts it keeps also the
/// series without the label, so it drops those with a refused value instead.
///
/// # Errors
/// [`crate::Error::Corrupt`] if the part that is read is not what was written.
pub fn plan(table: &PostingsTable, matchers: &[Matcher]) -> Result<Plan> {
    let mut plan = Plan::nothing();
    for matcher in matchers {
        if matcher.matches_empty() {
            plan.drop.extend(refused(table, matcher)?);
        } else {
            let ranges = accepted(table, matcher)?;
            if ranges.is_empty() {
                return Ok(Plan::nothing());
            }
            plan.keep.push(ranges);
        }
    }
    plan.drop.sort_unstable_by_key(|r| r.start);
    plan.drop.dedup();
    if plan.keep.is_empty() {
        plan.all = table.lookup("", "")?;
    }
    Ok(plan)
}

/// Lists of the values that `matcher`, which refuses "", accepts.
fn accepted(table: &PostingsTable, matcher: &Matcher) -> Result<Vec<Range<u64>>> {
    if let Some(values) = matcher.set_matches() {
        return of_values(table, matcher.name(), values);
    }
    let prefix = match matcher.kind() {
        MatchType::Regex => matcher.regex().map_or("", |r| r.prefix()),
        _ => "",
    };
    // All values pass; running the expression on each would tell nothing.
    let any = matcher.value() == ".+" && matcher.kind() == MatchType::Regex
        || matcher.value().is_empty() && matcher.kind() == MatchType::NotEqual;
    let mut ranges = Vec::new();
    table.each_value(matcher.name(), prefix, |value, range| {
        if any && !value.is_empty() || matcher.matches(value) {
            ranges.push(range);
        }
    })?;
    Ok(ranges)
}

/// Lists of the values that `matcher`, which accepts "", refuses.
fn refused(table: &PostingsTable, matcher: &Matcher) -> Result<Vec<Range<u64>>> {
    match matcher.kind() {
        MatchType::NotEqual => return of_values(table, matcher.name(), vec![matcher.value()]),
        MatchType::NotRegex => {
            if let Some(values) = matcher.regex().and_then(|r| r.literals()) {
                return of_values(table, matcher.name(), values.iter().map(String::as_str).collect());
            }
        }
        MatchType::Regex if matcher.value() == ".*" => return Ok(Vec::new()),
        MatchType::Equal | MatchType::Regex => {}
    }
    let mut ranges = Vec::new();
    table.each_value(matcher.name(), "", |value, range| {
        if !matcher.matches(value) {
            ranges.push(range);
        }
    })?;
    Ok(ranges)
}

fn of_values(table: &PostingsTable, name: &str, mut values: Vec<&str>) -> Result<Vec<Range<u64>>> {
    values.sort_unstable();
    values.dedup();
    let mut ranges = Vec::new();
    for value in values {
        ranges.extend(table.lookup(name, value)?);
    }
    Ok(ranges)
}
