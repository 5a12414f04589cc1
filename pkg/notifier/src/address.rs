//! From discovered targets to the URLs of Alertmanagers.

use discovery::TargetSet;
use labels::{Builder, Labels};
use model::ADDRESS_LABEL;

use crate::config::AlertmanagerSet;

const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";
const API: &str = "/api/v2/alerts";

/// The Alertmanagers of a set: URLs that alerts are posted to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// In the order of discovery, each once.
    pub urls: Vec<String>,
    /// Those that relabelling dropped.
    pub dropped: Vec<String>,
    /// What is wrong with others.
    pub wrong: Vec<String>,
}

/// Makes the URLs of a set.
pub(crate) fn find(set: &AlertmanagerSet, targets: &TargetSet) -> Found {
    let mut found = Found::default();
    for group in &targets.groups {
        for target in &group.targets {
            let mut labels = discovered(set, target, &group.labels);
            let before = url(&labels);
            let kept = relabel::apply_to(&set.relabel, &mut labels);
            let list = match (kept, url(&labels)) {
                (true, Ok(url)) => (&mut found.urls, url),
                (true, Err(why)) => (&mut found.wrong, why),
                (false, _) => (&mut found.dropped, before.unwrap_or_else(|why| why)),
            };
            if !list.0.contains(&list.1) {
                list.0.push(list.1);
            }
        }
    }
    found
}

/// The labels before relabelling.
fn discovered(set: &AlertmanagerSet, target: &Labels, group: &Labels) -> Builder {
    let mut labels = Builder::from_labels(target);
    for (name, value) in group {
        if target.get(name).is_none() {
            labels.set(name, value);
        }
    }
    let prefix = set.path_prefix.trim_matches('/');
    let path = if prefix.is_empty() { API.to_owned() } else { format!("/{prefix}{API}") };
    for (name, value) in [(SCHEME, set.scheme.as_str()), (PATH, &path)] {
        if labels.value(name).is_empty() {
            labels.set(name, value);
        }
    }
    labels
}

fn url(labels: &Builder) -> Result<String, String> {
    let (scheme, address, path) = (labels.value(SCHEME), labels.value(ADDRESS_LABEL), labels.value(PATH));
    if address.is_empty() {
        return Err("an Alertmanager without an address".to_owned());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    if scheme != "http" && scheme != "https" {
        return Err(format!("Alertmanager {address}: unsupported scheme {scheme:?}: http and https are known"));
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{scheme}://{address}{slash}{path}");
    match reqwest::Url::parse(&url) {
        Ok(_) => Ok(url),
        Err(e) => Err(format!("{url:?} is no URL: {e}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use model::TargetGroup;
    use transport::http::ClientConfig;

    use super::*;

    fn set(prefix: &str, rules: &str) -> AlertmanagerSet {
        AlertmanagerSet {
            name: "config-0".to_owned(),
            scheme: "http".to_owned(),
            path_prefix: prefix.to_owned(),
            timeout: Duration::from_secs(1),
            relabel: relabel::parse_rules(rules).unwrap().into(),
            alert_relabel: Arc::default(),
            client: ClientConfig::default().build().unwrap(),
            signer: None,
        }
    }

    fn targets(addresses: &[&str], labels: &[(&str, &str)]) -> TargetSet {
        let group = TargetGroup {
            source: "0".to_owned(),
            targets: addresses.iter().map(|a| Labels::from_pairs([(ADDRESS_LABEL, a)])).collect(),
            labels: Labels::from_pairs(labels.iter().copied()),
        };
        TargetSet { groups: vec![Arc::new(group)], failures: Vec::new() }
    }

    #[test]
    fn urls_have_scheme_address_and_prefix() {
        let found = find(&set("/am/", ""), &targets(&["a:9093", "b:9093", "a:9093"], &[]));
        assert_eq!(found.urls, ["http://a:9093/am/api/v2/alerts", "http://b:9093/am/api/v2/alerts"]);
        let found = find(&set("", ""), &targets(&["a:1"], &[("__scheme__", "https")]));
        assert_eq!(found.urls, ["https://a:1/api/v2/alerts"]);
    }

    #[test]
    fn relabelling_drops_and_changes() {
        let rules = "- {source_labels: [__address__], regex: 'b.*', action: drop}\n\
                     - {target_label: __alerts_path__, replacement: /x}";
        let found = find(&set("", rules), &targets(&["a:1", "b:1"], &[]));
        assert_eq!(found.urls, ["http://a:1/x"]);
        assert_eq!(found.dropped, ["http://b:1/api/v2/alerts"]);
    }

    #[test]
    fn what_is_no_address_is_told() {
        let found = find(&set("", ""), &targets(&["http://a:1", "c:1"], &[]));
        assert_eq!(found.urls, ["http://c:1/api/v2/alerts"]);
        assert_eq!(found.wrong, ["\"http://a:1\" is not a valid hostname"]);
    }
}
