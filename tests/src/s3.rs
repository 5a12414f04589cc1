//! The bucket of a test: an S3 server inside the process, or the one that `TEST_S3_*` names.

use std::path::Path;

use anyhow::Context;
use testkit::s3::Server;

/// A bucket of its own.
pub enum Bucket {
    /// In this process, in memory.
    Embedded(Server),
    /// A server of another maker; the configuration.
    Elsewhere(String),
}

impl Bucket {
    /// The embedded one; with `TEST_S3_ENDPOINT` set, a fresh prefix in the bucket named there.
    ///
    /// # Errors
    /// Some `TEST_S3_*` are set and others missing.
    pub async fn open(unique: &Path) -> anyhow::Result<Self> {
        let Ok(endpoint) = std::env::var("TEST_S3_ENDPOINT") else {
            return Ok(Self::Embedded(Server::start().await));
        };
        let var = |name: &str| std::env::var(name).with_context(|| name.to_owned());
        let insecure = !endpoint.starts_with("https://");
        let host = endpoint.trim_start_matches("http://").trim_start_matches("https://").trim_end_matches('/');
        let prefix = unique.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self::Elsewhere(format!(
            "type: S3\nconfig:\n  bucket: {}\n  endpoint: {host}\n  region: {}\n  access_key: {}\n  secret_key: {}\n  \
             insecure: {insecure}\nprefix: {prefix}\n",
            var("TEST_S3_BUCKET")?,
            std::env::var("TEST_S3_REGION").unwrap_or_else(|_| "us-east-1".into()),
            var("TEST_S3_ACCESS_KEY")?,
            var("TEST_S3_SECRET_KEY")?,
        )))
    }

    /// Thanos' object store configuration.
    pub fn config(&self) -> String {
        match self {
            Self::Embedded(server) => server.config_yaml(),
            Self::Elsewhere(config) => config.clone(),
        }
    }
}
