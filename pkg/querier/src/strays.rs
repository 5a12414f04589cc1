//! Series that a peer sends though the request does not match them: left out, counted and named in a warning.

use futures::StreamExt;
use futures::stream;
use labels::{Labels, MatchType, Matcher};
use storage::{Result, SeriesEvent, SeriesStream};

use crate::endpoints::Endpoint;

/// One matcher, with the last value and what came of it: neighbours mostly share it.
struct Judged {
    matcher: Matcher,
    /// On an external label, which a series need not carry: a querier's selector labels are not in its series.
    external: bool,
    last: Option<(String, bool)>,
}

/// The matchers that can be judged by what a peer sends.
struct Judge {
    matchers: Vec<Judged>,
    strays: u64,
    example: Option<Labels>,
}

/// Leaves out of `stream` what `matchers` do not match, and says so at the end. Labels in `stripped` are not in the
/// series any more, so matchers on them are not judged.
pub(crate) fn without_strays(
    endpoint: &Endpoint,
    stream: SeriesStream,
    matchers: &[Matcher],
    stripped: &[String],
) -> SeriesStream {
    judged(&endpoint.name, stream, matchers, stripped, |name| endpoint.is_external(name))
}

fn judged(
    name: &str,
    stream: SeriesStream,
    matchers: &[Matcher],
    stripped: &[String],
    external: impl Fn(&str) -> bool,
) -> SeriesStream {
    let seen = matchers.iter().filter(|m| !stripped.iter().any(|s| s == m.name()) && !matches_all(m));
    let judged = seen.map(|m| Judged { matcher: m.clone(), external: external(m.name()), last: None });
    let mut matchers: Vec<Judged> = judged.collect();
    if matchers.is_empty() {
        return stream;
    }
    matchers.sort_by_key(|j| !matches!(j.matcher.kind(), MatchType::Equal | MatchType::NotEqual));
    let judge = Judge { matchers, strays: 0, example: None };
    stream::unfold((stream, Some(judge), name.to_owned()), |(mut stream, judge, name)| async move {
        let mut judge = judge?;
        match stream.next().await {
            Some(Ok(SeriesEvent::Batch(mut batch))) => {
                batch.retain(|series| judge.keeps(&series.labels));
                Some((Ok(SeriesEvent::Batch(batch)), (stream, Some(judge), name)))
            }
            Some(other) => Some((other, (stream, Some(judge), name))),
            None => judge.warning(&name).map(|event| (event, (stream, None, name))),
        }
    })
    .boxed()
}

fn matches_all(matcher: &Matcher) -> bool {
    matcher.kind() == MatchType::Regex && matcher.value() == ".*"
}

impl Judged {
    fn lets(&mut self, labels: &Labels) -> bool {
        let value = match labels.get(self.matcher.name()) {
            None if self.external => return true,
            value => value.unwrap_or(""),
        };
        if let Some((known, lets)) = &self.last
            && known == value
        {
            return *lets;
        }
        let lets = self.matcher.matches(value);
        let (known, outcome) = self.last.get_or_insert_default();
        known.clear();
        known.push_str(value);
        *outcome = lets;
        lets
    }
}

impl Judge {
    fn keeps(&mut self, labels: &Labels) -> bool {
        let kept = self.matchers.iter_mut().all(|judged| judged.lets(labels));
        if !kept {
            self.strays += 1;
            self.example.get_or_insert_with(|| labels.clone());
        }
        kept
    }

    fn warning(&self, name: &str) -> Option<Result<SeriesEvent>> {
        let example = self.example.as_ref()?;
        let text = format!("{name}: sent {} series that the request does not match, left out: {example}", self.strays);
        Some(Ok(SeriesEvent::Warning(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::Series;

    #[tokio::test]
    async fn strays_are_left_out_and_told_once() {
        let series = |job: &str, cluster: &str| Series {
            labels: Labels::from_pairs([("__name__", "up"), ("cluster", cluster), ("job", job)]),
            chunks: Vec::new(),
        };
        let batch = |list: &[(&str, &str)]| Ok(SeriesEvent::Batch(list.iter().map(|(j, c)| series(j, c)).collect()));
        let sent = || {
            let list = [batch(&[("x", "eu"), ("y", "eu")]), batch(&[("x", "eu"), ("z", "eu"), ("z", "us")])];
            stream::iter(list).boxed()
        };
        let regex = Matcher::new(MatchType::Regex, "job", "x|y").unwrap();
        let (none, replica) = (&[][..], &["replica".to_owned()][..]);
        for (matchers, stripped, kept, told) in [
            (vec![regex.clone()], none, 3, Some("a:1: sent 2 series")),
            (vec![regex.clone(), Matcher::equal("cluster", "us")], none, 0, Some("a:1: sent 5 series")),
            (vec![Matcher::equal("__name__", "up")], none, 5, None),
            (vec![Matcher::equal("replica", "a")], replica, 5, None),
            (vec![Matcher::equal("replica", "a")], none, 0, Some("a:1: sent 5 series")),
            (vec![Matcher::equal("site", "here")], none, 5, None),
            (vec![Matcher::equal("zone", ""), regex], none, 3, Some("a:1: sent 2 series")),
            (vec![], none, 5, None),
        ] {
            let stream = judged("a:1", sent(), &matchers, stripped, |name| name == "site");
            let got = storage::collect_series(stream).await.unwrap();
            let count: usize = got.value.len();
            // equal neighbours are joined
            assert!(count <= kept && (count == 0) == (kept == 0), "{matchers:?}: {count}");
            assert_eq!(got.warnings.len(), usize::from(told.is_some()), "{matchers:?}: {:?}", got.warnings);
            assert!(told.is_none_or(|t| got.warnings[0].starts_with(t)), "{matchers:?}: {:?}", got.warnings);
        }
    }
}
