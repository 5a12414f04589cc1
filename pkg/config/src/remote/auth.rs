//! Ways to authenticate that only some servers have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use yaml::{Secret, is_default};

/// Signs requests for AWS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigV4 {
    /// Region. Default: that of AWS' own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Access key.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key: String,
    /// Secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<Secret>,
    /// Profile in AWS' own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Role that is taken.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_arn: String,
    /// Id that the role is taken with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// Whether the token service is the one with FIPS.
    #[serde(skip_serializing_if = "is_default")]
    pub use_fips_sts_endpoint: bool,
    /// Name of the service that requests are signed for. Default: `aps`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_name: String,
}

/// Tokens of Azure AD: at most one of four ways to get them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureAd {
    /// With the identity of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity: Option<BTreeMap<String, Secret>>,
    /// With the secret of a client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<BTreeMap<String, Secret>>,
    /// With Azure's own settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sdk: Option<BTreeMap<String, Secret>>,
    /// With the identity of a workload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<BTreeMap<String, Secret>>,
    /// Azure's cloud. Default: `AzurePublic`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cloud: String,
    /// What the token is asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub scope: String,
}

/// Tokens of Google Cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoogleIam {
    /// File with the credentials. Default: Google's own settings.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credentials_file: String,
}

impl AzureAd {
    pub(super) fn check(&self) -> Result<(), String> {
        let ways = [
            ("managed_identity", &self.managed_identity, &["client_id"][..]),
            ("oauth", &self.oauth, &["client_id", "client_secret", "tenant_id"]),
            ("sdk", &self.sdk, &["tenant_id"]),
            ("workload_identity", &self.workload_identity, &["client_id", "tenant_id", "token_file_path"]),
        ];
        let set: Vec<_> = ways.iter().filter_map(|(name, way, keys)| Some((name, way.as_ref()?, keys))).collect();
        let [(name, way, keys)] = set.as_slice() else {
            return Err(
                "exactly one of managed_identity, oauth, sdk and workload_identity must be configured".to_owned()
            );
        };
        match way.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(format!("unknown key {key:?} in {name}")),
            None => Ok(()),
        }
    }
}
