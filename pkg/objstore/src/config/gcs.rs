//! `type: GCS`.

use std::fmt;
use std::sync::Arc;

use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder};
use object_store::{ObjectStore, RetryConfig, StaticCredentialProvider};
use serde::Deserialize;

use super::checked;
use super::error::ConfigError;
use super::http::{HttpYaml, is_true, retries};
use super::yaml::{Key, line, text, value};
use crate::bucket::Settings;
use crate::http::{Connector, HttpSettings, http_client};
use crate::unfinished::{Auth, XmlUnfinished};

/// Where the XML API is.
const HOST: &str = "https://storage.googleapis.com";

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct GcsYaml {
    /// Name of the bucket. Required.
    bucket: Key<String>,
    /// The service account's key, as JSON. Default: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else the one
    /// that `gcloud` wrote, else the machine's account.
    service_account: Key<String>,
    /// Only `false` is taken: the JSON and XML protocols are spoken.
    use_grpc: Key<bool>,
    /// Without effect: of use with `use_grpc` only.
    grpc_conn_pool_size: Option<i64>,
    /// HTTP client, see below.
    http_config: Option<HttpYaml>,
    /// Bytes of one part of a multipart upload, at least 5 MiB. Default: 16 MiB.
    chunk_size_bytes: Key<i64>,
    /// Retries of one request; 1 means none, 0 the default. Default: `10`.
    max_retries: Option<i64>,
}

/// A checked GCS configuration. Printing it shows no secrets.
#[derive(Clone)]
pub struct Gcs {
    /// The bucket's name.
    pub bucket: String,
    pub(super) connections_max: usize,
    /// JSON.
    service_account: Option<String>,
    /// A file with such JSON, from `GOOGLE_APPLICATION_CREDENTIALS`.
    credentials_file: Option<String>,
    /// `STORAGE_EMULATOR_HOST`, with scheme: no TLS, no credentials.
    emulator: Option<String>,
    http: HttpSettings,
    chunk_bytes: Option<u64>,
    retry: RetryConfig,
}

impl fmt::Debug for Gcs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gcs").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

impl GcsYaml {
    pub(super) fn check(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Gcs, ConfigError> {
        let bucket = text(&self.bucket)
            .ok_or_else(|| ConfigError::refused(line(&self.bucket), "config.bucket", "must be set"))?;
        if is_true(&self.use_grpc) {
            let why = "only the JSON and XML protocols are spoken: leave it false";
            return Err(ConfigError::refused(line(&self.use_grpc), "config.use_grpc", why));
        }
        checked::name(line(&self.bucket), "bucket", &bucket)?;
        let emulator = env("STORAGE_EMULATOR_HOST")
            .filter(|h| !h.is_empty())
            .map(|host| if host.contains("://") { host } else { format!("http://{host}") });
        if let Some(emulator) = &emulator {
            checked::url(0, "STORAGE_EMULATOR_HOST of the environment", emulator)?;
        }
        let (http, connections_max) = self.http_config.clone().unwrap_or_default().check(emulator.is_some())?;
        // Here 1 means no retries at all.
        let retry = match self.max_retries {
            Some(1) => RetryConfig { max_retries: 0, ..Default::default() },
            n => retries(n),
        };
        Ok(Gcs {
            bucket,
            connections_max,
            service_account: text(&self.service_account),
            credentials_file: env("GOOGLE_APPLICATION_CREDENTIALS").filter(|p| !p.is_empty()),
            emulator,
            http,
            chunk_bytes: u64::try_from(value(&self.chunk_size_bytes)).ok().filter(|n| *n > 0),
            retry,
        })
    }
}

impl Gcs {
    /// The store; and what it tells of unfinished uploads below `prefix`.
    pub(super) fn open(
        &self,
        settings: &mut Settings,
        prefix: String,
    ) -> Result<(Arc<dyn ObjectStore>, XmlUnfinished), ConfigError> {
        if let Some(bytes) = self.chunk_bytes {
            // Parts below S3's smallest are refused by the multipart protocol spoken here.
            settings.part_bytes = bytes.max(5 << 20);
        }
        let open =
            |e: Box<dyn std::error::Error + Send + Sync>| ConfigError::open(format!("GCS bucket {}", self.bucket), e);
        let client = self.http.client().map_err(|e| open(e.into()))?;
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_http_connector(Connector(client.clone()))
            .with_bucket_name(&self.bucket)
            .with_retry(self.retry.clone());
        builder = match (&self.emulator, &self.service_account, &self.credentials_file) {
            // Uploads ask for a credential even where requests are not signed: an empty one, lest a real one is sought.
            (Some(host), ..) => {
                let none = StaticCredentialProvider::new(GcpCredential { bearer: String::new() });
                builder.with_base_url(host).with_skip_signature(true).with_credentials(Arc::new(none))
            }
            (None, Some(json), _) => builder.with_service_account_key(json),
            (None, None, Some(path)) => builder.with_application_credentials(path),
            (None, None, None) => builder,
        };
        let store = Arc::new(builder.build().map_err(|e| open(e.into()))?);
        let host = self.emulator.as_deref().unwrap_or(HOST);
        let unfinished = XmlUnfinished {
            client: http_client(client),
            auth: match self.emulator {
                Some(_) => Auth::Nobody,
                None => Auth::Gcp(store.credentials().clone()),
            },
            url: format!("{}/{}", host.trim_end_matches('/'), self.bucket),
            prefix,
            retry: self.retry.clone(),
            store: store.clone(),
        };
        Ok((store, unfinished))
    }
}
