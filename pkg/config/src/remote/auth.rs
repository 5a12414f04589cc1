//! Ways to authenticate that only some servers have.

use std::collections::BTreeMap;

use cloud_auth::{AwsConfig, AzureConfig, AzureIdentity, CloudAuth, GoogleConfig};
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

impl SigV4 {
    /// As the signer of requests wants it.
    pub(crate) fn signing(&self) -> CloudAuth {
        CloudAuth::Aws(AwsConfig {
            region: self.region.clone(),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
            profile: self.profile.clone(),
            role_arn: self.role_arn.clone(),
            external_id: self.external_id.clone(),
            use_fips_sts_endpoint: self.use_fips_sts_endpoint,
            service_name: self.service_name.clone(),
        })
    }
}

impl GoogleIam {
    /// As the signer of requests wants it.
    pub(crate) fn signing(&self) -> CloudAuth {
        CloudAuth::Google(GoogleConfig { credentials_file: self.credentials_file.clone() })
    }
}

impl AzureAd {
    /// As the signer of requests wants it.
    pub(crate) fn signing(&self) -> CloudAuth {
        let get = |way: &BTreeMap<String, Secret>, key: &str| way.get(key).map(|v| v.0.clone()).unwrap_or_default();
        let identity = if let Some(way) = &self.managed_identity {
            AzureIdentity::Machine { client_id: get(way, "client_id") }
        } else if let Some(way) = &self.oauth {
            AzureIdentity::Application {
                client_id: get(way, "client_id"),
                client_secret: Secret(get(way, "client_secret")),
                tenant_id: get(way, "tenant_id"),
            }
        } else if let Some(way) = &self.workload_identity {
            AzureIdentity::Workload {
                client_id: get(way, "client_id"),
                tenant_id: get(way, "tenant_id"),
                token_file: get(way, "token_file_path").into(),
            }
        } else {
            let tenant_id = self.sdk.as_ref().map(|way| get(way, "tenant_id")).unwrap_or_default();
            AzureIdentity::Environment { tenant_id }
        };
        CloudAuth::Azure(AzureConfig { cloud: self.cloud.clone(), scope: self.scope.clone(), identity })
    }

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
