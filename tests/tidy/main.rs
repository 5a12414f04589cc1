//! The project's own order, as tests: crates depend downwards only, reference pages are current, test data says whence
//! it came.

mod config_pages;
mod declared;
mod dictionary;
mod documents;
mod pains;
mod proto;
mod structure;

use std::collections::BTreeMap;
use std::path::Path;

use tests::{commands, root};

/// The value of `key = …` in a TOML text, crudely: our manifests are regular.
fn floor_of(manifest: &str) -> Option<u32> {
    let (_, rest) = manifest.split_once("floor = ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn manifests() -> BTreeMap<String, String> {
    let root = root();
    let folders = ["pkg", "cmd"].into_iter().flat_map(|f| std::fs::read_dir(root.join(f)).unwrap());
    let dirs = folders.map(|e| e.unwrap().path()).chain([root.join("proto"), root.join("tests")]);
    let named = |dir: std::path::PathBuf| {
        let text = std::fs::read_to_string(dir.join("Cargo.toml")).ok()?;
        Some((dir.file_name()?.to_str()?.to_owned(), text))
    };
    dirs.filter_map(named).collect()
}

#[test]
fn crates_depend_on_lower_floors_only() {
    let manifests = manifests();
    let floors: BTreeMap<_, _> = manifests
        .iter()
        .map(|(name, text)| (name.as_str(), floor_of(text).unwrap_or_else(|| panic!("{name} has no floor"))))
        .collect();
    let mut wrong = Vec::new();
    for (name, text) in &manifests {
        for dependency in dependencies(text) {
            let (Some(below), own) = (floors.get(dependency), floors[name.as_str()]) else { continue };
            if *below > own || (*below == own && own != 0) {
                wrong.push(format!("{name} (floor {own}) -> {dependency} (floor {below})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Wire messages, and the only crates that may be built from them.
const WIRE: [(&str, &[&str]); 2] =
    [("proto", &["storeapi", "queryapi", "remote", "fuzz-targets", "tests"]), ("opentelemetry-proto", &["transport"])];

#[test]
fn wire_types_stay_at_the_edges() {
    let mut wrong = Vec::new();
    for (name, text) in &manifests() {
        for dependency in dependencies(text) {
            let edges = WIRE.iter().find(|(wire, _)| *wire == dependency);
            if edges.is_some_and(|(_, edges)| !edges.contains(&name.as_str())) {
                wrong.push(format!("{name} names {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "only the edges may name wire messages: {}", wrong.join(", "));
}

#[test]
fn reference_pages_are_current() {
    let dir = root().join("docs/components");
    let update = std::env::var_os("AION_UPDATE_DOCS").is_some();
    for command in commands() {
        let path = dir.join(format!("{}.md", command.name.replace(' ', "-")));
        let page = flags::markdown(&command);
        if update {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page,
            "{} is out of date: AION_UPDATE_DOCS=1 cargo test -p tests --test tidy",
            path.display()
        );
    }
}

#[test]
fn test_data_says_whence_it_came() {
    let missing: Vec<_> = std::fs::read_dir(root().join("testdata"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_dir() && !p.join("README.md").exists())
        .collect();
    assert!(missing.is_empty(), "no README.md in {missing:?}");
}

#[test]
fn the_documents_name_crates_that_exist() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    for name in manifests().keys().filter(|n| *n != "tests") {
        assert!(text.contains(&format!("`{name}`")), "docs/architecture.md does not mention `{name}`");
    }
}

#[test]
fn no_one_names_a_machine() {
    fn visit(dir: &Path, wrong: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if name == ".git" {
                continue;
            }
            if path.is_dir() && !["target", "run"].iter().any(|skip| name == *skip) {
                visit(&path, wrong);
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && text.contains(concat!("/work", "/main"))
            {
                wrong.push(path.display().to_string());
            }
        }
    }
    let mut wrong = Vec::new();
    visit(&root(), &mut wrong);
    assert!(wrong.is_empty(), "absolute paths of one machine in {wrong:?}");
}

/// What a crate of the product depends on.
fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("[dependencies]").nth(1).unwrap_or("").split("\n[").next().unwrap_or("");
    section.lines().filter_map(|l| l.split(['.', ' ', '=']).next()).filter(|d| !d.is_empty()).collect()
}

/// Crates that are a subcommand.
const COMPONENTS: [&str; 4] = ["compactor", "querier", "sidecar", "store-gateway"];

#[test]
fn tools_are_built_without_components() {
    let manifests = manifests();
    let used: Vec<_> = dependencies(&manifests["tools"]).into_iter().filter(|d| COMPONENTS.contains(d)).collect();
    assert!(used.is_empty(), "tools depends on {used:?}");
}

#[test]
fn components_have_one_shape() {
    let files = ["flags.rs", "config.rs", "component.rs"];
    let wanted = COMPONENTS.iter().flat_map(|c| files.map(|f| format!("{c}/src/{f}")));
    let missing: Vec<_> = wanted.filter(|f| !root().join("pkg").join(f).exists()).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
}

/// Where product code may ask the system for the time, randomness or its environment. Everyone else is handed them.
const ASKS_THE_SYSTEM: [&str; 5] = [
    "cmd/aion/src/main.rs",
    "pkg/assembly/src/deps.rs",
    "pkg/model/src/clock.rs",
    "pkg/telemetry/src/logs.rs", // a log line's time is not the component's
    "pkg/tls/src/pem.rs",        // the system's roots, where OpenSSL's variable says
];

#[test]
fn clock_randomness_and_environment_are_parameters() {
    fn visit(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                visit(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let product = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let asks = ["SystemTime::now", "Timestamp::now", "rand::random", "rand::rng()", "env::var"];
            if asks.iter().any(|ask| product.contains(ask)) {
                found.push(path.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    for folder in ["pkg", "cmd"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap().flatten() {
            if entry.file_name() != "testkit" {
                visit(&entry.path().join("src"), &mut found);
            }
        }
    }
    found.sort();
    assert_eq!(found, ASKS_THE_SYSTEM);
}

#[test]
fn no_crate_depends_on_what_it_does_not_name() {
    fn read(dir: &Path, text: &mut String) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => read(&path, text),
                false => text.push_str(&std::fs::read_to_string(&path).unwrap_or_default()),
            }
        }
    }
    let mut unused = Vec::new();
    for (name, manifest) in manifests() {
        let dir = if name == "proto" { root().join("proto") } else { root().join("pkg").join(&name) };
        let mut text = String::new();
        read(&dir.join("src"), &mut text);
        let code_name = |d: &str| if d == "md-5" { "md5".to_owned() } else { d.replace('-', "_") };
        let of_crate = dependencies(&manifest).into_iter().filter(|d| !text.contains(&code_name(d)));
        unused.extend(of_crate.filter(|_| !text.is_empty()).map(|d| format!("{name}: {d}")));
    }
    assert!(unused.is_empty(), "{unused:#?}");
}
