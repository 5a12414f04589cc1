//! Files of endpoints, read again and again: `--endpoint.sd-config-file` and `--store.sd-files`. One that does not load
//! keeps the endpoints that it had.

use std::path::Path;

use discovery::file::{Files, Parse, Which, parse_groups};
use model::TargetGroup;
use telemetry::{Counter, Gauge, Metrics};
use tracing::warn;

use super::sd::{SdError, parse_sd};
use super::set::{Configured, Spec};

/// The files, with what each said when it last loaded.
#[derive(Debug)]
pub struct EndpointFiles {
    files: Files<Vec<Spec>>,
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
        let mut kinds: Vec<(Which, Parse<Vec<Spec>>)> = Vec::new();
        if let Some(path) = config {
            let base = base.clone();
            let parse = move |_: &Path, yaml: &str| parse_sd(yaml, &base).map_err(|e| e.to_string());
            kinds.push((Which::One(path.into()), Box::new(parse)));
        }
        for pattern in patterns {
            let (which, base) = (Which::Matching(pattern.clone()), base.clone());
            if which.paths().is_empty() {
                warn!(pattern, "no file of endpoints is there yet");
            }
            let parse = move |path: &Path, content: &str| {
                let groups = parse_groups(path, content)?;
                let addresses = groups.iter().flat_map(TargetGroup::addresses);
                Ok(addresses.map(|address| base.at(address.to_owned())).collect())
            };
            kinds.push((which, Box::new(parse)));
        }
        let mut files = Self { files: Files::new(kinds), failures, healthy };
        // What does not load is in the log, and its endpoints are missing aloud.
        let _ = files.reload();
        files
    }

    /// Whether there is anything to read.
    pub fn any(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads all again.
    ///
    /// # Errors
    /// The files that do not load, in one sentence; they keep the endpoints that they had, the others are loaded.
    pub fn reload(&mut self) -> Result<(), SdError> {
        self.files.reload();
        let mut all: Vec<&str> = Vec::new();
        for (_, file) in self.files.loaded() {
            if let Some(err) = &file.failure {
                all.push(err);
                self.failures.inc();
                let kept = file.value.as_ref().map_or(0, Vec::len);
                warn!(err, kept, "file of endpoints does not load");
            }
        }
        self.healthy.set(f64::from(u8::from(all.is_empty())));
        if all.is_empty() { Ok(()) } else { Err(SdError(all.join("; "))) }
    }

    /// `fixed` and what the files say.
    pub fn with(&self, fixed: &[Spec]) -> Configured {
        let mut configured = Configured { specs: fixed.to_vec(), unread: Vec::new() };
        for (path, file) in self.files.loaded() {
            match (&file.value, &file.failure) {
                (Some(specs), _) => configured.specs.extend(specs.iter().cloned()),
                (None, Some(why)) => configured.unread.push((path.display().to_string(), why.clone())),
                (None, None) => {}
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
