//! The bucket part of a component's settings.

use flags::{Flag, Parsed};
use objstore::{Bucket, OpenOptions, Settings};

use crate::deps::Deps;
use crate::error::Error;

/// The flags that name a bucket.
pub const OBJSTORE: &[Flag] = &[
    Flag::text("objstore.config-file", "", "Path to YAML file that contains object store configuration.")
        .placeholder("<file-path>"),
    Flag::text("objstore.config", "", "Object store configuration, instead of a file.").placeholder("<content>"),
];

/// Most parts of one file that are uploaded in parallel.
const UPLOAD_CONCURRENCY_MAX: usize = 64;

/// Which bucket, and how it is used.
#[derive(Debug, Clone, Default)]
pub struct BucketConfig {
    /// Thanos' YAML; empty = no bucket is configured.
    pub yaml: String,
    /// Where it comes from, a file or the flag, for errors in it.
    pub origin: String,
    /// How many parts of one file are uploaded in parallel, at most 64; 0 = as [`Settings`] has it.
    pub upload_concurrency: usize,
}

impl BucketConfig {
    /// From `--objstore.config`, or what its file holds.
    ///
    /// # Errors
    /// The file cannot be read, or both flags are given.
    pub fn from_flags(parsed: &Parsed) -> Result<Self, Error> {
        let yaml = parsed.content("objstore.config")?.filter(|yaml| !yaml.trim().is_empty()).unwrap_or_default();
        Ok(Self { yaml, origin: parsed.origin("objstore.config"), upload_concurrency: 0 })
    }

    /// The bucket, `None` where none is configured.
    ///
    /// # Errors
    /// What is wrong in the configuration; names the file or the flag.
    pub fn open(&self, deps: &Deps) -> Result<Option<Bucket>, Error> {
        let bucket = match &deps.bucket {
            Some(bucket) => bucket.clone(),
            None if self.yaml.is_empty() => return Ok(None),
            None => {
                let named = |e: objstore::ConfigError| Error::Config(format!("{}: {e}", self.origin));
                let (metrics, clock) = (Some(deps.metrics.clone()), deps.clock.clone());
                let options = OpenOptions { metrics, clock, ..OpenOptions::default() };
                objstore::Config::parse(&self.yaml, &*deps.env).map_err(named)?.open(&options).map_err(named)?
            }
        };
        Ok(Some(match self.upload_concurrency {
            0 => bucket,
            n => {
                let parts_in_flight = n.min(UPLOAD_CONCURRENCY_MAX);
                bucket.with_settings(Settings { parts_in_flight, ..bucket.settings().clone() })
            }
        }))
    }

    /// The bucket of a component that is nothing without one.
    ///
    /// # Errors
    /// As [`open`](Self::open), or none is configured.
    pub fn open_required(&self, deps: &Deps) -> Result<Bucket, Error> {
        let missing = || Error::Config("a bucket is needed: give --objstore.config-file or --objstore.config".into());
        self.open(deps)?.ok_or_else(missing)
    }
}
