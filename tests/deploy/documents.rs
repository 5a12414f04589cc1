//! The commands of the README and of the tutorial run as they stand there, and the book has all pages.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use testkit::free_port;
use tests::aion::binary;

use crate::texts::{Line, words};

fn document(name: &str) -> String {
    let path = tests::root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The command lines of ours in the README, but `up` and `demo`, which tests of their own start.
pub fn of_readme() -> Vec<Line> {
    let (mut inside, mut lines, mut open) = (false, Vec::new(), String::new());
    for line in document("README.md").lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside && (!open.is_empty() || line.starts_with("aion ")) {
            let line = line.split(" #").next().unwrap_or_default().trim_end();
            let goes_on = line.ends_with('\\');
            open.push_str(line.trim_end_matches('\\'));
            open.push(' ');
            if !goes_on {
                let args = words(std::mem::take(&mut open).trim_start_matches("aion "));
                lines.push(Line { origin: "README.md".to_owned(), args });
            }
        }
    }
    lines
}

#[test]
fn the_tools_of_the_readme_run() {
    let tools: Vec<Line> = of_readme().into_iter().filter(|line| line.args[0] == "tools").collect();
    assert!(tools.len() >= 3, "{tools:?}");
    let dir = tempfile::tempdir().unwrap();
    for name in ["bucket", "copy"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        let config = format!("type: FILESYSTEM\nconfig: {{directory: {name}}}\n");
        std::fs::write(dir.path().join(format!("{name}.yml")), config).unwrap();
    }
    for line in tools {
        let output = Command::new(binary()).args(&line.args).current_dir(dir.path()).output().unwrap();
        assert!(output.status.success(), "{:?}: {}", line.args, String::from_utf8_lossy(&output.stderr));
    }
}

/// The tutorial's commands as one script, each port in it exchanged for a free one.
fn tutorial() -> String {
    let text = document("docs/tutorial.md");
    let blocks = text.split("```sh,run\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let script: String = blocks.collect();
    let mut ports: BTreeMap<String, u16> = BTreeMap::new();
    let mut out = String::new();
    let mut rest = script.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[at..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |n| at + n);
        let (number, before) = (&rest[at..end], &rest[..at]);
        out.push_str(before);
        let is_port = number.len() >= 4 && before.ends_with([':', ' ']);
        match is_port {
            true => out.push_str(&ports.entry(number.to_owned()).or_insert_with(|| free_port().unwrap()).to_string()),
            false => out.push_str(number),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    assert!(ports.len() >= 8, "{ports:?}");
    out
}

#[test]
fn the_tutorial_runs() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{}", tutorial());
    std::fs::write(dir.path().join("tutorial.sh"), script).unwrap();
    let folder = binary().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    // What it waits for may never come: `timeout` ends it, and bash then what it has started.
    let mut command = Command::new("timeout");
    command.args(["120", "bash", "-x", "tutorial.sh"]).current_dir(dir.path()).stdin(Stdio::null());
    command.env("PATH", format!("{folder}:{path}")).env("no_proxy", "*");
    let output = command.output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}\n{log}", output.status);
    for told in ["\"warnings\"", "uploaded", "cluster=eu,replica=a"] {
        assert!(said.contains(told), "no {told} in {said}");
    }
}

/// Names of the Markdown files below `dir`, from `docs` on.
fn pages(dir: &std::path::Path, below: &str, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            pages(&entry.path(), &format!("{name}/"), out);
        } else if name.ends_with(".md") && name != "SUMMARY.md" {
            out.push(name);
        }
    }
}

/// The links of a document that lead to files, without their anchors.
fn links(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    links.filter(|link| !link.is_empty() && !link.starts_with("http")).collect()
}

#[test]
fn the_book_has_every_page_and_no_way_out() {
    let mut all = Vec::new();
    pages(&tests::root().join("docs"), "", &mut all);
    assert!(all.len() > 60, "{all:?}");
    let summary = document("docs/SUMMARY.md");
    let listed = links(&summary);
    let left_out: Vec<_> = all.iter().filter(|page| !listed.contains(&page.as_str())).collect();
    assert!(left_out.is_empty(), "pages without a line in docs/SUMMARY.md: {left_out:?}");
    for page in &all {
        let (text, depth) = (document(&format!("docs/{page}")), page.matches('/').count());
        for link in links(&text) {
            let leaves = link.matches("../").count() > depth || !link.ends_with(".md");
            assert!(!leaves, "docs/{page}: the book has no {link}; name such a file in backticks");
        }
    }
}
