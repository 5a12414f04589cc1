//! `type: AZURE`.

use std::fmt;
use std::sync::Arc;

use object_store::azure::MicrosoftAzureBuilder;
use object_store::{ObjectStore, RetryConfig};
use serde::Deserialize;

use super::checked;
use super::error::ConfigError;
use super::http::{HttpYaml, retries};
use super::yaml::{Key, Span, line, text};
use crate::http::{Connector, HttpSettings};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AzureYaml {
    /// Tenant; goes together with `client_id` and `client_secret`.
    az_tenant_id: Key<String>,
    /// Client of an application.
    client_id: Key<String>,
    /// Secret of the application; goes together with `az_tenant_id` and `client_id`.
    client_secret: Key<String>,
    /// Name of the storage account. Required, unless `storage_connection_string` has it.
    storage_account: Key<String>,
    /// Key of the account. Default: the key in `storage_connection_string`, else the machine's identity.
    storage_account_key: Key<String>,
    /// Connection string as Azure's portal shows it: account, key and endpoint are taken from it where their own keys
    /// are not set.
    storage_connection_string: Key<String>,
    /// Without effect: containers are never made here. One that is missing is an error of the first operation.
    storage_create_container: Option<bool>,
    /// Name of the container. Required.
    container: Key<String>,
    /// Suffix of the host name, after the account's name. Default: `blob.core.windows.net`.
    endpoint: Key<String>,
    /// Client id of a user-assigned managed identity.
    user_assigned_id: Key<String>,
    /// Retries of one request; 0 means the default. Default: `pipeline_config.max_tries`, else
    /// `reader_config.max_retry_requests`, else `10`.
    max_retries: Option<i64>,
    /// Older place of a setting, see `max_retries`.
    reader_config: Option<ReaderYaml>,
    /// Retries and their delays.
    pipeline_config: Option<PipelineYaml>,
    /// HTTP client, see below.
    http_config: Option<HttpYaml>,
    /// Without effect: the resource of a managed identity is set by the client.
    msi_resource: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReaderYaml {
    /// Retries of one request, where neither `max_retries` nor `max_tries` is set.
    max_retry_requests: Option<i64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PipelineYaml {
    /// Retries of one request, where `max_retries` is not set.
    max_tries: Option<i64>,
    /// Longest silence of the server; counts before `http_config.response_header_timeout`. 0 means that one.
    try_timeout: Option<Span>,
    /// Delay before the first retry. Default: `100ms`.
    retry_delay: Option<Span>,
    /// Longest delay between two retries. Default: `15s`.
    max_retry_delay: Option<Span>,
}

/// A checked Azure configuration. Printing it shows no secrets.
#[derive(Clone)]
pub struct Azure {
    /// The container's name.
    pub container: String,
    /// The account's blob service, with scheme.
    pub endpoint: String,
    pub(super) connections_max: usize,
    account: String,
    account_key: Option<String>,
    tenant: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    http: HttpSettings,
    retry: RetryConfig,
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Azure");
        out.field("container", &self.container).field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl AzureYaml {
    pub(super) fn check(&self) -> Result<Azure, ConfigError> {
        let refused = |at: u64, key: &str, why: &str| Err(ConfigError::refused(at, format!("config.{key}"), why));
        let Some(container) = text(&self.container) else {
            return refused(line(&self.container), "container", "must be set");
        };
        let connection = text(&self.storage_connection_string).unwrap_or_default();
        let in_connection = |name: &str| {
            let found = connection.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
            found.map(str::to_owned).filter(|v| !v.is_empty())
        };
        let Some(account) = text(&self.storage_account).or_else(|| in_connection("AccountName")) else {
            return refused(line(&self.storage_account), "storage_account", "must be set");
        };
        let account_key = text(&self.storage_account_key).or_else(|| in_connection("AccountKey"));
        let scheme = in_connection("DefaultEndpointsProtocol").unwrap_or_else(|| "https".into());
        let suffix = text(&self.endpoint)
            .or_else(|| in_connection("EndpointSuffix").map(|s| format!("blob.{s}")))
            .unwrap_or_else(|| "blob.core.windows.net".into());
        let endpoint = in_connection("BlobEndpoint").unwrap_or_else(|| format!("{scheme}://{account}.{suffix}"));
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        checked::name(line(&self.container), "container", &container)?;
        checked::name(line(&self.storage_account), "storage_account", &account)?;
        checked::url(line(&self.endpoint), "endpoint", &endpoint)?;
        let (client_id, client_secret) = (text(&self.client_id), text(&self.client_secret));
        let tenant = text(&self.az_tenant_id);
        let set = [&tenant, &client_id, &client_secret].into_iter().flatten().count();
        if client_secret.is_some() && set != 3 {
            let why = "az_tenant_id, client_id and client_secret go together";
            return refused(line(&self.client_secret), "client_secret", why);
        }
        for (key, name) in [
            (&self.az_tenant_id, "az_tenant_id"),
            (&self.client_id, "client_id"),
            (&self.client_secret, "client_secret"),
            (&self.user_assigned_id, "user_assigned_id"),
        ] {
            checked::header(line(key), name, &text(key).unwrap_or_default())?;
        }
        let (mut http, connections_max) =
            self.http_config.clone().unwrap_or_default().check(endpoint.starts_with("http://"))?;
        let pipeline = self.pipeline_config.clone().unwrap_or_default();
        let reader = self.reader_config.clone().unwrap_or_default();
        let mut retry = retries(self.max_retries.or(pipeline.max_tries).or(reader.max_retry_requests));
        if let Some(delay) = pipeline.retry_delay.filter(|d| !d.0.is_zero()) {
            retry.backoff.init_backoff = delay.0;
        }
        if let Some(delay) = pipeline.max_retry_delay.filter(|d| !d.0.is_zero()) {
            retry.backoff.max_backoff = delay.0.max(retry.backoff.init_backoff);
        }
        if let Some(timeout) = pipeline.try_timeout.filter(|d| !d.0.is_zero()) {
            http.read_timeout = timeout.0;
        }
        Ok(Azure {
            container,
            endpoint,
            connections_max,
            account,
            account_key,
            tenant,
            client_id: client_id.or_else(|| text(&self.user_assigned_id)),
            client_secret,
            http,
            retry,
        })
    }
}

impl Azure {
    pub(super) fn open(&self) -> Result<Arc<dyn ObjectStore>, ConfigError> {
        let what = || format!("Azure container {}", self.container);
        let client = self.http.client().map_err(|e| ConfigError::open(what(), e))?;
        let mut builder = MicrosoftAzureBuilder::new()
            .with_http_connector(Connector(client))
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.clone())
            .with_allow_http(self.http.plain)
            .with_disable_tagging(true)
            .with_retry(self.retry.clone());
        if let Some(key) = &self.account_key {
            builder = builder.with_access_key(key);
        }
        if let Some(tenant) = &self.tenant {
            builder = builder.with_tenant_id(tenant);
        }
        if let Some(id) = &self.client_id {
            builder = builder.with_client_id(id);
        }
        if let Some(secret) = &self.client_secret {
            builder = builder.with_client_secret(secret);
        }
        Ok(Arc::new(builder.build().map_err(|e| ConfigError::open(what(), e))?))
    }
}
