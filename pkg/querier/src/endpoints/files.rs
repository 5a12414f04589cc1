//! Files of endpoints, read again and again: `--endpoint.sd-config-file` and `--store.sd-files`. One that does not load
//! keeps the endpoints that it had.

use std::collections::BTreeMap;
use std::path::PathBuf;

use telemetry::{Counter, Gauge, Metrics};
use tracing::warn;

use super::sd::{SdError, expand, load_sd, load_targets};
use super::set::{Configured, Spec};

/// The files, with what each said when it last loaded.
#[derive(Debug)]
pub struct EndpointFiles {
    config: Option<String>,
    patterns: Vec<String>,
    base: Spec,
    /// Specs, or why it has never loaded.
    loaded: BTreeMap<String, Result<Vec<Spec>, String>>,
    failures: Counter,
    healthy: Gauge,
}

impl EndpointFiles {
    /// Reads `config`, a path, and the files that `patterns` stand for; entries start from `base`.
    pub fn new(config: Option<String>, patterns: Vec<String>, base: Spec, metrics: &Metrics) -> Self {
        let failures =
            metrics.counter("aion_query_endpoint_file_failures_total", "Files of endpoints that did not load.");
        let healthy = metrics.gauge(
            "aion_query_endpoint_files_last_load_successful",
            "Whether all files of endpoints loaded when they were last read.",
        );
        let mut files = Self { config, patterns, base, loaded: BTreeMap::new(), failures, healthy };
        for pattern in files.patterns.iter().filter(|p| !expand(p).iter().any(|path| path.exists())) {
            warn!(pattern, "no file of endpoints is there yet");
        }
        // What does not load is in the log, and its endpoints are missing aloud.
        let _ = files.reload();
        files
    }

    /// Whether there is anything to read.
    pub fn any(&self) -> bool {
        self.config.is_some() || !self.patterns.is_empty()
    }

    /// Reads all again.
    ///
    /// # Errors
    /// The files that do not load, in one sentence; they keep the endpoints that they had, the others are loaded.
    pub fn reload(&mut self) -> Result<(), SdError> {
        let mut now = BTreeMap::new();
        if let Some(path) = &self.config {
            now.insert(path.clone(), load_sd(path, &self.base));
        }
        // Files that went away take their endpoints with them.
        let paths: Vec<PathBuf> = self.patterns.iter().flat_map(|p| expand(p)).filter(|p| p.exists()).collect();
        for path in paths {
            let specs = load_targets(&path).map(|list| list.into_iter().map(|a| self.base.at(a)).collect());
            now.insert(path.display().to_string(), specs);
        }
        let failures: Vec<String> =
            now.values().filter_map(|specs| specs.as_ref().err()).map(|e| e.0.clone()).collect();
        self.healthy.set(f64::from(u8::from(failures.is_empty())));
        let before = std::mem::take(&mut self.loaded);
        for (path, specs) in now {
            let kept = specs.or_else(|e| self.keep(e, before.get(&path)));
            self.loaded.insert(path, kept);
        }
        if failures.is_empty() { Ok(()) } else { Err(SdError(failures.join("; "))) }
    }

    fn keep(&self, error: SdError, before: Option<&Result<Vec<Spec>, String>>) -> Result<Vec<Spec>, String> {
        self.failures.inc();
        let kept = before.and_then(|b| b.as_ref().ok());
        warn!(err = %error, kept = kept.map_or(0, Vec::len), "file of endpoints does not load");
        kept.cloned().ok_or_else(|| error.to_string())
    }

    /// `fixed` and what the files say.
    pub fn with(&self, fixed: &[Spec]) -> Configured {
        let mut configured = Configured { specs: fixed.to_vec(), unread: Vec::new() };
        for (path, loaded) in &self.loaded {
            match loaded {
                Ok(specs) => configured.specs.extend(specs.iter().cloned()),
                Err(why) => configured.unread.push((path.clone(), why.clone())),
            }
        }
        configured
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::Mode;
    use transport::grpc::Compression;

    fn base() -> Spec {
        Spec { address: String::new(), strict: false, mode: Mode::Each, tls: None, compression: Compression::None }
    }

    fn shown(files: &EndpointFiles) -> (Vec<String>, Vec<String>) {
        let configured = files.with(&[base().at("fixed:1".to_owned())]);
        let addresses = configured.specs.into_iter().map(|s| s.address).collect();
        (
            addresses,
            configured.unread.into_iter().map(|(path, _)| path.rsplit('/').next().unwrap().to_owned()).collect(),
        )
    }

    #[test]
    fn a_file_that_breaks_keeps_its_endpoints_and_one_that_goes_takes_them_along() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
        write("sd.yml", "endpoints: [{address: 'a:1'}]");
        write("x.json", r#"[{"targets": ["b:2"]}]"#);
        write("y.json", "broken");
        let metrics = Metrics::new();
        let (config, pattern) = (path("sd.yml").display().to_string(), path("*.json").display().to_string());
        let mut files = EndpointFiles::new(Some(config), vec![pattern], base(), &metrics);
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(shown(&files), (texts(&["fixed:1", "a:1", "b:2"]), texts(&["y.json"])));

        write("y.json", r#"[{"targets": ["c:3"]}]"#);
        files.reload().unwrap();
        assert!(metrics.encode().contains("aion_query_endpoint_files_last_load_successful 1"));
        assert_eq!(shown(&files), (texts(&["fixed:1", "a:1", "b:2", "c:3"]), vec![]));

        write("sd.yml", "endpoints: [{addres: 'a:1'}]");
        write("x.json", "[{");
        let error = files.reload().unwrap_err().to_string();
        assert!(error.contains("sd.yml: line 1") && error.contains("; ") && error.contains("x.json"), "{error}");
        assert_eq!(shown(&files).0, texts(&["fixed:1", "a:1", "b:2", "c:3"]));
        let encoded = metrics.encode();
        assert!(encoded.contains("aion_query_endpoint_files_last_load_successful 0"), "{encoded}");
        assert!(encoded.contains("aion_query_endpoint_file_failures_total 3"), "{encoded}");

        write("sd.yml", "endpoints: [{address: 'd:4'}]");
        std::fs::remove_file(path("x.json")).unwrap();
        files.reload().unwrap();
        assert_eq!(shown(&files), (texts(&["fixed:1", "d:4", "c:3"]), vec![]));
    }
}
