//! Instances of services, and the targets that they are.

use std::collections::BTreeMap;

use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use serde::Deserialize;

/// An instance of a service, as `/v1/health/service` gives it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instance {
    /// The node that it is registered at.
    pub node: Node,
    /// The instance itself.
    pub service: Service,
    /// Checks of the instance and of its node.
    #[serde(deserialize_with = "nullable")]
    pub checks: Vec<Check>,
}

/// A node.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are Consul's own")]
pub struct Node {
    pub node: String,
    pub address: String,
    #[serde(deserialize_with = "nullable")]
    pub tagged_addresses: BTreeMap<String, String>,
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
}

/// What an instance says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are Consul's own")]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    pub address: String,
    pub port: i64,
    #[serde(deserialize_with = "nullable")]
    pub tags: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub meta: BTreeMap<String, String>,
    pub namespace: String,
    pub partition: String,
}

/// The state of one check.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs, reason = "the names are Consul's own")]
pub struct Check {
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub status: String,
}

/// Go writes empty lists and maps as `null`.
fn nullable<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// The state of all checks together, as Consul's own client puts them.
fn health(checks: &[Check]) -> &'static str {
    let mut worst = "passing";
    for check in checks {
        if check.check_id == "_node_maintenance" || check.check_id.starts_with("_service_maintenance:") {
            return "maintenance";
        }
        worst = match (check.status.as_str(), worst) {
            ("critical", _) | (_, "critical") => "critical",
            ("warning", _) | (_, "warning") => "warning",
            ("passing", worst) => worst,
            _ => return "",
        };
    }
    worst
}

/// A name with `_` for what may not stand in a label's name.
fn sanitized(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// The group of a service.
pub(super) fn group(service: &str, datacenter: &str, separator: &str, instances: &[Instance]) -> TargetGroup {
    let pairs = [("__meta_consul_service", service), ("__meta_consul_dc", datacenter)];
    let mut targets: Vec<Labels> = instances.iter().map(|instance| target(instance, separator)).collect();
    targets.sort();
    TargetGroup {
        source: service.to_owned(),
        targets,
        labels: Labels::from_pairs(pairs.into_iter().filter(|(_, value)| !value.is_empty())),
    }
}

fn target(instance: &Instance, separator: &str) -> Labels {
    let Instance { node, service, checks } = instance;
    // The separator stands at both ends, too, so that expressions need not care where a tag stands.
    let tags = format!("{separator}{}{separator}", service.tags.join(separator));
    let host = if service.address.is_empty() { &node.address } else { &service.address };
    let address = match host.contains(':') {
        true => format!("[{host}]:{}", service.port),
        false => format!("{host}:{}", service.port),
    };
    let fixed = [
        (ADDRESS_LABEL, address),
        ("__meta_consul_address", node.address.clone()),
        ("__meta_consul_node", node.node.clone()),
        ("__meta_consul_namespace", service.namespace.clone()),
        ("__meta_consul_partition", service.partition.clone()),
        ("__meta_consul_tags", tags),
        ("__meta_consul_service_address", service.address.clone()),
        ("__meta_consul_service_port", service.port.to_string()),
        ("__meta_consul_service_id", service.id.clone()),
        ("__meta_consul_health", health(checks).to_owned()),
    ];
    let mut pairs: BTreeMap<String, String> = fixed.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (prefix, map) in [
        ("__meta_consul_metadata_", &node.meta),
        ("__meta_consul_service_metadata_", &service.meta),
        ("__meta_consul_tagged_address_", &node.tagged_addresses),
    ] {
        pairs.extend(map.iter().map(|(name, value)| (format!("{prefix}{}", sanitized(name)), value.clone())));
    }
    Labels::from_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_of_all_checks() {
        let of = |list: &[(&str, &str)]| {
            let check = |(id, status): &(&str, &str)| Check { check_id: (*id).into(), status: (*status).into() };
            health(&list.iter().map(check).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), "passing");
        assert_eq!(of(&[("a", "passing"), ("b", "warning")]), "warning");
        assert_eq!(of(&[("a", "critical"), ("b", "warning")]), "critical");
        assert_eq!(of(&[("a", "critical"), ("_node_maintenance", "critical")]), "maintenance");
        assert_eq!(of(&[("_service_maintenance:web", "critical")]), "maintenance");
        assert_eq!(of(&[("a", "odd")]), "");
    }

    #[test]
    fn labels_of_an_instance() {
        let json = r#"{
            "Node": {"Node": "n1", "Address": "1.1.1.1", "Datacenter": "dc", "TaggedAddresses": {"wan": "2.2.2.2"},
                     "Meta": {"rack.name": "2304"}},
            "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 80, "Tags": ["a", "b"],
                        "Meta": {"version": "1.0"}, "Namespace": "ns", "Partition": "part"},
            "Checks": [{"CheckID": "c", "Status": "passing"}]}"#;
        let instance: Instance = serde_json::from_str(json).unwrap();
        let group = group("web", "dc", ",", &[instance]);
        assert_eq!(group.labels, Labels::from_pairs([("__meta_consul_service", "web"), ("__meta_consul_dc", "dc")]));
        let want = Labels::from_pairs([
            ("__address__", "1.1.1.1:80"),
            ("__meta_consul_address", "1.1.1.1"),
            ("__meta_consul_node", "n1"),
            ("__meta_consul_namespace", "ns"),
            ("__meta_consul_partition", "part"),
            ("__meta_consul_tags", ",a,b,"),
            ("__meta_consul_service_port", "80"),
            ("__meta_consul_service_id", "web-1"),
            ("__meta_consul_health", "passing"),
            ("__meta_consul_metadata_rack_name", "2304"),
            ("__meta_consul_service_metadata_version", "1.0"),
            ("__meta_consul_tagged_address_wan", "2.2.2.2"),
        ]);
        assert_eq!(group.targets, [want]);
        let null: Instance =
            serde_json::from_str(r#"{"Node": {"Address": "::1", "Meta": null}, "Service": {"Tags": null}}"#).unwrap();
        assert_eq!(target(&null, ",").get(ADDRESS_LABEL), Some("[::1]:0"));
    }
}
