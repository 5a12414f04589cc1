//! Targets by pages: all at once as in Prometheus, or a bounded number.

use labels::Labels;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use storage::ActiveTarget;

use super::targets::{ActiveJson, DroppedJson, active_json, dropped_json, pool_of};
use crate::error::ApiError;
use crate::params::Params;

/// Bytes of targets in one page. A page has at least one target.
const PAGE_BYTES_MAX: usize = 190_000;

/// Where a target stands among all: active ones first, then by pool, URL and what was discovered. Targets that come and go
/// between two pages neither hide others nor show them twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Place(bool, String, String, String);

/// What was asked for by `limit` and `next`.
#[derive(Debug)]
pub(super) struct Pages {
    /// `None` = all, in the order in which they are known.
    limit: Option<usize>,
    after: Option<Place>,
}

/// One page, or all.
#[derive(Debug, Default)]
pub(super) struct Page<'a> {
    pub active: Vec<ActiveJson<'a>>,
    pub dropped: Vec<DroppedJson<'a>>,
    /// What `next` has to be for the page after this one.
    pub next: Option<String>,
}

impl Pages {
    pub fn of(params: &Params) -> Result<Self, ApiError> {
        let limit = params.parsed("limit", |text| match text.parse() {
            Ok(limit) if limit > 0 => Ok(limit),
            _ => Err("is no positive number".to_owned()),
        })?;
        let after = params
            .parsed("next", |text| serde_json::from_str(text).map_err(|_| "is none that an answer gave".to_owned()))?;
        Ok(Self { limit, after })
    }

    /// The page of these targets.
    pub fn cut<'a>(
        &self,
        active: impl Iterator<Item = &'a ActiveTarget>,
        dropped: impl Iterator<Item = &'a Labels>,
    ) -> Page<'a> {
        let Some(limit) = self.limit else {
            return Page {
                active: active.map(active_json).collect(),
                dropped: dropped.map(dropped_json).collect(),
                next: None,
            };
        };
        let active = active.map(|t| (Place::of_active(t), One::Active(active_json(t))));
        let dropped = dropped.map(|t| (Place::of_dropped(t), One::Dropped(dropped_json(t))));
        let mut wanted: Vec<_> =
            active.chain(dropped).filter(|(place, _)| self.after.as_ref().is_none_or(|after| place > after)).collect();
        wanted.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut page = Page::default();
        let (mut count, mut bytes) = (0, 0);
        let mut last: Option<Place> = None;
        for (place, one) in wanted {
            bytes += one.bytes();
            // Those of one place stay together: the next page begins after it.
            if (count >= limit || bytes > PAGE_BYTES_MAX)
                && let Some(last) = last.filter(|last| *last != place)
            {
                page.next = serde_json::to_string(&last).ok();
                break;
            }
            count += 1;
            last = Some(place);
            match one {
                One::Active(target) => page.active.push(target),
                One::Dropped(target) => page.dropped.push(target),
            }
        }
        page
    }
}

#[allow(clippy::large_enum_variant, reason = "most are active")]
enum One<'a> {
    Active(ActiveJson<'a>),
    Dropped(DroppedJson<'a>),
}

impl One<'_> {
    fn bytes(&self) -> usize {
        let json = match self {
            Self::Active(target) => serde_json::to_vec(target),
            Self::Dropped(target) => serde_json::to_vec(target),
        };
        json.map_or(0, |json| json.len() + 1)
    }
}

impl Place {
    fn of_active(target: &ActiveTarget) -> Self {
        let digest = digest(&[&target.discovered_labels, &target.labels]);
        Self(false, target.scrape_pool.clone(), target.scrape_url.clone(), digest)
    }

    fn of_dropped(labels: &Labels) -> Self {
        Self(true, pool_of(labels).to_owned(), String::new(), digest(&[labels]))
    }
}

/// Labels may be long; a token goes into an address.
fn digest(labels: &[&Labels]) -> String {
    let mut hash = Sha256::new();
    labels.iter().for_each(|labels| hash.update(labels.to_string()));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use storage::TargetHealth;

    use super::*;

    fn labels(n: usize) -> Labels {
        let (instance, long) = (format!("host-{n}:80"), "y".repeat(300));
        Labels::from_pairs([("instance", instance.as_str()), ("job", "j"), ("x", long.as_str())])
    }

    fn target(pool: usize, n: usize) -> ActiveTarget {
        ActiveTarget {
            discovered_labels: labels(n),
            labels: labels(n),
            scrape_pool: format!("job-{pool}"),
            scrape_url: format!("http://host-{n}:80/metrics"),
            global_url: String::new(),
            last_error: String::new(),
            last_scrape_ns: None,
            last_scrape_duration_s: 0.0,
            health: TargetHealth::Up,
        }
    }

    fn pages(limit: &str, next: &str) -> Result<Pages, ApiError> {
        Pages::of(&Params::of(&[("limit", limit), ("next", next)]))
    }

    fn texts(page: &Page<'_>) -> Vec<String> {
        let active = page.active.iter().map(|t| serde_json::to_string(t).unwrap());
        active.chain(page.dropped.iter().map(|t| serde_json::to_string(t).unwrap())).collect()
    }

    #[test]
    fn pages_have_each_target_once_and_are_bounded() {
        let mut active: Vec<_> = (0..1200).rev().map(|n| target(n % 3, n)).collect();
        // One target that two servers know.
        active.push(target(1, 1));
        let dropped: Vec<_> = (2000..2050).map(labels).collect();
        let cut = |limit: &str, next: &str| pages(limit, next).unwrap().cut(active.iter(), dropped.iter());
        let all = cut("", "");
        assert_eq!((all.active.len(), all.dropped.len(), &all.next), (1201, 50, &None));
        let mut wanted = texts(&all);
        wanted.sort();
        for limit in ["90", "100000"] {
            let (mut seen, mut next, mut count) = (Vec::new(), String::new(), 0);
            loop {
                let page = cut(limit, &next);
                let items = texts(&page);
                assert!(items.iter().map(|json| json.len() + 1).sum::<usize>() < 200_000);
                seen.extend(items);
                count += 1;
                match page.next {
                    Some(token) => next = token,
                    None => break,
                }
            }
            seen.sort();
            assert!(seen == wanted && count > 3, "{limit}: {} in {count} pages", seen.len());
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 1250);
        }
    }

    #[test]
    fn what_makes_no_sense() {
        assert!(pages("0", "").is_err() && pages("x", "").is_err() && pages("5", "x").is_err());
    }
}
