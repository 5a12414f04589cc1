//! Words that have a better one, see docs/glossary.md. They do not come back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tests::root;

/// What is not written any more, in lower case, and what is written instead.
const WORDS: &[(&str, &str)] = &[
    ("made coarser", "downsampled"),
    ("make coarser", "downsample"),
    ("makes coarser", "downsamples"),
    ("coarser block", "downsampled block, or: block of a lower resolution"),
    ("coarse block", "downsampled block"),
    ("coarse data", "downsampled data"),
    ("coarse window", "downsampled window"),
    ("sparse_histogram", "native histogram"),
    ("sparse histogram", "native histogram"),
    ("written anew", "rewritten, or: written again"),
    ("made anew", "made again"),
    ("broken off", "partial, or: interrupted"),
    ("broken-off", "partial, or: interrupted"),
    ("remark", "annotation: a warning or an info"),
    ("damaged", "corrupt"),
    ("spoilt", "corrupt"),
];

/// Names that others read, here of a metric. They are taken out before a line is searched.
const NAMES: &[&str] = &["thanos_bucket_store_damaged_reads_total"];

/// Where such words still stand.
const LEFT: &[(&str, &[&str])] = &[
    // How an error begins that Prometheus answers in the middle of a stream.
    ("pkg/remote", &["broken off"]),
    // A severity in the output of `verify`.
    ("pkg/tools", &["damaged"]),
];

/// The crate or the folder that a file belongs to: `pkg/block`, `docs`.
fn owner(path: &Path) -> String {
    let mut parts = path.iter().map(|p| p.to_string_lossy().into_owned());
    match (parts.next(), parts.next()) {
        (Some(top), Some(name)) if top == "pkg" || top == "cmd" => format!("{top}/{name}"),
        (Some(top), _) => top,
        (None, _) => String::new(),
    }
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !["target", "run", ".git", "testdata", "corpus"].iter().any(|skip| name == *skip) {
                files(&path, out);
            }
        } else if path.extension().is_some_and(|e| e == "rs" || e == "md") && name != "dictionary.rs" {
            out.push(path);
        }
    }
}

#[test]
fn old_words_do_not_come_back() {
    let root = root();
    let mut paths = Vec::new();
    files(&root, &mut paths);
    paths.sort();
    let mut found: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap_or_default().to_lowercase();
        let path = path.strip_prefix(&root).unwrap_or(path);
        for (number, line) in (1..).zip(text.lines()) {
            let line = NAMES.iter().fold(line.to_owned(), |line, name| line.replace(name, ""));
            for (word, better) in WORDS.iter().filter(|(word, _)| line.contains(word)) {
                let place = format!("{}:{number}: {word} (write: {better})", path.display());
                found.entry((owner(path), word)).or_default().push(place);
            }
        }
    }
    let is_left = |owner: &str, word: &str| LEFT.iter().any(|(at, words)| *at == owner && words.contains(&word));
    for (at, words) in LEFT {
        for word in words.iter().filter(|word| !found.contains_key(&((*at).to_owned(), **word))) {
            eprintln!("{at}: {word} stands nowhere any more: take it out of the list");
        }
    }
    found.retain(|(owner, word), _| !is_left(owner, word));
    let places: Vec<String> = found.into_values().flatten().collect();
    assert!(places.is_empty(), "{} words:\n{}", places.len(), places.join("\n"));
}
