//! Tokens of Google Cloud.

use std::path::Path;

use futures::future::BoxFuture;
use http::HeaderValue;
use serde::Deserialize;
use transport::http::HttpClient;
use yaml::Secret;

use crate::Error;
use crate::env::Env;
use crate::token::{Answer, Cache, client, post, token};

const METADATA: &str = "metadata.google.internal";
const TOKENS: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";

/// Whose token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoogleConfig {
    /// File with the credentials of a user; empty = `GOOGLE_APPLICATION_CREDENTIALS`, or else the machine's service
    /// account.
    pub credentials_file: String,
}

/// A file of credentials.
#[derive(Debug, Deserialize)]
struct Credentials {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: Secret,
    #[serde(default)]
    refresh_token: Secret,
}

pub(crate) struct Google {
    client: HttpClient,
    /// `None` = the machine's.
    user: Option<Credentials>,
    metadata: String,
    cache: Cache,
}

impl Google {
    pub(crate) fn new(config: &GoogleConfig, env: &Env) -> Result<Self, Error> {
        let get = |name: &str| env(name).filter(|value| !value.is_empty());
        let file = Some(config.credentials_file.clone()).filter(|file| !file.is_empty());
        let file = file.or_else(|| get("GOOGLE_APPLICATION_CREDENTIALS"));
        Ok(Self {
            client: client()?,
            user: file.map(|file| credentials(Path::new(&file))).transpose()?,
            metadata: get("GCE_METADATA_HOST").unwrap_or_else(|| METADATA.to_owned()),
            cache: Cache::default(),
        })
    }

    pub(crate) async fn header(&self) -> Result<HeaderValue, Error> {
        self.cache.header(|| self.fetch()).await
    }

    fn fetch(&self) -> BoxFuture<'static, Result<Answer, Error>> {
        let request = match &self.user {
            Some(user) => post(&self.client, TOKENS).map(|request| {
                request.form(&[
                    ("grant_type", "refresh_token"),
                    ("client_id", &user.client_id),
                    ("client_secret", &user.client_secret.0),
                    ("refresh_token", &user.refresh_token.0),
                ])
            }),
            None => {
                let url =
                    format!("http://{}/computeMetadata/v1/instance/service-accounts/default/token", self.metadata);
                let request = self.client.get(&url).map_err(|e| Error::Config(e.to_string()));
                request.map(|request| request.header("Metadata-Flavor", "Google").query(&[("scopes", SCOPE)]))
            }
        };
        Box::pin(async move { token(request?, "token of Google Cloud").await })
    }
}

fn credentials(file: &Path) -> Result<Credentials, Error> {
    let wrong = |why: String| Error::Config(format!("google_iam: {}: {why}", file.display()));
    let text = std::fs::read(file).map_err(|e| wrong(e.to_string()))?;
    // The text of the error could have a part of a secret.
    let found: Credentials = serde_json::from_slice(&text).map_err(|_| wrong("no file of credentials".to_owned()))?;
    match found.kind.as_str() {
        "authorized_user" => Ok(found),
        kind => Err(wrong(format!(
            "credentials of type {kind:?} are not supported: use authorized_user, or leave the file out for the service \
             account of the machine"
        ))),
    }
}
