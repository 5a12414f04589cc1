//! How long which series are kept, at which resolution.

use block::BlockMeta;
use labels::{MatchType, Matcher};
use merge::Deletion;
use model::Resolution;
use serde::Deserialize;

use crate::group;
use crate::output::RETENTION_PREFIX;

/// A rule may have to be written as so many deletions, not more.
const DELETIONS_MAX: usize = 256;

/// For each of [`Resolution::ALL`], ms; 0 = for ever.
pub type Retention = [i64; 3];

/// Rules, the first that matches holds; then the default.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    default: Retention,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    matchers: Vec<Matcher>,
    retention: Retention,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyYaml {
    /// Rules; the first whose `match` holds for a series decides. Series without a rule are kept by
    /// `--retention.resolution-…`.
    #[serde(default)]
    rules: Vec<RuleYaml>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleYaml {
    /// Name of the rule, for errors and logs. Required.
    name: String,
    /// Series selector, which sees external labels too. One of its matchers must not match the empty string. Required.
    #[serde(rename = "match")]
    selector: String,
    /// How long raw samples are kept; `0d` means for ever. Default: `--retention.resolution-raw`.
    #[serde(default)]
    raw: Option<String>,
    /// The same for the resolution of 5 m. Default: `--retention.resolution-5m`.
    #[serde(default, rename = "5m")]
    five_minutes: Option<String>,
    /// The same for the resolution of 1 h. Default: `--retention.resolution-1h`.
    #[serde(default, rename = "1h")]
    hour: Option<String>,
}

/// What the policy says of a block.
#[derive(Debug, Clone)]
pub enum Verdict {
    Keep,
    /// All of it is due, by the rule of this name.
    Whole {
        /// `""` = the default.
        rule: String,
        /// ms.
        retention_ms: i64,
        /// The same rule's, at all resolutions.
        retention: Retention,
    },
    /// Some of its series are due.
    Partly(Vec<Due>),
}

/// Series that are due by one rule.
#[derive(Debug, Clone)]
pub struct Due {
    /// Identifies this deletion in the meta of the rewritten block.
    pub id: String,
    pub deletions: Vec<Deletion>,
    /// The rule's retention at all resolutions.
    pub retention: Retention,
}

impl Policy {
    pub fn new(default: Retention) -> Self {
        Self { rules: Vec::new(), default }
    }

    /// Rules from YAML, over `default`.
    ///
    /// # Errors
    /// What is wrong, with the rule's name.
    pub fn parse(yaml: &str, default: Retention) -> Result<Self, String> {
        let parsed: PolicyYaml = flags::parse_yaml(yaml)?;
        let mut rules = Vec::with_capacity(parsed.rules.len());
        for rule in parsed.rules {
            let wrong = |what: String| format!("rule {:?}: {what}", rule.name);
            let matchers =
                promql_syntax::parse_series_matchers(&rule.selector).map_err(|e| wrong(format!("match: {e}")))?;
            if matchers.iter().all(Matcher::matches_empty) {
                return Err(wrong("match: a matcher is needed that does not match the empty text".to_owned()));
            }
            let mut retention = default;
            for (slot, text) in retention.iter_mut().zip([&rule.raw, &rule.five_minutes, &rule.hour]) {
                if let Some(text) = text {
                    *slot = model::parse_duration(text).map_err(|e| wrong(format!("{text:?}: {e}")))?;
                }
            }
            rules.push(Rule { name: rule.name, matchers, retention });
        }
        let policy = Self { rules, default };
        let combinations = policy.rules.iter().map(|r| r.matchers.len().max(1)).try_fold(1_usize, usize::checked_mul);
        if combinations.is_none_or(|c| c > DELETIONS_MAX) {
            return Err(format!(
                "rules with so many matchers together are not supported: their product is above {DELETIONS_MAX}"
            ));
        }
        Ok(policy)
    }

    /// Whether nothing is ever due.
    pub fn keeps_all(&self) -> bool {
        self.default == [0; 3] && self.rules.iter().all(|r| r.retention == [0; 3])
    }

    /// Whether any series of the block's time would be kept at `resolution_ms` still.
    pub fn is_kept_at(&self, meta: &BlockMeta, resolution_ms: i64, now_ms: i64) -> bool {
        let mut downsampled = BlockMeta { max_time: meta.max_time, ..BlockMeta::default() };
        let thanos = downsampled.thanos.get_or_insert_default();
        thanos.labels = group::labels(meta);
        thanos.downsample.resolution = resolution_ms;
        !matches!(self.verdict(&downsampled, now_ms), Verdict::Whole { .. })
    }

    /// What is due of a block at `now_ms`.
    pub fn verdict(&self, meta: &BlockMeta, now_ms: i64) -> Verdict {
        let Some(level) = meta.resolution().map(Resolution::index) else { return Verdict::Keep };
        let labels = group::labels(meta);
        let is_due =
            |retention: &Retention| retention[level] > 0 && now_ms.saturating_sub(meta.max_time) > retention[level];
        // A matcher on an external label matches all series of the block or none.
        let mut applicable: Vec<(&str, Vec<Matcher>, &Retention)> = Vec::new();
        let mut rest: Option<(&str, &Retention)> = Some(("", &self.default));
        for rule in &self.rules {
            let (outer, inner): (Vec<&Matcher>, Vec<&Matcher>) =
                rule.matchers.iter().partition(|m| labels.contains_key(m.name()));
            if outer.iter().any(|m| !m.matches(labels.get(m.name()).map_or("", String::as_str))) {
                continue;
            }
            if inner.is_empty() {
                rest = Some((&rule.name, &rule.retention));
                break;
            }
            applicable.push((&rule.name, inner.into_iter().cloned().collect(), &rule.retention));
        }
        let Some((rest_name, rest)) = rest else { return Verdict::Keep };
        let due = applicable.iter().filter(|(_, _, retention)| is_due(retention)).count();
        match (due, is_due(rest)) {
            (0, false) => Verdict::Keep,
            (n, true) if n == applicable.len() => {
                Verdict::Whole { rule: rest_name.to_owned(), retention_ms: rest[level], retention: *rest }
            }
            (_, rest_is_due) => {
                let mut found = Vec::new();
                let mut kept: Vec<&[Matcher]> = Vec::new();
                for (_, matchers, retention) in &applicable {
                    if is_due(retention) {
                        found.push(due_series(matchers, &kept, **retention));
                    } else {
                        kept.push(matchers);
                    }
                }
                if rest_is_due {
                    found.push(due_series(&[], &kept, *rest));
                }
                Verdict::Partly(found)
            }
        }
    }
}

/// Series with `matchers` that no set of `kept` matches: as many deletions as there are ways to miss each set.
fn due_series(matchers: &[Matcher], kept: &[&[Matcher]], retention: Retention) -> Due {
    let mut all: Vec<Vec<Matcher>> = vec![matchers.to_vec()];
    for set in kept {
        all = all
            .iter()
            .flat_map(|found| {
                set.iter().filter_map(move |m| {
                    let mut longer = found.clone();
                    longer.push(negated(m)?);
                    Some(longer)
                })
            })
            .collect();
    }
    let text: Vec<String> =
        all.iter().flatten().map(|m| format!("{}{}{:?}", m.name(), m.kind().as_str(), m.value())).collect();
    let hash = labels::hash_pairs(text.iter().map(|t| (t.as_str(), "")));
    Due {
        id: format!("{RETENTION_PREFIX}{hash:016x}"),
        deletions: all.into_iter().map(|matchers| Deletion { matchers, ranges: Vec::new() }).collect(),
        retention,
    }
}

fn negated(matcher: &Matcher) -> Option<Matcher> {
    let kind = match matcher.kind() {
        MatchType::Equal => MatchType::NotEqual,
        MatchType::NotEqual => MatchType::Equal,
        MatchType::Regex => MatchType::NotRegex,
        MatchType::NotRegex => MatchType::Regex,
    };
    // The expression was parsed before, so its negation is valid too.
    Matcher::new(kind, matcher.name(), matcher.value()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use block::meta::{Downsample, ThanosMeta};

    const DAY: i64 = 86_400_000;

    fn meta(cluster: &str, max_day: i64, resolution: i64) -> BlockMeta {
        let labels = [("cluster".to_owned(), cluster.to_owned())].into();
        let thanos = Some(ThanosMeta { labels, downsample: Downsample { resolution }, ..ThanosMeta::default() });
        BlockMeta { max_time: max_day * DAY, thanos, ..BlockMeta::default() }
    }

    fn text(verdict: &Verdict) -> String {
        match verdict {
            Verdict::Keep => "keep".to_owned(),
            Verdict::Whole { rule, retention_ms, .. } => format!("whole {rule:?} {}d", retention_ms / DAY),
            Verdict::Partly(due) => {
                let one = |d: &Deletion| {
                    let parts: Vec<_> =
                        d.matchers.iter().map(|m| format!("{}{}{}", m.name(), m.kind().as_str(), m.value())).collect();
                    parts.join(",")
                };
                let all: Vec<String> =
                    due.iter().map(|d| d.deletions.iter().map(one).collect::<Vec<_>>().join(" or ")).collect();
                all.join("; ")
            }
        }
    }

    /// As Thanos' retention by resolution.
    #[test]
    fn by_resolution() {
        for (default, max_day, resolution, want) in [
            ([DAY, 0, 0], 8, 0, "whole \"\" 1d"),
            ([DAY, 0, 0], 9, 0, "keep"),
            ([DAY, 0, 0], 1, 300_000, "keep"),
            ([0, 0, 0], -30_000, 0, "keep"),
            ([DAY, 7 * DAY, 14 * DAY], 2, 300_000, "whole \"\" 7d"),
            ([DAY, 7 * DAY, 14 * DAY], 2, 3_600_000, "keep"),
            ([DAY, 7 * DAY, 14 * DAY], -5, 3_600_000, "whole \"\" 14d"),
            ([DAY, DAY, DAY], 0, 1, "keep"),
        ] {
            let verdict = Policy::new(default).verdict(&meta("a", max_day, resolution), 10 * DAY);
            assert_eq!(text(&verdict), want, "{default:?} {max_day} {resolution}");
        }
    }

    #[test]
    fn rules() {
        let yaml = r#"
rules:
- {name: gold, match: '{cluster="gold"}', raw: 0d}
- {name: slo, match: '{__name__=~"slo:.*", team="a"}', raw: 100d}
- {name: debug, match: '{__name__=~"debug_.*"}', raw: 2d}
- {name: b, match: '{cluster="b"}', raw: 5d}
"#;
        let policy = Policy::parse(yaml, [30 * DAY, 0, 0]).unwrap();
        let kept = "__name__!~slo:.*";
        for (cluster, age_days, want) in [
            ("gold", 1000, "keep".to_owned()),
            ("a", 1, "keep".to_owned()),
            ("a", 3, format!("__name__=~debug_.*,{kept} or __name__=~debug_.*,team!=a")),
            ("a", 31, format!("__name__=~debug_.*,{kept} or __name__=~debug_.*,team!=a; {kept} or team!=a")),
            ("a", 101, "whole \"\" 30d".to_owned()),
            ("b", 6, format!("__name__=~debug_.*,{kept} or __name__=~debug_.*,team!=a; {kept} or team!=a")),
        ] {
            let verdict = policy.verdict(&meta(cluster, 0, 0), age_days * DAY);
            assert_eq!(text(&verdict), want, "{cluster} {age_days}");
        }
        assert!(!policy.keeps_all() && Policy::default().keeps_all());
    }

    #[test]
    fn refuses() {
        for (yaml, want) in [
            ("rules: [{name: a, match: '{x=\"\"}'}]", "rule \"a\": match: a matcher is needed"),
            ("rules: [{name: a, match: '{'}]", "rule \"a\": match:"),
            ("rules: [{name: a, match: '{x=\"y\"}', raw: soon}]", "rule \"a\": \"soon\""),
            ("rules: [{name: a, match: '{x=\"y\"}', 6m: 1d}]", "6m"),
        ] {
            let error = Policy::parse(yaml, [0; 3]).unwrap_err();
            assert!(error.contains(want), "{yaml}: {error}");
        }
    }
}
