//! Alerts on their way out: their links, and the Alertmanagers behind names and files.

use std::sync::Arc;

use discovery::{Snapshot, TargetSet};
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use notifier::{Alert, Notify};
use url::form_urlencoded;

use crate::addresses::AddressBook;
use crate::metrics::RulerMetrics;

/// The link of an alert: a template with `{{.Expr}}` in it.
#[derive(Debug, Clone)]
pub struct LinkTemplate {
    parts: Vec<String>,
    base: String,
}

impl LinkTemplate {
    /// A template behind the URL of a querier.
    ///
    /// # Errors
    /// Actions other than `{{.Expr}}`.
    pub fn new(base: &str, template: &str) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), template);
        while let Some((before, behind)) = rest.split_once("{{") {
            let (action, after) = behind.split_once("}}").ok_or("{{ without }}")?;
            if action.trim_matches([' ', '-']) != ".Expr" {
                return Err(format!("{{{{{action}}}}} is not known, only {{{{.Expr}}}} is"));
            }
            parts.push(before.to_owned());
            rest = after;
        }
        parts.push(rest.to_owned());
        Ok(Self { parts, base: base.trim_end_matches('/').to_owned() })
    }

    /// The link for an expression.
    fn link(&self, expr: &str) -> String {
        let escaped: String = form_urlencoded::byte_serialize(expr.as_bytes()).collect();
        format!("{}{}", self.base, self.parts.join(&escaped))
    }
}

/// Gives alerts their links and hands them on.
#[derive(Debug)]
pub struct Linked {
    pub template: LinkTemplate,
    pub to: Arc<dyn Notify>,
    pub metrics: Arc<RulerMetrics>,
}

impl Notify for Linked {
    fn notify(&self, alerts: Vec<Arc<Alert>>) {
        self.metrics.alerts_pushed.inc_by(alerts.len() as u64);
        let linked = |alert: Arc<Alert>| match expression(&alert.generator_url) {
            Some(expr) => {
                let generator_url = self.template.link(&expr);
                Arc::new(Alert { generator_url, ..(*alert).clone() })
            }
            None => alert,
        };
        self.to.notify(alerts.into_iter().map(linked).collect());
    }
}

/// The expression in a link of Prometheus' form.
fn expression(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "g0.expr").map(|(_, expr)| expr.into_owned())
}

/// The name of a set of Alertmanagers in snapshots.
pub fn set_name(number: usize) -> String {
    format!("alertmanagers-{number}")
}

/// What is known of the Alertmanagers, as the notifier reads it.
pub fn snapshot(book: &AddressBook) -> Snapshot {
    let set = |(number, addresses): (usize, Vec<String>)| {
        let targets = addresses.iter().map(|address| Labels::from_pairs([(ADDRESS_LABEL, address)])).collect();
        let group = TargetGroup { source: "0".to_owned(), targets, labels: Labels::empty() };
        (set_name(number), TargetSet { groups: vec![Arc::new(group)], failures: Vec::new() })
    };
    book.known().into_iter().enumerate().map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let template = LinkTemplate::new("http://q/", "/graph?g0.expr={{.Expr}}&g0.tab=1").unwrap();
        assert_eq!(template.link("up == 0"), "http://q/graph?g0.expr=up+%3D%3D+0&g0.tab=1");
        assert_eq!(expression("http://x/graph?g0.expr=up+%3D%3D+0&g0.tab=1").as_deref(), Some("up == 0"));
        assert_eq!(LinkTemplate::new("", "/x").unwrap().link("a"), "/x");
        assert!(LinkTemplate::new("", "{{.Other}}").unwrap_err().contains("only {{.Expr}}"));
        assert!(LinkTemplate::new("", "{{.Expr").is_err());
    }
}
