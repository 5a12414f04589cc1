//! Tokens of Azure AD (Entra ID).

use std::fmt;
use std::path::PathBuf;

use futures::future::BoxFuture;
use http::HeaderValue;
use transport::http::HttpClient;
use yaml::Secret;

use crate::Error;
use crate::env::Env;
use crate::token::{Answer, Cache, client, post, token};

/// Where Kubernetes puts the token of a workload.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";
/// Where a machine asks for its own tokens.
const METADATA: &str = "http://169.254.169.254";

/// Whose token, of which cloud, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureConfig {
    /// `AzurePublic`, `AzureChina` or `AzureGovernment`; empty = the first.
    pub cloud: String,
    /// What the token is asked for; empty = that of Azure Monitor.
    pub scope: String,
    /// Whose token.
    pub identity: AzureIdentity,
}

/// Who asks for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureIdentity {
    /// The machine; with several identities the one of this client id.
    Machine {
        /// Empty = the only one.
        client_id: String,
    },
    /// An application with a secret.
    Application {
        /// Its id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Its directory.
        tenant_id: String,
    },
    /// A workload, by a token that its cluster gives it.
    Workload {
        /// Its id.
        client_id: String,
        /// Its directory.
        tenant_id: String,
        /// File of the cluster's token, read for each token; empty = the usual one.
        token_file: PathBuf,
    },
    /// What the environment says: an application (`AZURE_CLIENT_SECRET`), a workload (`AZURE_FEDERATED_TOKEN_FILE`), or else
    /// the machine.
    Environment {
        /// The directory; empty = `AZURE_TENANT_ID`.
        tenant_id: String,
    },
}

pub(crate) struct Azure {
    client: HttpClient,
    identity: AzureIdentity,
    authority: String,
    metadata: String,
    scope: String,
    cache: Cache,
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure").field("authority", &self.authority).finish_non_exhaustive()
    }
}

impl Azure {
    pub(crate) fn new(config: AzureConfig, env: &Env) -> Result<Self, Error> {
        let (authority, scope) = match config.cloud.as_str() {
            "" | "AzurePublic" => ("https://login.microsoftonline.com", "https://monitor.azure.com//.default"),
            "AzureChina" => ("https://login.chinacloudapi.cn", "https://monitor.azure.cn//.default"),
            "AzureGovernment" => ("https://login.microsoftonline.us", "https://monitor.azure.us//.default"),
            other => {
                let why = "is none of AzurePublic, AzureChina, AzureGovernment";
                return Err(Error::Config(format!("azuread: cloud {other:?} {why}")));
            }
        };
        let or = |name: &str, default: &str| env(name).filter(|v| !v.is_empty()).unwrap_or_else(|| default.to_owned());
        Ok(Self {
            client: client()?,
            identity: identity(config.identity, env),
            authority: or("AZURE_AUTHORITY_HOST", authority).trim_end_matches('/').to_owned(),
            metadata: or("AZURE_POD_IDENTITY_AUTHORITY_HOST", METADATA).trim_end_matches('/').to_owned(),
            scope: if config.scope.is_empty() { scope.to_owned() } else { config.scope },
            cache: Cache::default(),
        })
    }

    pub(crate) async fn header(&self) -> Result<HeaderValue, Error> {
        self.cache.header(|| self.fetch()).await
    }

    fn fetch(&self) -> BoxFuture<'static, Result<Answer, Error>> {
        let request = match &self.identity {
            AzureIdentity::Machine { client_id } => self.of_machine(client_id),
            AzureIdentity::Application { client_id, client_secret, tenant_id } => {
                self.of_application(tenant_id, client_id, &[("client_secret", &client_secret.0)])
            }
            AzureIdentity::Workload { client_id, tenant_id, token_file } => {
                self.of_workload(client_id, tenant_id, token_file)
            }
            AzureIdentity::Environment { .. } => Err(Error::Config("azuread: no identity".to_owned())),
        };
        Box::pin(async move { token(request?, "token of Azure AD").await })
    }

    fn of_application(
        &self,
        tenant_id: &str,
        client_id: &str,
        proof: &[(&str, &str)],
    ) -> Result<reqwest::RequestBuilder, Error> {
        let url = format!("{}/{tenant_id}/oauth2/v2.0/token", self.authority);
        let mut form = vec![("grant_type", "client_credentials"), ("client_id", client_id), ("scope", &self.scope)];
        form.extend_from_slice(proof);
        Ok(post(&self.client, &url)?.form(&form))
    }

    fn of_workload(
        &self,
        client_id: &str,
        tenant_id: &str,
        token_file: &std::path::Path,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let assertion = std::fs::read_to_string(token_file)
            .map_err(|e| Error::Unavailable(format!("azuread: {}: {e}", token_file.display())))?;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let proof = [("client_assertion_type", kind), ("client_assertion", assertion.trim())];
        self.of_application(tenant_id, client_id, &proof)
    }

    fn of_machine(&self, client_id: &str) -> Result<reqwest::RequestBuilder, Error> {
        let resource = self.scope.strip_suffix("/.default").unwrap_or(&self.scope);
        let mut query = vec![("api-version", "2018-02-01"), ("resource", resource)];
        if !client_id.is_empty() {
            query.push(("client_id", client_id));
        }
        let url = format!("{}/metadata/identity/oauth2/token", self.metadata);
        let request = self.client.get(&url).map_err(|e| Error::Config(e.to_string()))?;
        Ok(request.header("Metadata", "true").query(&query))
    }
}

/// What the environment says, where it is to say it.
fn identity(identity: AzureIdentity, env: &Env) -> AzureIdentity {
    let get = |name: &str| env(name).filter(|value| !value.is_empty());
    let (client_id, tenant_id) = match identity {
        AzureIdentity::Environment { tenant_id } => {
            let tenant_id = if tenant_id.is_empty() { get("AZURE_TENANT_ID").unwrap_or_default() } else { tenant_id };
            (get("AZURE_CLIENT_ID").unwrap_or_default(), tenant_id)
        }
        AzureIdentity::Workload { client_id, tenant_id, token_file } if token_file.as_os_str().is_empty() => {
            return AzureIdentity::Workload { client_id, tenant_id, token_file: TOKEN_FILE.into() };
        }
        other => return other,
    };
    match (get("AZURE_CLIENT_SECRET"), get("AZURE_FEDERATED_TOKEN_FILE")) {
        (Some(secret), _) => AzureIdentity::Application { client_id, client_secret: Secret(secret), tenant_id },
        (None, Some(file)) => AzureIdentity::Workload { client_id, tenant_id, token_file: file.into() },
        (None, None) => AzureIdentity::Machine { client_id },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::Request;

    use super::*;
    use crate::{CloudAuth, Signer};

    /// A token server that tells in its token what it was asked.
    async fn server() -> String {
        let answer = |request: Request| async move {
            let uri = request.uri().to_string();
            let metadata = request.headers().contains_key("Metadata");
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
            let said = format!("{uri}|{}|{metadata}", String::from_utf8_lossy(&body));
            serde_json::json!({"access_token": said, "expires_in": "3600"}).to_string()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        format!("http://{address}")
    }

    async fn header(identity: AzureIdentity, more: &[(&str, &str)]) -> String {
        let server = server().await;
        let mut vars: HashMap<String, String> =
            more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        vars.insert("AZURE_AUTHORITY_HOST".to_owned(), server.clone());
        vars.insert("AZURE_POD_IDENTITY_AUTHORITY_HOST".to_owned(), server);
        let env: Env = Arc::new(move |name| vars.get(name).cloned());
        let config = AzureConfig { cloud: String::new(), scope: String::new(), identity };
        let signer = Signer::new(CloudAuth::Azure(config), &env).unwrap();
        let request = reqwest::Request::new(http::Method::POST, "http://localhost/".parse().unwrap());
        let signed = signer.sign(request).await.unwrap();
        signed.headers()["Authorization"].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn each_identity_asks_in_its_way() {
        let secret = || Secret("s3".to_owned());
        let (client_id, tenant_id) = (|| "me".to_owned(), || "here".to_owned());
        let application =
            AzureIdentity::Application { client_id: client_id(), client_secret: secret(), tenant_id: tenant_id() };
        let said = header(application, &[]).await;
        assert!(
            said.starts_with("Bearer /here/oauth2/v2.0/token|grant_type=client_credentials&client_id=me"),
            "{said}"
        );
        assert!(said.contains("scope=https%3A%2F%2Fmonitor.azure.com%2F%2F.default&client_secret=s3"), "{said}");

        let said = header(AzureIdentity::Machine { client_id: client_id() }, &[]).await;
        assert!(said.contains("resource=https%3A%2F%2Fmonitor.azure.com%2F&client_id=me||true"), "{said}");

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "proof\n").unwrap();
        let path = file.path().to_str().unwrap();
        let vars = [("AZURE_FEDERATED_TOKEN_FILE", path), ("AZURE_TENANT_ID", "there"), ("AZURE_CLIENT_ID", "w")];
        let said = header(AzureIdentity::Environment { tenant_id: String::new() }, &vars).await;
        assert!(said.contains("/there/oauth2") && said.contains("client_assertion=proof"), "{said}");
    }

    #[test]
    fn clouds_that_are_not_known_are_refused() {
        let config = AzureConfig {
            cloud: "Azur".to_owned(),
            scope: String::new(),
            identity: AzureIdentity::Machine { client_id: String::new() },
        };
        let env: Env = Arc::new(|_| None);
        assert!(Signer::new(CloudAuth::Azure(config), &env).unwrap_err().to_string().contains("\"Azur\" is none of"));
    }
}
