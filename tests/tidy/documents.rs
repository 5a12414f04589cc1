//! What the documents say is so: flags, metrics and log texts that they name exist, links lead somewhere.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tests::{commands, root};

/// Flags in the documents that are not ours, by their beginning.
const FLAGS_OF_OTHERS: &[&str] = &[
    "storage.",        // Prometheus
    "web.enable",      // Prometheus
    "compact.enable-", // hidden
    "help",            // every command
    "workspace",       // cargo
    "release",
    "profile",
    "path",   // cargo
    "locked", // cargo
    "test",
    "nocapture",
    "timings",
    "bench",
    "example",
];

/// Hand-written documents.
pub fn documents() -> Vec<(PathBuf, String)> {
    let root = root();
    let mut paths: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|f| root.join(f)).to_vec();
    for dir in ["docs", "docs/formats", "docs/config"] {
        let files = std::fs::read_dir(root.join(dir)).into_iter().flatten().flatten().map(|e| e.path());
        paths.extend(files.filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    paths.sort();
    paths.into_iter().filter_map(|p| std::fs::read_to_string(&p).ok().map(|text| (p, text))).collect()
}

/// All Rust of the product, with strings that go on in the next line joined.
fn sources() -> String {
    fn visit(dir: &Path, out: &mut String) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    let mut text = String::new();
    ["pkg", "cmd"].iter().for_each(|dir| visit(&root().join(dir), &mut text));
    let mut parts = text.split("\\\n");
    let mut out = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| out.push_str(part.trim_start()));
    out.replace("\\\"", "\"").replace("\\`", "`")
}

/// Command lines of ours between fences, with those that go on after a backslash.
fn command_lines(text: &str) -> Vec<&str> {
    let (mut inside, mut goes_on, mut out) = (false, false, Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && (goes_on || line.starts_with("aion ")) {
            goes_on = line.ends_with('\\');
            out.push(line);
        }
    }
    out
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.starts_with("```")).flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn flags_in_documents_exist() {
    let commands = commands();
    let known: BTreeSet<&str> = commands.iter().flat_map(flags::Command::all).map(|f| f.name).collect();
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        let lines = command_lines(&text);
        for word in quoted(&text).chain(lines).flat_map(str::split_whitespace) {
            let Some(flag) = word.strip_prefix("--") else { continue };
            let name: String = flag.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
            let cut = flag[name.len()..].starts_with('…');
            let name = name.strip_prefix("no-").filter(|n| known.contains(n)).unwrap_or(&name);
            let exists = known.contains(name) || (cut && known.iter().any(|k| k.starts_with(name)));
            if !exists && !name.is_empty() && !FLAGS_OF_OTHERS.iter().any(|other| name.starts_with(other)) {
                wrong.push(format!("{}: --{name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "flags that no command has:\n{}", wrong.join("\n"));
}

#[test]
fn metrics_in_documents_exist() {
    let sources = sources();
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for word in quoted(&text) {
            let name: String = word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let is_metric = (name.starts_with("thanos_") || name.starts_with("aion_"))
                && name.len() == word.split('{').next().unwrap_or(word).len();
            if is_metric && !sources.contains(&format!("\"{}", name.trim_end_matches("_total"))) {
                wrong.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "metrics that nothing registers:\n{}", wrong.join("\n"));
}

/// Texts of logs, warnings and errors: what is between `…` must stand in a source file.
#[test]
fn texts_in_operations_exist() {
    const LETTERS_MIN: usize = 8;
    let sources = sources();
    let path = root().join("docs/operations.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut wrong = Vec::new();
    for row in text.lines().filter(|l| l.starts_with("| ")) {
        let shown = row.split(" | ").next().unwrap_or_default();
        let is_text = |t: &&str| t.contains(' ') && !t.contains(['=', '{', '/', '<']) && !t.starts_with("served: ");
        for piece in quoted(shown).filter(is_text).flat_map(|t| t.split('…')).map(|p| p.trim_matches([' ', ':', ',']))
        {
            if piece.len() >= LETTERS_MIN && !sources.contains(piece) {
                wrong.push(piece);
            }
        }
    }
    assert!(wrong.is_empty(), "{}: texts that the program does not have:\n{}", path.display(), wrong.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let anchor = |heading: &str| -> String {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let found = match (target.exists(), part) {
                (false, _) => false,
                (true, "") => true,
                (true, part) => {
                    let text = std::fs::read_to_string(&target).unwrap_or_default();
                    text.lines().any(|l| l.starts_with('#') && anchor(l.trim_start_matches('#')) == part)
                }
            };
            if !found {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

/// Files of the project that documents name, tests that hold an invariant above all.
#[test]
fn files_in_documents_exist() {
    const FOLDERS: [&str; 10] =
        [".ci/", "cmd/", "deploy/", "docs/", "examples/", "fuzz/", "minio/", "pkg/", "testdata/", "tests/"];
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        let named = quoted(&text).filter(|t| FOLDERS.iter().any(|f| t.starts_with(f)));
        for file in named.filter(|t| !t.contains(['*', '<', ' ', '…', ':']) && !root().join(t).exists()) {
            wrong.push(format!("{}: {file}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "files that are not there:\n{}", wrong.join("\n"));
}
