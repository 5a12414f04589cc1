//! Relabelling rules of the sections.

use relabel::Rule;
use scrape::config::ValidationScheme;
use yaml::{Error, Node};

/// Checks the names that rules write, where the scheme is `legacy`.
pub(crate) fn check_rules(node: &Node, key: &str, rules: &[Rule], names: ValidationScheme) -> Result<(), Error> {
    if names != ValidationScheme::Legacy {
        return Ok(());
    }
    let nodes = node.get(key).map(Node::list).transpose()?.unwrap_or_default();
    for (rule, node) in rules.iter().zip(nodes) {
        rule.check_legacy_names().map_err(|why| node.error(why))?;
    }
    Ok(())
}
