//! The keys of `kubernetes_sd_configs`, refused where Prometheus refuses them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use transport::http::ClientConfig;
use yaml::{Node, is_default};

use crate::selector::{check_fields, check_labels};

/// What kind of object makes targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// One target for each node: its kubelet.
    Node,
    /// One target for each port of each container.
    Pod,
    /// One target for each port of a service.
    Service,
    /// One target for each address and port behind a service, from the older API.
    Endpoints,
    /// One target for each address and port behind a service.
    EndpointSlice,
    /// One target for each path of an ingress.
    Ingress,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::EndpointSlice, Self::Endpoints, Self::Node, Self::Pod, Self::Service, Self::Ingress];

    /// The word in the configuration and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "endpointslice",
            Self::Ingress => "ingress",
        }
    }

    /// The roles whose objects a configuration of this role may select from.
    fn selectable(self) -> &'static [Self] {
        match self {
            Self::Node => &[Self::Node],
            Self::Pod => &[Self::Pod, Self::Node],
            Self::Service => &[Self::Service],
            Self::Endpoints => &[Self::Pod, Self::Service, Self::Endpoints],
            Self::EndpointSlice => &[Self::Pod, Self::Service, Self::EndpointSlice],
            Self::Ingress => &[Self::Ingress],
        }
    }
}

/// One entry of `kubernetes_sd_configs`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KubernetesSdConfig {
    /// URL of the API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_server: Option<String>,
    /// What kind of object makes targets.
    pub role: Role,
    /// File that says where the API server is and who the client is; empty if there is none.
    pub kubeconfig_file: PathBuf,
    /// The HTTP client; of use with `api_server` only.
    #[serde(flatten)]
    pub client: ClientConfig,
    /// Where to look.
    #[serde(skip_serializing_if = "is_default")]
    pub namespaces: Namespaces,
    /// Which objects are asked for, at most one for each role.
    #[serde(skip_serializing_if = "is_default")]
    pub selectors: Vec<Selector>,
    /// What targets are told beside their own object.
    #[serde(skip_serializing_if = "is_default")]
    pub attach_metadata: AttachMetadata,
}

/// The keys that are not the HTTP client's.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct KubernetesYaml {
    /// URL of the API server. Default: the one of the cluster that the program runs in.
    api_server: Option<String>,
    /// `node`, `pod`, `service`, `endpoints`, `endpointslice` or `ingress`. Required.
    role: Option<Role>,
    /// File that says where the API server is and who the client is. Stands in place of `api_server` and of the keys of the
    /// HTTP client.
    kubeconfig_file: PathBuf,
    /// Where to look. Default: in all namespaces.
    namespaces: Namespaces,
    /// Which objects are asked for. Default: all.
    selectors: Vec<Selector>,
    /// What targets are told beside their own object.
    attach_metadata: AttachMetadata,
}

/// Where to look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Namespaces {
    /// Also the namespace that the program's own pod is in.
    pub own_namespace: bool,
    /// Names of namespaces.
    pub names: Vec<String>,
}

/// Restricts the objects of one role that the API server is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Whose objects are meant. Required.
    pub role: Role,
    /// Label selector, such as `app=web,tier in (front,back)`. Default: every object.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label: String,
    /// Field selector, such as `spec.nodeName=n1`. Default: every object.
    #[serde(default, skip_serializing_if = "is_default")]
    pub field: String,
}

/// What targets are told beside their own object. Each of these needs the right to list and watch one resource more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttachMetadata {
    /// Labels and annotations of the node, for pods and endpoints.
    pub node: bool,
    /// Labels and annotations of the namespace, for all but nodes.
    pub namespace: bool,
    /// Name of the deployment that a pod belongs to.
    pub deployment: bool,
    /// Name of the job that a pod belongs to.
    pub job: bool,
    /// Name of the cron job that a pod belongs to.
    pub cronjob: bool,
}

impl KubernetesSdConfig {
    /// Reads and checks one entry of the list.
    ///
    /// # Errors
    /// What Prometheus refuses too, at its place in the file.
    pub fn from_section(section: Node) -> Result<Self, yaml::Error> {
        let (client, own) = section.split(ClientConfig::has_key)?;
        let keys: KubernetesYaml = own.decode()?;
        let Some(role) = keys.role else {
            return Err(own.error("role missing (one of: pod, service, endpoints, endpointslice, node, ingress)"));
        };
        let config = Self {
            api_server: keys.api_server.filter(|url| !url.is_empty()),
            role,
            kubeconfig_file: keys.kubeconfig_file,
            client: ClientConfig::from_section(&client)?,
            namespaces: keys.namespaces,
            selectors: keys.selectors,
            attach_metadata: keys.attach_metadata,
        };
        config.check().map_err(|(key, why)| own.error_at(key, why))?;
        Ok(config)
    }

    /// Makes names of files that are relative count from `folder`, the one of the configuration's file.
    pub fn resolve_paths(&mut self, folder: &Path) {
        self.client.resolve_paths(folder);
        if !self.kubeconfig_file.as_os_str().is_empty() {
            self.kubeconfig_file = folder.join(&self.kubeconfig_file);
        }
    }

    /// The key at fault, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, String)> {
        let refuse = |wrong: bool, key, why: &str| if wrong { Err((key, why.to_owned())) } else { Ok(()) };
        let (server, file) = (self.api_server.is_some(), !self.kubeconfig_file.as_os_str().is_empty());
        let (own_client, own_namespace) = (!self.client.is_plain(), self.namespaces.own_namespace);
        refuse(
            server && file,
            "kubeconfig_file",
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously: remove one of them",
        )?;
        refuse(
            file && own_client,
            "kubeconfig_file",
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file': the file says how to connect",
        )?;
        refuse(
            !server && own_client,
            "role",
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        )?;
        refuse(
            server && own_namespace,
            "namespaces",
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously: name the namespace",
        )?;
        refuse(
            file && own_namespace,
            "namespaces",
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously: name the namespace",
        )?;
        if let Some(Err(e)) = self.api_server.as_deref().map(url::Url::parse)
            && e != url::ParseError::RelativeUrlWithoutBase
        {
            return Err(("api_server", format!("no URL: {e}")));
        }
        self.check_selectors().map_err(|why| ("selectors", why))
    }

    fn check_selectors(&self) -> Result<(), String> {
        for (i, selector) in self.selectors.iter().enumerate() {
            let name = selector.role.as_str();
            if self.selectors.iter().take(i).any(|before| before.role == selector.role) {
                return Err(format!("duplicated selector role: {name}"));
            }
            let allowed = self.role.selectable();
            if !allowed.contains(&selector.role) {
                let names: Vec<&str> = allowed.iter().map(|role| role.as_str()).collect();
                return Err(format!("{} role supports only {} selectors", self.role.as_str(), names.join(", ")));
            }
            check_fields(&selector.field)?;
            check_labels(&selector.label)?;
        }
        Ok(())
    }
}
