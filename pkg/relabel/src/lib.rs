//! Relabelling: rules that rewrite a label set or refuse it. The same YAML and the same results as Prometheus.
//!
//! ```
//! let rules = relabel::parse_rules("[{action: keep, regex: a|b, source_labels: [cluster]}]").unwrap();
//! let a = labels::Labels::from_pairs([("cluster", "a")]);
//! assert_eq!(relabel::apply(&rules, &a), Some(a));
//! assert_eq!(relabel::apply(&rules, &labels::Labels::from_pairs([("cluster", "c")])), None);
//! ```

mod config;
mod rule;

pub use config::{ConfigError, parse_rules};
pub use rule::{Action, Rule, apply, apply_to};
