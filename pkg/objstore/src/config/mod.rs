//! Thanos' object store configuration: `type`, `config`, `prefix`.
//!
//! Every key Thanos knows is either obeyed or refused with its line and a reason; what is not known is an error.

mod azure;
mod checked;
mod env;
mod error;
mod gcs;
mod http;
mod s3;
mod yaml;

use std::path::PathBuf;
use std::sync::Arc;

use model::Clock;
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use serde::Deserialize;

pub use self::azure::Azure;
pub use self::error::ConfigError;
pub use self::gcs::Gcs;
pub use self::s3::{S3, aws_environment};

use crate::bucket::{Bucket, Settings};
use crate::decorate::Decorated;
use crate::limit::LimitHook;
use crate::local::LocalStore;
use crate::metrics::MetricsHook;
use crate::traced::TraceHook;
use crate::unfinished::{LocalUnfinished, Unfinished};

/// Parts of a file in a folder: no store asks for large ones, and small ones stay in the processor's cache.
const LOCAL_PART_BYTES: u64 = 2 << 20;

/// A bucket's configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which store, and how to reach it.
    pub provider: Provider,
    /// Before each key, without slashes at its ends; `""` = none.
    pub prefix: String,
}

/// The kinds of store.
#[derive(Debug, Clone)]
pub enum Provider {
    /// Amazon S3 and all that speak its protocol.
    S3(Box<S3>),
    /// Google Cloud Storage.
    Gcs(Box<Gcs>),
    /// Azure Blob Storage.
    Azure(Box<Azure>),
    /// A local directory.
    Filesystem {
        /// Its root; made by the first upload when absent.
        directory: PathBuf,
    },
}

/// What comes from the program, not from the file.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Where `thanos_objstore_bucket_*` go; `None` = nowhere.
    pub metrics: Option<telemetry::Metrics>,
    /// For `…_last_successful_upload_time`.
    pub clock: Arc<dyn Clock>,
    /// Operations at a time; 0 = no limit.
    pub concurrency_max: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { metrics: None, clock: Arc::new(model::SystemClock), concurrency_max: 0 }
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type")]
    kind: serde_saphyr::Spanned<String>,
    #[serde(default)]
    #[expect(dead_code, reason = "read by the second pass, which knows its shape")]
    config: Option<serde_json::Value>,
    #[serde(default)]
    #[expect(dead_code, reason = "read by the second pass")]
    prefix: Option<String>,
}

/// The file as a whole; `config` has the keys of the store's own section.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole<C> {
    /// The store: `S3`, `GCS`, `AZURE` or `FILESYSTEM`, in any case. Required.
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "read by the first pass")]
    kind: String,
    /// The keys of this store, below.
    #[serde(default)]
    config: Option<C>,
    /// A path inside the bucket below which all objects lie; slashes at both ends are cut off.
    #[serde(default)]
    prefix: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesystemYaml {
    /// The directory that stands for the bucket. The first upload makes it. Required.
    directory: Option<String>,
}

impl Config {
    /// Reads `yaml`. `env` gives the variables for `$(NAME)` and the credentials that stores look for there.
    ///
    /// # Errors
    /// [`ConfigError`] with the line.
    pub fn parse(yaml: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let text = env::expand(yaml, env)?;
        let head: Head = yaml::parse(&text)?;
        let line = head.kind.referenced.line();
        let (provider, prefix) = match head.kind.value.to_uppercase().as_str() {
            "S3" => {
                let (config, prefix) = whole::<s3::S3Yaml>(&text)?;
                (Provider::S3(Box::new(config.check(env)?)), prefix)
            }
            "GCS" => {
                let (config, prefix) = whole::<gcs::GcsYaml>(&text)?;
                (Provider::Gcs(Box::new(config.check(env)?)), prefix)
            }
            "AZURE" => {
                let (config, prefix) = whole::<azure::AzureYaml>(&text)?;
                (Provider::Azure(Box::new(config.check()?)), prefix)
            }
            "FILESYSTEM" => {
                let (config, prefix) = whole::<FilesystemYaml>(&text)?;
                let directory = config.directory.unwrap_or_default();
                if directory.is_empty() {
                    return Err(ConfigError::refused(line, "config.directory", "must name the directory"));
                }
                (Provider::Filesystem { directory: directory.into() }, prefix)
            }
            other => return Err(ConfigError::refused(line, "type", unsupported(other))),
        };
        let prefix = prefix.unwrap_or_default().trim_matches('/').to_owned();
        if let Err(e) = Path::parse(&prefix) {
            return Err(ConfigError::refused(0, "prefix", format!("cannot be a part of keys: {e}")));
        }
        Ok(Self { provider, prefix })
    }

    /// Connects. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`ConfigError::Open`].
    pub fn open(&self, options: &OpenOptions) -> Result<Bucket, ConfigError> {
        let mut settings = Settings::default();
        let prefix = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let mut unfinished: Option<Arc<dyn Unfinished>> = None;
        let mut local = None;
        let (name, store, limit): (String, Arc<dyn ObjectStore>, usize) = match &self.provider {
            Provider::S3(s3) => {
                let (store, of_s3) = s3.open(&mut settings, prefix)?;
                unfinished = Some(Arc::new(of_s3));
                (s3.bucket.clone(), store, s3.connections_max)
            }
            Provider::Gcs(gcs) => {
                let (store, of_gcs) = gcs.open(&mut settings, prefix)?;
                unfinished = Some(Arc::new(of_gcs));
                (gcs.bucket.clone(), store, gcs.connections_max)
            }
            // Blocks that are not committed go by themselves, after a week.
            Provider::Azure(azure) => (azure.container.clone(), azure.open()?, azure.connections_max),
            Provider::Filesystem { directory } => {
                let failed = |e: Box<dyn std::error::Error + Send + Sync>| {
                    ConfigError::open(format!("bucket directory {}", directory.display()), e)
                };
                let store = Arc::new(LocalStore::new(directory).map_err(|e| failed(e.into()))?);
                local = Some(store.clone());
                unfinished = Some(Arc::new(LocalUnfinished(directory.join(&self.prefix))));
                (settings.is_local, settings.part_bytes) = (true, LOCAL_PART_BYTES);
                settings.directory = Some(directory.join(&self.prefix));
                (directory.display().to_string(), store, 0)
            }
        };
        let store: Arc<dyn ObjectStore> = match self.prefix.as_str() {
            "" => store,
            // As it is written: `Path::from` would escape what keys may well hold.
            prefix => {
                let prefix = Path::parse(prefix).map_err(|e| ConfigError::open("prefix", e))?;
                Arc::new(PrefixStore::new(store, prefix))
            }
        };
        let limit = [limit, options.concurrency_max].into_iter().filter(|l| *l > 0).min();
        settings.requests_max = limit;
        let store: Arc<dyn ObjectStore> = match limit {
            Some(max) => Arc::new(Decorated::new(store, LimitHook::new(max))),
            None => store,
        };
        let store: Arc<dyn ObjectStore> = match &options.metrics {
            Some(metrics) => {
                let hook = MetricsHook::new(metrics, &name, options.clock.clone());
                Arc::new(Decorated::new(store, hook))
            }
            None => store,
        };
        let store: Arc<dyn ObjectStore> = Arc::new(Decorated::new(store, TraceHook::new(&name)));
        let bucket = Bucket::new(name, store, settings);
        let bucket = match unfinished {
            Some(unfinished) => bucket.with_unfinished(unfinished),
            None => bucket,
        };
        Ok(match local {
            Some(local) => bucket.with_local(local),
            None => bucket,
        })
    }
}

fn whole<C: serde::de::DeserializeOwned + Default>(text: &str) -> Result<(C, Option<String>), ConfigError> {
    let whole: Whole<C> = yaml::parse(text)?;
    Ok((whole.config.unwrap_or_default(), whole.prefix))
}

fn unsupported(kind: &str) -> String {
    match kind {
        "COS" => {
            "Tencent COS is not built in: it speaks S3, use type S3 with endpoint cos.<region>.myqcloud.com".into()
        }
        "ALIYUNOSS" => {
            "Alibaba OSS is not built in: it speaks S3, use type S3 with endpoint s3.oss-<region>.aliyuncs.com and \
             bucket_lookup_type virtual-hosted"
                .into()
        }
        "OBS" => {
            "Huawei OBS is not built in: it speaks S3, use type S3 with endpoint obs.<region>.myhuaweicloud.com".into()
        }
        "BOS" => "Baidu BOS is not built in: it speaks S3, use type S3 with endpoint s3.<region>.bcebos.com".into(),
        "OCI" => "Oracle object storage is not built in: it speaks S3, use type S3 with endpoint \
             <namespace>.compat.objectstorage.<region>.oraclecloud.com and customer secret keys"
            .into(),
        "SWIFT" => "OpenStack Swift is not built in: use type S3 against its s3api middleware".into(),
        other => format!("{other:?} is unknown: use S3, GCS, AZURE or FILESYSTEM"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(yaml: &str) -> Result<Config, ConfigError> {
        Config::parse(yaml, &|name| (name == "SECRET").then(|| "s3cr3t".to_owned()))
    }

    #[test]
    fn whole_s3_reference_of_the_docs() {
        let yaml = r#"
type: S3
config:
  bucket: "b"
  endpoint: "s3.eu-west-1.amazonaws.com"
  region: ""
  disable_dualstack: false
  aws_sdk_auth: false
  access_key: "k"
  insecure: false
  signature_version2: false
  secret_key: "$(SECRET)"
  session_token: ""
  put_user_metadata: {}
  http_config:
    idle_conn_timeout: 1m30s
    response_header_timeout: 2m
    insecure_skip_verify: false
    tls_handshake_timeout: 10s
    expect_continue_timeout: 1s
    max_idle_conns: 100
    max_idle_conns_per_host: 100
    max_conns_per_host: 0
    tls_config:
      ca_file: ""
      cert_file: ""
      key_file: ""
      server_name: ""
      insecure_skip_verify: false
    disable_compression: false
  trace:
    enable: false
  list_objects_version: ""
  bucket_lookup_type: auto
  send_content_md5: true
  disable_multipart: false
  part_size: 67108864
  sse_config:
    type: ""
    kms_key_id: ""
    kms_encryption_context: {}
    encryption_key: ""
  sts_endpoint: ""
  max_retries: 0
prefix: "/a/b/"
"#;
        let config = parse(yaml).unwrap();
        assert_eq!(config.prefix, "a/b");
        let Provider::S3(s3) = config.provider else { panic!() };
        assert_eq!((s3.bucket.as_str(), s3.region.as_str(), s3.virtual_hosted), ("b", "eu-west-1", true));
        assert_eq!(s3.secret_key.as_deref(), Some("s3cr3t"));
        // Nothing said of the secret when printed.
        assert!(!format!("{s3:?}").contains("s3cr3t"));
    }

    #[test]
    fn refusals_say_where_and_why() {
        let s3 = |more: &str| format!("type: s3\nconfig:\n  bucket: b\n  endpoint: e:9000\n{more}\n");
        for (yaml, line, words) in [
            (s3("  bukket: x"), 5, "bukket"),
            (s3("  signature_version2: true"), 5, "signature_version2"),
            (s3("  region: r\n  list_objects_version: v1"), 6, "list_objects_version"),
            (s3("  bucket_lookup_type: magic"), 5, "bucket_lookup_type"),
            (s3("  access_key: k"), 5, "secret_key"),
            (s3("  secret_key: $(NOPE)"), 5, "\"NOPE\""),
            (s3("  http_config:\n    idle_conn_timeout: 5 parsecs"), 6, "duration"),
            (s3("  http_config:\n    tls_config:\n      server_name: 'a b'"), 7, "server_name"),
            (s3("  sse_config:\n    type: SSE-X"), 6, "SSE-KMS"),
            (s3("  part_size: 10"), 5, "part_size"),
            ("type: s3\nconfig:\n  endpoint: e\n".into(), 0, "bucket"),
            ("type: s3\nconfig:\n  bucket: b\n  endpoint: http://e\n".into(), 4, "insecure"),
            ("type: SWIFT\nconfig: {}\n".into(), 1, "s3api"),
            ("type: COS\nconfig: {}\n".into(), 1, "myqcloud"),
            ("type: FLOPPY\n".into(), 1, "FILESYSTEM"),
            ("type: FILESYSTEM\nconfig: {}\n".into(), 1, "directory"),
            ("type: FILESYSTEM\nconfig: {directory: a}\nprefiks: b\n".into(), 3, "prefiks"),
            ("type: GCS\nconfig:\n  bucket: b\n  use_grpc: true\n".into(), 4, "use_grpc"),
        ] {
            let error = parse(&yaml).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(words), "{yaml}\n→ {text}");
            if line > 0 {
                assert!(text.starts_with(&format!("line {line}: ")), "{yaml}\n→ {text}");
            }
        }
    }

    #[test]
    fn opens_with_encryption_and_environment() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, [7; 32]).unwrap();
        let customer = format!("{{type: SSE-C, encryption_key: '{}'}}", key.display());
        for sse in ["{}", "{type: SSE-S3}", "{type: SSE-KMS, kms_key_id: k}", &customer] {
            let yaml = format!("type: S3\nconfig: {{bucket: b, endpoint: e, aws_sdk_auth: true, sse_config: {sse}}}\n");
            let env = |name: &str| name.starts_with("AWS_").then(|| "x".to_owned());
            let config = Config::parse(&yaml, &env).unwrap();
            config.open(&OpenOptions::default()).unwrap_or_else(|e| panic!("{sse}: {e}"));
        }
        // A certificate that is none is refused when opened, an absent one when read.
        let tls = |file: &std::path::Path| {
            let tls = format!("{{tls_config: {{ca_file: '{}'}}}}", file.display());
            format!("type: S3\nconfig: {{bucket: b, endpoint: e, http_config: {tls}}}\n")
        };
        std::fs::write(&key, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
        assert!(parse(&tls(&key)).unwrap().open(&OpenOptions::default()).is_err());
        assert!(parse(&tls(&dir.path().join("none"))).unwrap_err().to_string().contains("ca_file"));
    }

    #[test]
    fn nulls_and_other_types() {
        let config = parse("---\ntype: FILESYSTEM\nconfig: {directory: a}\n---\ntype: S3\n").unwrap();
        assert!(matches!(config.provider, Provider::Filesystem { .. }), "the first document is read");
        let config = parse("type: FILESYSTEM\nconfig:\n  directory: /tmp/x\nprefix: ~\n").unwrap();
        assert!(matches!(config.provider, Provider::Filesystem { .. }));
        let azure = parse(
            "type: AZURE\nconfig:\n  storage_account: a\n  storage_account_key: a2V5\n  container: c\n  max_retries: 3\n",
        );
        let Provider::Azure(azure) = azure.unwrap().provider else { panic!() };
        assert_eq!(azure.endpoint, "https://a.blob.core.windows.net");
        let gcs = parse("type: GCS\nconfig:\n  bucket: b\n  service_account: |-\n    {\"type\": \"x\"}\n").unwrap();
        assert!(matches!(gcs.provider, Provider::Gcs(_)));
    }
}
