//! `kubernetes_sd_configs`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{Error, Node, is_default};

/// What is discovered in a Kubernetes cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names are Kubernetes' own")]
pub enum KubernetesRole {
    Node,
    Service,
    Pod,
    Endpoints,
    EndpointSlice,
    Ingress,
}

impl KubernetesRole {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Service => "service",
            Self::Pod => "pod",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// The roles that selectors of this role may have.
    fn selectors(self) -> &'static [Self] {
        match self {
            Self::Pod => &[Self::Pod, Self::Node],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::Node => &[Self::Node],
            Self::Service => &[Self::Service],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

/// A section of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KubernetesConfig {
    /// URL of the API server; `None`: the one of the cluster that this process runs in, or of `kubeconfig_file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<String>,
    /// What is discovered.
    pub role: KubernetesRole,
    /// Names the API server and how to log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig_file: Option<PathBuf>,
    /// Where it is looked for.
    #[serde(skip_serializing_if = "is_default")]
    pub namespaces: Namespaces,
    /// Which objects count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
    /// What else is told of a target.
    #[serde(skip_serializing_if = "is_default")]
    pub attach_metadata: AttachMetadata,
    /// How the API server is spoken to.
    #[serde(flatten)]
    pub http: ClientConfig,
}

/// The namespaces that are looked into.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespaces {
    /// The namespace that this process runs in is one of them.
    pub own_namespace: bool,
    /// Names of namespaces. Default: all.
    pub names: Vec<String>,
}

/// A condition that the API server applies.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The kind of object it is for. Required.
    pub role: KubernetesRole,
    /// A label selector.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// A field selector.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// Labels from other objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttachMetadata {
    /// Labels and annotations of a pod's node.
    pub node: bool,
    /// Labels and annotations of the namespace.
    pub namespace: bool,
    /// The name of a pod's deployment.
    pub deployment: bool,
    /// The name of a pod's job.
    pub job: bool,
    /// The name of the cron job behind a pod's job.
    pub cronjob: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KubernetesYaml {
    /// URL of the API server. Default: that of the cluster that this process runs in.
    api_server: Option<String>,
    /// What is discovered: `node`, `service`, `pod`, `endpoints`, `endpointslice` or `ingress`. Required.
    role: Option<KubernetesRole>,
    /// File that names the API server and how to log in.
    kubeconfig_file: Option<PathBuf>,
    /// Where it is looked for.
    namespaces: Namespaces,
    /// Which objects count.
    selectors: Vec<Selector>,
    /// What else is told of a target.
    attach_metadata: AttachMetadata,
}

impl KubernetesConfig {
    /// Reads a section.
    ///
    /// # Errors
    /// What Prometheus refuses, with its place.
    pub fn from_node(node: &Node) -> Result<Self, Error> {
        let (yaml, http): (KubernetesYaml, _) = super::with_http(node)?;
        let Some(role) = yaml.role else {
            let why = "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)";
            return Err(node.error_at("role", why));
        };
        let api_server = yaml.api_server.filter(|url| !url.is_empty());
        let kubeconfig_file = yaml.kubeconfig_file.filter(|path| !path.as_os_str().is_empty());
        let config = Self {
            api_server,
            role,
            kubeconfig_file,
            namespaces: yaml.namespaces,
            selectors: yaml.selectors,
            attach_metadata: yaml.attach_metadata,
            http,
        };
        config.check().map_err(|(key, why)| node.error_at(key, why))?;
        config.check_selectors(node)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let refuse = |wrong: bool, key, why: &str| if wrong { Err((key, why.to_owned())) } else { Ok(()) };
        let (server, file, own) = (&self.api_server, self.kubeconfig_file.is_some(), self.namespaces.own_namespace);
        if let Some(url) = server {
            url::Url::parse(url).map_err(|e| ("api_server", format!("{url:?}: {e}")))?;
        }
        refuse(
            server.is_some() && file,
            "kubeconfig_file",
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        )?;
        refuse(
            file && !self.http.is_plain(),
            "kubeconfig_file",
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        )?;
        refuse(
            server.is_none() && !self.http.is_plain(),
            "role",
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        )?;
        refuse(
            server.is_some() && own,
            "namespaces",
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        )?;
        refuse(file && own, "namespaces", "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously")
    }

    fn check_selectors(&self, node: &Node) -> Result<(), Error> {
        let nodes = node.get("selectors").map(Node::list).transpose()?.unwrap_or_default();
        for (i, (selector, node)) in self.selectors.iter().zip(nodes).enumerate() {
            let (role, allowed) = (selector.role, self.role.selectors());
            if self.selectors.iter().take(i).any(|before| before.role == role) {
                return Err(node.error_at("role", format!("duplicated selector role: {}", role.name())));
            }
            if !allowed.contains(&role) {
                let names: Vec<&str> = allowed.iter().map(|role| role.name()).collect();
                let why = format!("{} role supports only {} selectors", self.role.name(), names.join(", "));
                return Err(node.error_at("role", why));
            }
            check_field(&selector.field).map_err(|why| node.error_at("field", why))?;
            check_label(&selector.label).map_err(|why| node.error_at("label", why))?;
        }
        Ok(())
    }
}

fn check_field(selector: &str) -> Result<(), String> {
    let bad = selector.split(',').find(|term| !term.is_empty() && !term.contains('='));
    bad.map_or(Ok(()), |term| Err(format!("invalid selector: {selector:?}; can't understand {term:?}")))
}

/// Checks each requirement of a label selector for a key that can be one.
fn check_label(selector: &str) -> Result<(), String> {
    let mut depth = 0_i32;
    // Commas in parentheses part values.
    let terms = selector.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    });
    for term in terms.filter(|term| !term.trim().is_empty()) {
        let term = term.trim().trim_start_matches('!').trim_start();
        let end = term.find(|c: char| c.is_whitespace() || "=!<>(".contains(c)).unwrap_or(term.len());
        let (key, rest) = term.split_at(end);
        let rest = rest.trim_start();
        let operators = ["==", "=", "!=", ">", "<", "in", "notin"];
        let known = rest.is_empty() || operators.iter().any(|operator| rest.starts_with(operator));
        let valid = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if !known || !valid {
            return Err(format!("invalid selector: {selector:?}; can't understand {term:?}"));
        }
    }
    if selector.matches('(').count() == selector.matches(')').count() {
        Ok(())
    } else {
        Err(format!("invalid selector: {selector:?}; parentheses do not match"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        for (label, good) in [
            ("", true),
            ("foo=bar", true),
            ("a in (b, c),!d, e notin (f),g!=h,i", true),
            ("app.kubernetes.io/name==x", true),
            ("a b", false),
            ("=x", false),
            ("a in (b", false),
        ] {
            assert_eq!(check_label(label).is_ok(), good, "{label}");
        }
        assert!(check_field("metadata.name=a,spec.nodeName!=b").is_ok() && check_field("a-b").is_err());
    }
}
