//! Lists of targets in files, read again and again.
//!
//! Files are read at an interval rather than watched: they are small, the file system tells nothing of changes on some
//! mounts, and a file that is replaced by a link (as Kubernetes does with ConfigMaps) is read like any other. What was
//! read is parsed only where it differs from the time before.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::BoxFuture;
use labels::Labels;
use model::{ADDRESS_LABEL, TargetGroup};
use serde::Deserialize;
use telemetry::{Counter, GaugeVec, Metrics};
use tokio_util::sync::CancellationToken;

use crate::glob::{fits, glob};
use crate::{Changes, Discoverer, Update, Updates};

/// The label that names the file a group was found in, as in Prometheus.
const PATH_LABEL: &str = "__meta_filepath";

/// Which files to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// This one. That it is not there is a failure.
    One(PathBuf),
    /// Each that is there now: a path, whose parts may hold `*`, `?` and `[a-z]`.
    Matching(String),
}

impl Which {
    /// The paths to read now; none where the folder cannot be listed.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.list().unwrap_or_default()
    }

    /// The paths to read now. A folder that is not there holds none.
    fn list(&self) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::One(path) => Ok(vec![path.clone()]),
            Self::Matching(pattern) => glob(pattern),
        }
    }
}

/// What one file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<T> {
    /// What it said when it last loaded; `None` if it never did.
    pub value: Option<T>,
    /// Why it did not load at the latest attempt: the path, the line where there is one, and what is wrong there.
    pub failure: Option<String>,
    /// What was read at the latest attempt, whether it loaded or not.
    content: Option<String>,
}

/// Turns a file's path and content into what it says, or into what is wrong with it.
pub type Parse<T> = Box<dyn Fn(&Path, &str) -> Result<T, String> + Send + Sync>;

/// Files of one meaning, with what each said when it last loaded. A file that does not load keeps what it said before; one
/// that is gone is forgotten.
pub struct Files<T> {
    kinds: Vec<(Which, Parse<T>)>,
    loaded: BTreeMap<PathBuf, Loaded<T>>,
}

impl<T: fmt::Debug> fmt::Debug for Files<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which: Vec<&Which> = self.kinds.iter().map(|(which, _)| which).collect();
        f.debug_struct("Files").field("kinds", &which).field("loaded", &self.loaded).finish()
    }
}

impl<T> Files<T> {
    /// Files with how each kind is parsed. Nothing is read yet. A path of two kinds is read as the first of them.
    pub fn new(kinds: Vec<(Which, Parse<T>)>) -> Self {
        Self { kinds, loaded: BTreeMap::new() }
    }

    /// Whether there is anything to read.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Reads all files again.
    pub fn reload(&mut self) {
        let mut before = std::mem::take(&mut self.loaded);
        for (which, parse) in &self.kinds {
            let paths = match (which.list(), which) {
                (Err(e), Which::Matching(pattern)) => {
                    // What is there now is not known: no file of it is forgotten, and the pattern has failed.
                    let kept = before.extract_if(.., |path, _| fits(pattern, path));
                    self.loaded.extend(kept);
                    let failure = Some(format!("{pattern}: {e}"));
                    self.loaded.insert(pattern.into(), Loaded { value: None, failure, content: None });
                    continue;
                }
                (paths, _) => paths.unwrap_or_default(),
            };
            for path in paths {
                let before = before.remove(&path);
                if let Entry::Vacant(new) = self.loaded.entry(path) {
                    let now = load(new.key(), parse, before);
                    new.insert(now);
                }
            }
        }
    }

    /// Each file that was there at the latest reading, by path.
    pub fn loaded(&self) -> impl Iterator<Item = (&Path, &Loaded<T>)> {
        self.loaded.iter().map(|(path, loaded)| (path.as_path(), loaded))
    }
}

fn load<T>(path: &Path, parse: &Parse<T>, before: Option<Loaded<T>>) -> Loaded<T> {
    let content = match std::fs::read_to_string(path) {
        Ok(content) => content,
        Err(e) => {
            let failure = Some(format!("{}: {e}", path.display()));
            return Loaded { value: before.and_then(|b| b.value), failure, content: None };
        }
    };
    match before {
        Some(before) if before.content.as_ref() == Some(&content) => before,
        before => {
            let (value, failure) = match parse(path, &content) {
                Ok(value) => (Some(value), None),
                Err(e) => (before.and_then(|b| b.value), Some(format!("{}: {e}", path.display()))),
            };
            Loaded { value, failure, content: Some(content) }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    /// Addresses, as in `--endpoint`.
    #[serde(default)]
    targets: Option<Vec<String>>,
    /// Labels of the targets, one without a value is none; endpoints have no use for them.
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// The groups of a file of Prometheus' `file_sd_config`: JSON where its name ends so, else YAML. A group's source is the path
/// and its place in the file.
///
/// # Errors
/// What is wrong, with the line.
pub fn parse_groups(path: &Path, content: &str) -> Result<Vec<TargetGroup>, String> {
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let groups: Option<Vec<Group>> = if is_json {
        serde_json::from_str(content).map_err(|e| format!("line {}: {e}", e.line()))?
    } else {
        flags::parse_yaml(content)?
    };
    let path = path.display().to_string();
    let one = |(i, group): (usize, Group)| {
        let own = group.labels.unwrap_or_default();
        let given = own.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
        TargetGroup {
            source: format!("{path}:{i}"),
            targets: group.targets.iter().flatten().map(|t| Labels::from_pairs([(ADDRESS_LABEL, t)])).collect(),
            labels: Labels::from_pairs(given.filter(|(name, _)| *name != PATH_LABEL).chain([(PATH_LABEL, &path[..])])),
        }
    };
    Ok(groups.unwrap_or_default().into_iter().enumerate().map(one).collect())
}

/// Counts of all discoverers that read files.
#[derive(Debug, Clone)]
pub struct FileMetrics {
    read_errors: Counter,
    mtime: GaugeVec,
}

impl FileMetrics {
    /// Under Prometheus' names.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            read_errors: metrics
                .counter("prometheus_sd_file_read_errors_total", "Files with targets that did not load."),
            mtime: metrics.gauges("prometheus_sd_file_mtime_seconds", "When a file was last changed.", &["filename"]),
        }
    }
}

/// Finds targets in files, as `file_sd_configs` does.
#[derive(Debug)]
pub struct FileDiscoverer {
    files: Files<Vec<TargetGroup>>,
    interval: Duration,
    metrics: FileMetrics,
    shown: BTreeSet<String>,
}

impl FileDiscoverer {
    /// A discoverer that reads the files that `patterns` stand for every `interval`.
    pub fn new(patterns: Vec<String>, interval: Duration, metrics: FileMetrics) -> Self {
        let kind = |pattern| (Which::Matching(pattern), Box::new(parse_groups) as Parse<Vec<TargetGroup>>);
        let files = Files::new(patterns.into_iter().map(kind).collect());
        Self { files, interval, metrics, shown: BTreeSet::new() }
    }

    /// Reads all files; returns the states of all sources.
    fn read(&mut self) -> Vec<Update> {
        self.files.reload();
        let mut all = Vec::new();
        let before = std::mem::take(&mut self.shown);
        for (path, loaded) in self.files.loaded() {
            let name = path.display().to_string();
            if let Some(mtime) = mtime_s(path) {
                self.metrics.mtime.with(&[&name]).set(mtime);
                self.shown.insert(name.clone());
            }
            all.extend(loaded.value.iter().flatten().cloned().map(Update::found));
            if loaded.failure.is_some() {
                self.metrics.read_errors.inc();
                let group = TargetGroup { source: name, ..TargetGroup::default() };
                all.push(Update { group, failure: loaded.failure.clone() });
            }
        }
        for gone in before.difference(&self.shown) {
            self.metrics.mtime.remove(&[gone]);
        }
        all
    }
}

impl Drop for FileDiscoverer {
    fn drop(&mut self) {
        for name in &self.shown {
            self.metrics.mtime.remove(&[name]);
        }
    }
}

fn mtime_s(path: &Path) -> Option<f64> {
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    Some(modified.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs_f64())
}

impl Discoverer for FileDiscoverer {
    fn run(self: Box<Self>, updates: Updates, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let reading = async {
                let (mut this, mut changes) = (self, Changes::default());
                loop {
                    let interval = this.interval;
                    // Aside, since a file system may hang.
                    let read = tokio::task::spawn_blocking(move || {
                        let all = this.read();
                        (this, all)
                    });
                    let Ok((back, all)) = read.await else { return };
                    this = back;
                    if !updates.send(changes.of(all)).await {
                        return;
                    }
                    tokio::time::sleep(interval).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = updates.closed() => {}
                () = reading => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_that_cannot_be_listed_forgets_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("sd");
        let file = folder.join("a.yml");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&file, "- targets: [x:1]\n").unwrap();
        let pattern = folder.join("*.yml");
        let which = Which::Matching(pattern.display().to_string());
        let mut files = Files::new(vec![(which, Box::new(parse_groups) as Parse<Vec<TargetGroup>>)]);
        files.reload();
        std::fs::remove_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, &folder).unwrap();
        files.reload();
        let loaded: BTreeMap<_, _> = files.loaded().map(|(path, l)| (path.to_owned(), l.clone())).collect();
        assert_eq!(loaded[&file].value.as_ref().unwrap().len(), 1);
        assert!(loaded[&pattern].failure.as_ref().unwrap().contains("sd: "), "{loaded:?}");
        std::fs::remove_file(&folder).unwrap();
        files.reload();
        assert_eq!(files.loaded().count(), 0, "a folder that is gone holds no file");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_forgets_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("real"), dir.path().join("a.yml"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for pattern in ["a.yml", "*.yml"] {
            let which = Which::Matching(dir.path().join(pattern).display().to_string());
            let mut files = Files::new(vec![(which, Box::new(parse_groups) as Parse<Vec<TargetGroup>>)]);
            std::fs::write(&file, "- targets: [x:1]\n").unwrap();
            files.reload();
            std::fs::remove_file(&file).unwrap();
            files.reload();
            let (_, loaded) = files.loaded().next().unwrap();
            assert!(loaded.value.is_some() && loaded.failure.is_some(), "{pattern}: {loaded:?}");
        }
    }

    #[test]
    fn groups_may_lack_targets_and_labels_values() {
        for (text, addresses, labels) in [
            ("- labels: {a: b}", 0, 2),
            ("- targets:\n  labels:", 0, 1),
            ("- targets: [x:1]\n  labels: {a: , b: null, c: ~, d: 1, e: true}", 1, 3),
            ("[]", 0, 0),
        ] {
            let groups = parse_groups(Path::new("f.yml"), text).unwrap();
            assert_eq!(groups.iter().flat_map(|g| g.addresses()).count(), addresses, "{text}");
            assert_eq!(groups.iter().map(|g| g.labels.len()).sum::<usize>(), labels, "{text}: {groups:?}");
        }
    }

    #[test]
    fn an_empty_file_says_nothing_in_yaml_only() {
        for content in ["", " \n"] {
            assert_eq!(parse_groups(Path::new("a.yml"), content), Ok(Vec::new()));
            assert!(parse_groups(Path::new("a.json"), content).unwrap_err().contains("EOF"));
        }
    }

    #[test]
    fn a_file_that_says_more_than_is_known_is_refused() {
        for (name, text, why) in [
            ("a.yml", "- targets: [x:1]\n  label: {a: b}", "line 2: "),
            ("a.yml", "- targets: [x:1]\n  targets: [y:1]", "line 2: "),
            ("a.JSON", r#"[{"targets": ["x:1"], "label": {"a": "b"}}]"#, "`label`"),
            ("a.json", r#"[{"targets": ["x:1"]}, null]"#, "line 1: "),
            ("a.json", "- targets: [x:1]", "line 1: "),
        ] {
            let error = parse_groups(Path::new(name), text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn files_by_pattern() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.yml"), "- targets: [x:1, y:2]\n  labels: {a: b, port: 9090}\n").unwrap();
        std::fs::write(dir.path().join("b.yml"), "[{\"targets\": [\"z:3\"]}]").unwrap();
        std::fs::write(dir.path().join("c.json"), "[\n  {\"targets\": 1}\n]").unwrap();
        let pattern = |name: &str| Which::Matching(dir.path().join(name).display().to_string());
        let found = pattern("*.yml").paths();
        let read = |path: &Path| parse_groups(path, &std::fs::read_to_string(path).unwrap());
        let groups: Vec<TargetGroup> = found.iter().flat_map(|path| read(path).unwrap()).collect();
        let addresses: Vec<&str> = groups.iter().flat_map(TargetGroup::addresses).collect();
        assert_eq!(addresses, ["x:1", "y:2", "z:3"]);
        let path = dir.path().join("a.yml").display().to_string();
        assert_eq!(groups[0].source, format!("{path}:0"));
        assert_eq!(groups[0].labels, Labels::from_pairs([("a", "b"), ("port", "9090"), (PATH_LABEL, &path)]));
        let error = read(&dir.path().join("c.json")).unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(pattern("none.yml").paths().is_empty() && pattern("n*.yml").paths().is_empty());
        let names = |name: &str| pattern(name).paths().len();
        assert_eq!((names("[ab].yml"), names("?.y*l"), names("*.*"), names("[!a.yml")), (2, 2, 3, 0));
    }

    #[test]
    fn a_file_is_parsed_where_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let parsed = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = parsed.clone();
        let parse: Parse<String> = Box::new(move |_, text| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if text.is_empty() { Err("line 1: empty".to_owned()) } else { Ok(text.to_owned()) }
        });
        let mut files = Files::new(vec![(Which::One(path.clone()), parse)]);
        let mut state = |text: Option<&str>| {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => drop(std::fs::remove_file(&path)),
            }
            files.reload();
            let (_, loaded) = files.loaded().next().unwrap();
            (loaded.value.clone(), loaded.failure.clone().map(|f| f.rsplit('/').next().unwrap().to_owned()))
        };
        let some = |text: &str| Some(text.to_owned());
        assert!(state(None).1.unwrap().starts_with("f: No such file"));
        assert_eq!([state(Some("a")), state(Some("a"))], [(some("a"), None), (some("a"), None)]);
        assert_eq!(state(Some("")), (some("a"), some("f: line 1: empty")));
        assert_eq!(state(Some("")), (some("a"), some("f: line 1: empty")));
        assert_eq!(state(None).0, some("a"));
        assert_eq!(state(Some("b")), (some("b"), None));
        assert_eq!(parsed.load(std::sync::atomic::Ordering::Relaxed), 3);
    }
}
