//! Signatures of AWS, version 4.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpConnector, HttpRequest, HttpRequestBody};
use object_store::{ClientOptions, StaticCredentialProvider};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use transport::http::HttpClient;
use yaml::Secret;

use crate::Error;
use crate::env::Env;
use crate::token::{body, client, post};

/// Credentials of a role are fetched again after this time; they last an hour.
const ROLE_LASTS: Duration = Duration::from_secs(45 * 60);
/// Service that requests are signed for where the configuration does not say it: Amazon's Prometheus.
const SERVICE: &str = "aps";

/// Whose signature, and for what. Empty texts are not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// Region; else `AWS_REGION` or `AWS_DEFAULT_REGION`.
    pub region: String,
    /// Access key; else a profile, the environment or the machine.
    pub access_key: String,
    /// Secret key.
    pub secret_key: Option<Secret>,
    /// Profile in AWS' file of credentials.
    pub profile: String,
    /// Role that is taken.
    pub role_arn: String,
    /// Id that the role is taken with.
    pub external_id: String,
    /// Whether roles come from the token service with FIPS.
    pub use_fips_sts_endpoint: bool,
    /// Service that requests are signed for; else `aps`.
    pub service_name: String,
}

pub(crate) struct Aws {
    base: AwsCredentialProvider,
    role: Option<Role>,
    region: String,
    service: String,
}

/// A role that is taken with other credentials.
struct Role {
    client: HttpClient,
    endpoint: String,
    arn: String,
    external_id: String,
    current: Mutex<Option<(Arc<AwsCredential>, Instant)>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).field("service", &self.service).finish_non_exhaustive()
    }
}

impl Aws {
    pub(crate) fn new(config: AwsConfig, env: &Env) -> Result<Self, Error> {
        let get = |name: &str| env(name).filter(|value| !value.is_empty());
        let region = Some(config.region.clone()).filter(|region| !region.is_empty());
        let region = region.or_else(|| get("AWS_REGION")).or_else(|| get("AWS_DEFAULT_REGION"));
        let region = region.ok_or_else(|| {
            Error::Config("sigv4: no region: set region, or AWS_REGION in the environment".to_owned())
        })?;
        let base = provider(&config, &region, env)?;
        let role = match config.role_arn.as_str() {
            "" => None,
            arn => {
                let host = if config.use_fips_sts_endpoint { "sts-fips" } else { "sts" };
                let own = format!("https://{host}.{region}.amazonaws.com/");
                let endpoint = get("AWS_ENDPOINT_URL_STS").unwrap_or(own);
                let (arn, external_id) = (arn.to_owned(), config.external_id.clone());
                Some(Role { client: client()?, endpoint, arn, external_id, current: Mutex::default() })
            }
        };
        let service = if config.service_name.is_empty() { SERVICE.to_owned() } else { config.service_name };
        Ok(Self { base, role, region, service })
    }

    pub(crate) async fn sign(&self, request: reqwest::Request) -> Result<reqwest::Request, Error> {
        let credential = match &self.role {
            Some(role) => role.credential(self).await?,
            None => self.base_credential().await?,
        };
        authorize(request, &credential, &self.service, &self.region)
    }

    async fn base_credential(&self) -> Result<Arc<AwsCredential>, Error> {
        let failed = |e: object_store::Error| Error::Unavailable(format!("credentials of AWS: {e}"));
        self.base.get_credential().await.map_err(failed)
    }
}

impl Role {
    async fn credential(&self, aws: &Aws) -> Result<Arc<AwsCredential>, Error> {
        let mut current = self.current.lock().await;
        if let Some((credential, _)) = current.as_ref().filter(|(_, until)| Instant::now() < *until) {
            return Ok(credential.clone());
        }
        let base = aws.base_credential().await?;
        let mut form = vec![
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.arn),
            ("RoleSessionName", "aion"),
        ];
        if !self.external_id.is_empty() {
            form.push(("ExternalId", &self.external_id));
        }
        let request = post(&self.client, &self.endpoint)?.form(&form).build();
        let request = request.map_err(|e| Error::Config(format!("sigv4: token service: {e}")))?;
        let signed = authorize(request, &base, "sts", &aws.region)?;
        let plain = post(&self.client, &self.endpoint)?;
        let signed = reqwest::RequestBuilder::from_parts(plain.build_split().0, signed);
        let answer = body(signed, "role of AWS").await?;
        let credential = Arc::new(role_of(&answer)?);
        *current = Some((credential.clone(), Instant::now() + ROLE_LASTS));
        Ok(credential)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResponse {
    assume_role_result: AssumeRoleResult,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRoleResult {
    credentials: RoleCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
}

fn role_of(answer: &[u8]) -> Result<AwsCredential, Error> {
    let text = String::from_utf8_lossy(answer);
    let parsed: AssumeRoleResponse = quick_xml::de::from_str(&text)
        .map_err(|_| Error::Unavailable("role of AWS: the answer holds no credentials".to_owned()))?;
    let RoleCredentials { access_key_id, secret_access_key, session_token } = parsed.assume_role_result.credentials;
    Ok(AwsCredential { key_id: access_key_id, secret_key: secret_access_key, token: Some(session_token) })
}

/// The machine's ways to credentials are those of object stores, which have them already.
fn provider(config: &AwsConfig, region: &str, env: &Env) -> Result<AwsCredentialProvider, Error> {
    if !config.access_key.is_empty() {
        let secret_key = config.secret_key.as_ref().map(|secret| secret.0.clone()).unwrap_or_default();
        let credential = AwsCredential { key_id: config.access_key.clone(), secret_key, token: None };
        return Ok(Arc::new(StaticCredentialProvider::new(credential)));
    }
    if !config.profile.is_empty() {
        return Ok(Arc::new(StaticCredentialProvider::new(profile(&config.profile, env)?)));
    }
    let mut builder = AmazonS3Builder::new().with_bucket_name("none").with_region(region);
    builder = builder.with_http_connector(Connector(client()?));
    for (key, value) in objstore::aws_environment(&|name| env(name)) {
        builder = builder.with_config(key, value);
    }
    let store = builder.build().map_err(|e| Error::Config(format!("sigv4: {e}")))?;
    Ok(store.credentials().clone())
}

/// Our own client for the requests for credentials.
#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<object_store::client::HttpClient> {
        let request = post(&self.0, "http://localhost/");
        let request = request.map_err(|e| object_store::Error::Generic { store: "AWS", source: Box::new(e) })?;
        Ok(object_store::client::HttpClient::new(request.build_split().0))
    }
}

/// A profile in AWS' file of credentials.
fn profile(name: &str, env: &Env) -> Result<AwsCredential, Error> {
    let file = match env("AWS_SHARED_CREDENTIALS_FILE").filter(|file| !file.is_empty()) {
        Some(file) => PathBuf::from(file),
        None => Path::new(&env("HOME").unwrap_or_default()).join(".aws/credentials"),
    };
    let wrong = |why: String| Error::Config(format!("sigv4: profile {name:?}: {}: {why}", file.display()));
    let text = std::fs::read_to_string(&file).map_err(|e| wrong(e.to_string()))?;
    let mut credential = AwsCredential { key_id: String::new(), secret_key: String::new(), token: None };
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.trim_end_matches(']').trim() == name;
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            let value = value.trim().to_owned();
            match key.trim() {
                "aws_access_key_id" => credential.key_id = value,
                "aws_secret_access_key" => credential.secret_key = value,
                "aws_session_token" => credential.token = Some(value),
                _ => {}
            }
        }
    }
    if credential.key_id.is_empty() || credential.secret_key.is_empty() {
        return Err(wrong("it has no aws_access_key_id and aws_secret_access_key".to_owned()));
    }
    Ok(credential)
}

/// The signature goes over the request's own headers, those that are added on the way excepted.
fn authorize(
    mut request: reqwest::Request,
    credential: &AwsCredential,
    service: &str,
    region: &str,
) -> Result<reqwest::Request, Error> {
    let body = match request.body().map(reqwest::Body::as_bytes) {
        None => HttpRequestBody::empty(),
        Some(Some(bytes)) => bytes.to_vec().into(),
        Some(None) => return Err(Error::Config("sigv4: a body of unknown length cannot be signed".to_owned())),
    };
    let wrong = |e: &dyn fmt::Display| Error::Config(format!("sigv4: {e}"));
    let mut signed = HttpRequest::new(body);
    *signed.method_mut() = request.method().clone();
    *signed.uri_mut() = request.url().as_str().parse().map_err(|e: http::uri::InvalidUri| wrong(&e))?;
    let authorizer = AwsAuthorizer::new(credential, service, region);
    authorizer.try_authorize(&mut signed, None).map_err(|e| wrong(&e))?;
    for (name, value) in signed.headers().iter().filter(|(name, _)| **name != HOST) {
        request.headers_mut().insert(name.clone(), value.clone());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::{CloudAuth, Signer};

    fn of_aws(config: AwsConfig, env: &Env) -> Result<Signer, Error> {
        Signer::new(CloudAuth::Aws(config), env)
    }

    fn request(url: &str) -> reqwest::Request {
        let mut request = reqwest::Request::new(Method::POST, url.parse().unwrap());
        *request.body_mut() = Some("body".into());
        request
    }

    #[tokio::test]
    async fn requests_carry_a_signature() {
        let env: Env = Arc::new(|_| None);
        let config = AwsConfig {
            region: "eu-west-1".to_owned(),
            access_key: "AKID".to_owned(),
            secret_key: Some(Secret("secret".to_owned())),
            ..AwsConfig::default()
        };
        let signer = of_aws(config, &env).unwrap();
        let signed = signer.sign(request("http://aps.example/api/v1/remote_write")).await.unwrap();
        let header = signed.headers()["authorization"].to_str().unwrap();
        assert!(header.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"), "{header}");
        assert!(
            header.contains("/eu-west-1/aps/aws4_request") && header.contains("SignedHeaders=host;x-amz-"),
            "{header}"
        );
        // SHA-256 of `body`.
        let digest = "230d8358dc8e8890b4c58deeb62912ee2f20357ae92a5cc861b98e68fe31acb5";
        assert_eq!(signed.headers()["x-amz-content-sha256"], digest);
        assert!(!signed.headers().contains_key(HOST));
    }

    #[tokio::test]
    async fn a_profile_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            "[a]\naws_access_key_id = no\n[b]\naws_access_key_id = KEY\naws_secret_access_key= s\naws_session_token=t\n",
        )
        .unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let env: Env = Arc::new(move |name| match name {
            "AWS_SHARED_CREDENTIALS_FILE" => Some(path.clone()),
            "AWS_REGION" => Some("us-east-1".to_owned()),
            _ => None,
        });
        let of = |profile: &str| AwsConfig { profile: profile.to_owned(), ..AwsConfig::default() };
        let signed = of_aws(of("b"), &env).unwrap().sign(request("http://a/")).await.unwrap();
        assert!(signed.headers()["authorization"].to_str().unwrap().contains("Credential=KEY/"));
        assert_eq!(signed.headers()["x-amz-security-token"], "t");
        assert!(of_aws(of("a"), &env).unwrap_err().to_string().contains("has no aws_access_key_id"));
    }

    #[tokio::test]
    async fn the_environment_has_credentials() {
        let env: Env = Arc::new(|name| match name {
            "AWS_ACCESS_KEY_ID" => Some("ENVKEY".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("s".to_owned()),
            "AWS_DEFAULT_REGION" => Some("us-east-2".to_owned()),
            _ => None,
        });
        let signed = of_aws(AwsConfig::default(), &env).unwrap().sign(request("http://a/")).await.unwrap();
        let header = signed.headers()["authorization"].to_str().unwrap();
        assert!(header.contains("Credential=ENVKEY/") && header.contains("/us-east-2/aps/"), "{header}");
    }

    #[test]
    fn a_region_is_needed() {
        let env: Env = Arc::new(|_| None);
        assert!(of_aws(AwsConfig::default(), &env).unwrap_err().to_string().contains("no region"));
    }

    #[test]
    fn roles_are_read_out_of_the_answer() {
        let answer = "<AssumeRoleResponse xmlns=\"x\"><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId>\
                      <SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
                      <Expiration>2030-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
        let role = role_of(answer.as_bytes()).unwrap();
        assert_eq!((role.key_id.as_str(), role.token.as_deref()), ("A", Some("T")));
        assert!(role_of(b"<Error/>").is_err());
    }
}
