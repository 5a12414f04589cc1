//! `type: S3`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::{Attribute, ObjectStore, RetryConfig};
use serde::Deserialize;

use super::checked;
use super::error::ConfigError;
use super::http::{HttpYaml, is_true, retries};
use super::yaml::{Key, line, text, value};
use crate::bucket::Settings;
use crate::http::{Connector, HttpSettings, http_client};
use crate::unfinished::{Auth, XmlUnfinished};

/// Smallest part S3 takes, except for the last.
const PART_BYTES_MIN: i64 = 5 << 20;
/// Largest.
const PART_BYTES_MAX: i64 = 5 << 30;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct S3Yaml {
    /// Name of the bucket. Required.
    bucket: Key<String>,
    /// Host, or `host:port`, without scheme and path. Required.
    endpoint: Key<String>,
    /// Region that requests are signed for. Default: `AWS_REGION` of the environment, else the region in the endpoint's
    /// name, else `us-east-1`.
    region: Key<String>,
    /// Without effect: the endpoint is always named, so nothing is chosen.
    disable_dualstack: Option<bool>,
    /// Credentials come from the environment (`AWS_…`) or from the machine's role, which is so wherever `access_key` is
    /// not set. Refused together with `access_key`.
    aws_sdk_auth: Key<bool>,
    /// Access key; goes together with `secret_key`.
    access_key: Key<String>,
    /// Plain HTTP instead of HTTPS.
    insecure: Key<bool>,
    /// Only `false` is taken: signatures of version 2 are not made.
    signature_version2: Key<bool>,
    /// Secret key; goes together with `access_key`.
    secret_key: Key<String>,
    /// Session token of temporary credentials; used with `access_key`.
    session_token: Key<String>,
    /// Metadata and headers of each uploaded object. `X-Amz-Storage-Class`, `Cache-Control` and `Content-Type` are sent
    /// as such, all other names as user metadata.
    put_user_metadata: Option<BTreeMap<String, String>>,
    /// HTTP client, see below.
    http_config: Option<HttpYaml>,
    /// Without effect: requests are logged at debug level in any case.
    trace: Option<TraceYaml>,
    /// Only empty or `v2` is taken: listings are made with ListObjectsV2.
    list_objects_version: Key<String>,
    /// Where the bucket's name stands: `path` (in the path), `virtual-hosted` (before the endpoint), `auto` (before
    /// endpoints of Amazon and Alibaba, else in the path). Default: `auto`.
    bucket_lookup_type: Key<String>,
    /// Without effect: bodies are signed with their SHA-256, which says more than an MD5.
    send_content_md5: Option<bool>,
    /// Upload each file in one request, whatever its size.
    disable_multipart: Option<bool>,
    /// Bytes of one part of a multipart upload, 5 MiB to 5 GiB; larger files are uploaded in parts. Default: parts of
    /// 16 MiB for files above 64 MiB.
    part_size: Key<i64>,
    /// Encryption by the store, see below.
    sse_config: Option<SseYaml>,
    /// URL of the token service for web identities. Default: `AWS_ENDPOINT_URL_STS` of the environment, else Amazon's.
    sts_endpoint: Key<String>,
    /// Retries of one request; 0 means the default. Default: `10`.
    max_retries: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TraceYaml {
    /// Without effect.
    enable: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SseYaml {
    /// `SSE-S3` (keys of the store), `SSE-KMS` (a key of the key service) or `SSE-C` (a key that goes along with each
    /// request); empty means none.
    #[serde(rename = "type")]
    kind: Key<String>,
    /// Id of the key. Required for `SSE-KMS`.
    kms_key_id: Key<String>,
    /// Only an empty map is taken: an encryption context is not sent.
    kms_encryption_context: Key<BTreeMap<String, String>>,
    /// File that holds the key, exactly 32 bytes. Required for `SSE-C`.
    encryption_key: Key<String>,
}

/// How objects are encrypted by the store.
#[derive(Clone, PartialEq)]
enum Sse {
    None,
    S3,
    Kms(String),
    /// The key, base64.
    Customer(String),
}

/// A checked S3 configuration. Printing it shows no secrets.
#[derive(Clone)]
pub struct S3 {
    /// The bucket's name.
    pub bucket: String,
    /// URL of the endpoint, with its scheme.
    pub endpoint: String,
    /// The region that signatures are made for.
    pub region: String,
    /// `bucket.endpoint/key` rather than `endpoint/bucket/key`.
    pub virtual_hosted: bool,
    pub(super) secret_key: Option<String>,
    pub(super) connections_max: usize,
    access_key: Option<String>,
    session_token: Option<String>,
    /// What the environment says about credentials, when the file says nothing.
    from_env: Vec<(AmazonS3ConfigKey, String)>,
    attributes: Vec<(String, String)>,
    http: HttpSettings,
    part_bytes: Option<u64>,
    multipart: bool,
    sse: Sse,
    retry: RetryConfig,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

/// Where AWS' own tools look for credentials. Profiles in `~/.aws` are not among them.
const ENV_KEYS: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_ENDPOINT_URL_STS",
];

/// What the environment says of credentials for AWS. Empty variables count as not set.
pub fn aws_environment(env: &dyn Fn(&str) -> Option<String>) -> Vec<(AmazonS3ConfigKey, String)> {
    let known = ENV_KEYS.into_iter().filter_map(|name| {
        let key = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()).ok()?;
        Some((key, env(name).filter(|v| !v.is_empty())?))
    });
    known.collect()
}

impl S3Yaml {
    pub(super) fn check(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<S3, ConfigError> {
        let required = |name: &str, key: &Key<String>| {
            text(key).ok_or_else(|| ConfigError::refused(line(key), format!("config.{name}"), "must be set"))
        };
        let refused = |at: u64, key: &str, why: &str| Err(ConfigError::refused(at, format!("config.{key}"), why));
        let bucket = required("bucket", &self.bucket)?;
        let host = required("endpoint", &self.endpoint)?;
        if host.contains("://") || host.contains('/') {
            let why = "must be host or host:port; for plain HTTP set insecure: true";
            return refused(line(&self.endpoint), "endpoint", why);
        }
        if is_true(&self.signature_version2) {
            let why = "signatures of version 2 are not made: use a store that takes version 4";
            return refused(line(&self.signature_version2), "signature_version2", why);
        }
        if text(&self.list_objects_version).is_some_and(|v| v != "v2") {
            let why = "only v2 listings are made: leave it empty, and use a store that knows ListObjectsV2";
            return refused(line(&self.list_objects_version), "list_objects_version", why);
        }
        let virtual_hosted = match text(&self.bucket_lookup_type).as_deref() {
            None | Some("auto") => host.ends_with("amazonaws.com") || host.ends_with("aliyuncs.com"),
            Some("virtual-hosted" | "virtual-host") => true,
            Some("path") => false,
            Some(_) => {
                return refused(
                    line(&self.bucket_lookup_type),
                    "bucket_lookup_type",
                    "must be auto, virtual-hosted or path",
                );
            }
        };
        let (access_key, secret_key) = (text(&self.access_key), text(&self.secret_key));
        match (&access_key, &secret_key) {
            (Some(_), None) => return refused(line(&self.access_key), "access_key", "needs secret_key too"),
            (None, Some(_)) => return refused(line(&self.secret_key), "secret_key", "needs access_key too"),
            (Some(_), Some(_)) if is_true(&self.aws_sdk_auth) => {
                let why = "cannot be set together with access_key and secret_key";
                return refused(line(&self.aws_sdk_auth), "aws_sdk_auth", why);
            }
            _ => {}
        }
        let mut from_env: Vec<_> = Vec::new();
        if access_key.is_none() {
            from_env.extend(aws_environment(env));
            if let Some(endpoint) = text(&self.sts_endpoint) {
                from_env.push((AmazonS3ConfigKey::StsEndpoint, endpoint));
            }
        }
        let part_size = value(&self.part_size);
        if part_size != 0 && !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&part_size) {
            return refused(line(&self.part_size), "part_size", "must lie between 5 MiB and 5 GiB, or be 0");
        }
        let plain = is_true(&self.insecure);
        let (http, connections_max) = self.http_config.clone().unwrap_or_default().check(plain)?;
        let scheme = if plain { "http" } else { "https" };
        let endpoint = match virtual_hosted {
            true => format!("{scheme}://{bucket}.{host}"),
            false => format!("{scheme}://{host}"),
        };
        let region = text(&self.region).or_else(|| env("AWS_REGION")).unwrap_or_else(|| region_of(&host));
        checked::name(line(&self.bucket), "bucket", &bucket)?;
        checked::url(line(&self.endpoint), "endpoint", &format!("{scheme}://{host}"))?;
        if virtual_hosted && checked::url(0, "", &endpoint).is_err() {
            let why = "a bucket's name cannot stand before this endpoint: set bucket_lookup_type: path";
            return refused(line(&self.endpoint), "endpoint", why);
        }
        if let Some(sts) = text(&self.sts_endpoint) {
            checked::url(line(&self.sts_endpoint), "sts_endpoint", &sts)?;
        }
        checked::header(line(&self.region), "region", &region)?;
        for (key, name) in
            [(&self.access_key, "access_key"), (&self.secret_key, "secret_key"), (&self.session_token, "session_token")]
        {
            checked::header(line(key), name, &text(key).unwrap_or_default())?;
        }
        for (name, value) in self.put_user_metadata.iter().flatten() {
            let key = format!("put_user_metadata.{name}");
            if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return refused(0, &key, "is no name of a header");
            }
            checked::header(0, &key, value)?;
        }
        for (_, value) in &from_env {
            checked::header(0, "aws_sdk_auth: a variable AWS_… of the environment", value)?;
        }
        Ok(S3 {
            region,
            bucket,
            endpoint,
            virtual_hosted,
            secret_key,
            connections_max,
            access_key,
            session_token: text(&self.session_token),
            from_env,
            attributes: self.put_user_metadata.clone().unwrap_or_default().into_iter().collect(),
            http,
            part_bytes: u64::try_from(part_size).ok().filter(|n| *n > 0),
            multipart: self.disable_multipart != Some(true),
            sse: self.sse_config.clone().unwrap_or_default().check()?,
            retry: retries(self.max_retries),
        })
    }
}

impl SseYaml {
    fn check(&self) -> Result<Sse, ConfigError> {
        let key = |name: &str| format!("config.sse_config.{name}");
        if self.kms_encryption_context.as_ref().is_some_and(|c| !c.value.is_empty()) {
            let why = "an encryption context is not sent: use a key policy without one";
            return Err(ConfigError::refused(line(&self.kms_encryption_context), key("kms_encryption_context"), why));
        }
        let at = line(&self.kind);
        match text(&self.kind).as_deref() {
            None => Ok(Sse::None),
            Some("SSE-S3") => Ok(Sse::S3),
            Some("SSE-KMS") => {
                let id = text(&self.kms_key_id)
                    .ok_or_else(|| ConfigError::refused(at, key("kms_key_id"), "must be set for SSE-KMS"))?;
                checked::header(line(&self.kms_key_id), "sse_config.kms_key_id", &id)?;
                Ok(Sse::Kms(id))
            }
            Some("SSE-C") => {
                let path = text(&self.encryption_key);
                let path = path.ok_or_else(|| {
                    ConfigError::refused(at, key("encryption_key"), "must name the key's file for SSE-C")
                })?;
                let at = line(&self.encryption_key);
                let bytes = std::fs::read(&path)
                    .map_err(|e| ConfigError::refused(at, key("encryption_key"), format!("{path}: {e}")))?;
                if bytes.len() != 32 {
                    return Err(ConfigError::refused(at, key("encryption_key"), "the file must hold exactly 32 bytes"));
                }
                Ok(Sse::Customer(base64(&bytes)))
            }
            Some(_) => Err(ConfigError::refused(at, key("type"), "must be SSE-S3, SSE-KMS or SSE-C")),
        }
    }
}

impl S3 {
    /// The store; and what it tells of unfinished uploads below `prefix`.
    pub(super) fn open(
        &self,
        settings: &mut Settings,
        prefix: String,
    ) -> Result<(Arc<dyn ObjectStore>, XmlUnfinished), ConfigError> {
        settings.multipart = self.multipart;
        if let Some(bytes) = self.part_bytes {
            settings.part_bytes = bytes;
            settings.multipart_above_bytes = bytes;
        }
        settings.attributes = self
            .attributes
            .iter()
            .map(|(name, value)| {
                let key = match name.to_ascii_lowercase().as_str() {
                    "x-amz-storage-class" => Attribute::StorageClass,
                    "cache-control" => Attribute::CacheControl,
                    "content-type" => Attribute::ContentType,
                    _ => Attribute::Metadata(name.clone().into()),
                };
                (key, value.clone())
            })
            .collect();
        let open =
            |e: Box<dyn std::error::Error + Send + Sync>| ConfigError::open(format!("S3 bucket {}", self.bucket), e);
        let client = self.http.client().map_err(|e| open(e.into()))?;
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(Connector(client.clone()))
            .with_bucket_name(&self.bucket)
            .with_endpoint(&self.endpoint)
            .with_region(&self.region)
            .with_virtual_hosted_style_request(self.virtual_hosted)
            .with_allow_http(self.http.plain)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_tagging(true)
            // Deletes come one by one; not every store that speaks S3 knows the request for many.
            .with_disable_bulk_delete(true)
            .with_retry(self.retry.clone());
        for (key, value) in &self.from_env {
            builder = builder.with_config(*key, value);
        }
        if let (Some(access), Some(secret)) = (&self.access_key, &self.secret_key) {
            builder = builder.with_access_key_id(access).with_secret_access_key(secret);
        }
        if let Some(token) = &self.session_token {
            builder = builder.with_token(token);
        }
        builder = match &self.sse {
            Sse::None => builder,
            Sse::S3 => {
                let key = AmazonS3ConfigKey::from_str("aws_server_side_encryption").map_err(|e| open(e.into()))?;
                builder.with_config(key, "AES256")
            }
            Sse::Kms(id) => builder.with_sse_kms_encryption(id),
            Sse::Customer(key) => builder.with_ssec_encryption(key),
        };
        let store = Arc::new(builder.build().map_err(|e| open(e.into()))?);
        let unfinished = XmlUnfinished {
            client: http_client(client),
            auth: Auth::Aws { credentials: store.credentials().clone(), region: self.region.clone() },
            url: match self.virtual_hosted {
                true => format!("{}/", self.endpoint),
                false => format!("{}/{}", self.endpoint, self.bucket),
            },
            prefix,
            retry: self.retry.clone(),
            store: store.clone(),
        };
        Ok((store, unfinished))
    }
}

/// `s3.eu-west-1.amazonaws.com` → `eu-west-1`; other hosts mostly do not mind which region signs.
fn region_of(host: &str) -> String {
    let name = host.split(':').next().unwrap_or(host);
    let region = name
        .strip_suffix(".amazonaws.com")
        .and_then(|n| n.strip_prefix("s3.").or_else(|| n.strip_prefix("s3-")))
        .map(|n| n.trim_start_matches("dualstack."));
    region.filter(|r| !r.is_empty()).unwrap_or("us-east-1").to_owned()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |w, b| w << 8 | u32::from(*b)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_things() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        for (host, region) in [
            ("s3.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1"),
            ("s3.amazonaws.com", "us-east-1"),
            ("minio:9000", "us-east-1"),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }
}
