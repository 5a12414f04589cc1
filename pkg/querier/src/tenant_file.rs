//! Limits of single tenants: `--query.tenant-limits-file`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use queryapi::{TenantLimits, Tenants};
use serde::Deserialize;
use yaml::{Bytes, DurationMs};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    /// Limits of each tenant that is not named below.
    default: Limits,
    /// Limits by the name of the tenant. What is not set is as in `default`.
    tenants: BTreeMap<String, Limits>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    /// Its queries that are evaluated at one time; 0 = no limit. Default: `--query.tenant-max-concurrent`.
    tenant_max_concurrent: Option<usize>,
    /// Its queries that wait for their turn; 0 = no limit. Default: `--query.tenant-max-queued`.
    tenant_max_queued: Option<usize>,
    /// Bytes that its queries hold together; 0 = no limit. Default: `--query.tenant-max-bytes`.
    tenant_max_bytes: Option<Bytes>,
    /// How long one query may take, waiting included; 0 = no limit. Default: `--query.timeout`.
    timeout: Option<DurationMs>,
    /// Samples that one query holds; 0 = no limit. Default: `--query.max-samples`.
    max_samples: Option<usize>,
    /// Series that one query reads; 0 = no limit. Default: `--query.max-series`.
    max_series: Option<u64>,
    /// Bytes that one query holds; 0 = no limit. Default: `--query.max-bytes`.
    max_bytes: Option<Bytes>,
}

impl Limits {
    /// These limits; what they leave open is as in `base`.
    fn over(&self, base: TenantLimits) -> TenantLimits {
        let mut limits = base;
        limits.running_max = self.tenant_max_concurrent.unwrap_or(base.running_max);
        limits.waiting_max = self.tenant_max_queued.unwrap_or(base.waiting_max);
        limits.bytes_max = self.tenant_max_bytes.map_or(base.bytes_max, |bytes| bytes.0);
        let query = &mut limits.query;
        query.timeout_ms = self.timeout.map(|timeout| timeout.0.unsigned_abs()).or(query.timeout_ms);
        query.max_samples = self.max_samples.or(query.max_samples);
        query.max_series = self.max_series.or(query.max_series);
        query.max_query_bytes = self.max_bytes.map(|bytes| bytes.0).or(query.max_query_bytes);
        limits
    }
}

/// The file, read again and again.
#[derive(Debug)]
pub(crate) struct TenantFile {
    path: PathBuf,
    /// What the flags say.
    flags: TenantLimits,
    tenants: Arc<Tenants>,
    /// The text that is in force.
    text: Mutex<Option<String>>,
}

impl TenantFile {
    /// Reads the file and puts its limits in force.
    ///
    /// # Errors
    /// See [`TenantFile::reload`].
    pub fn open(path: PathBuf, flags: TenantLimits, tenants: Arc<Tenants>) -> Result<Self, String> {
        let file = Self { path, flags, tenants, text: Mutex::default() };
        file.reload()?;
        Ok(file)
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// It cannot be read, or a key of it is wrong; the former limits stay in force.
    pub fn reload(&self) -> Result<(), String> {
        let shown = self.path.display();
        let text = std::fs::read_to_string(&self.path).map_err(|e| format!("{shown}: {e}"))?;
        let mut in_force = self.text.lock();
        if in_force.as_ref() == Some(&text) {
            return Ok(());
        }
        let file: File = yaml::parse(&text).and_then(|node| node.decode()).map_err(|e| format!("{shown}: {e}"))?;
        let others = file.default.over(self.flags);
        let named: HashMap<Arc<str>, TenantLimits> =
            file.tenants.iter().map(|(name, limits)| (name.as_str().into(), limits.over(others))).collect();
        tracing::info!(path = %shown, tenants = named.len(), "limits of tenants are in force");
        self.tenants.replace(others, named);
        *in_force = Some(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use promql::QueryLimits;

    use super::*;

    #[test]
    fn a_tenant_has_its_own_limits_then_the_default_then_the_flags() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("limits.yml");
        std::fs::write(
            &path,
            "default: {max_series: 100, tenant_max_concurrent: 4}\n\
             tenants:\n  big: {max_series: 0, timeout: 5m, tenant_max_bytes: 1GiB}\n  \
             small: {max_samples: 10, max_bytes: 1MiB, tenant_max_queued: 1}\n",
        )
        .unwrap();
        let flags = TenantLimits { running_max: 2, waiting_max: 9, ..TenantLimits::default() };
        let tenants = Arc::new(Tenants::new(flags));
        let file = TenantFile::open(path.clone(), flags, tenants.clone()).unwrap();
        let others = TenantLimits {
            running_max: 4,
            query: QueryLimits { max_series: Some(100), ..QueryLimits::default() },
            ..flags
        };
        assert_eq!(tenants.of("any"), others);
        let query = QueryLimits { max_series: Some(0), timeout_ms: Some(300_000), ..QueryLimits::default() };
        assert_eq!(tenants.of("big"), TenantLimits { bytes_max: 1 << 30, query, ..others });
        let query = QueryLimits { max_samples: Some(10), max_query_bytes: Some(1 << 20), ..others.query };
        assert_eq!(tenants.of("small"), TenantLimits { waiting_max: 1, query, ..others });

        // What is wrong leaves all as it was.
        std::fs::write(&path, "tenants:\n  big: {max_serie: 3}\n").unwrap();
        let wrong = file.reload().unwrap_err();
        assert!(wrong.contains("line 2") && wrong.contains("did you mean max_series"), "{wrong}");
        std::fs::write(&path, "tenants:\n  big: {tenant_max_bytes: 3}\n").unwrap();
        assert!(file.reload().unwrap_err().contains("no unit"));
        assert_eq!(tenants.of("any"), others);
        std::fs::write(&path, "").unwrap();
        file.reload().unwrap();
        assert_eq!((tenants.of("any"), tenants.of("big")), (flags, flags));
        std::fs::remove_file(&path).unwrap();
        assert!(file.reload().unwrap_err().contains("limits.yml"));
    }
}
