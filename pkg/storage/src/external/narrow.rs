//! External labels and matchers on them.

use labels::{Labels, MatchType, Matcher};

/// Matchers once those on external labels are judged.
#[derive(Debug, PartialEq)]
pub enum Narrowed {
    /// An external label does not match: no series does.
    Nothing,
    /// What is left to ask.
    Left(Vec<Matcher>),
}

/// Splits off the matchers on `external` labels, which hold for every series alike, and those that match anything.
pub fn narrow(external: &Labels, matchers: &[Matcher]) -> Narrowed {
    let mut left = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        match external.get(matcher.name()) {
            Some(value) if !matcher.matches(value) => return Narrowed::Nothing,
            Some(_) => {}
            None if matcher.kind() == MatchType::Regex && matcher.value() == ".*" => {}
            None => left.push(matcher.clone()),
        }
    }
    Narrowed::Left(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        let external = Labels::from_pairs([("replica", "a")]);
        let (up, a, b) =
            (Matcher::equal("__name__", "up"), Matcher::equal("replica", "a"), Matcher::equal("replica", "b"));
        let cases = [
            (vec![], Narrowed::Left(vec![])),
            (vec![up.clone(), a.clone()], Narrowed::Left(vec![up.clone()])),
            (vec![a.clone()], Narrowed::Left(vec![])),
            (vec![a, Matcher::new(MatchType::Regex, "__name__", ".*").unwrap()], Narrowed::Left(vec![])),
            (vec![up, b], Narrowed::Nothing),
            (vec![Matcher::equal("replica", "")], Narrowed::Nothing),
        ];
        for (matchers, want) in cases {
            assert_eq!(narrow(&external, &matchers), want);
        }
    }
}
