//! Tells the program where it comes from: revision, branch, compiler and, where `SOURCE_DATE_EPOCH` makes it reproducible,
//! the build's date.

use std::path::Path;
use std::process::Command;

#[path = "build/git.rs"]
mod git;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let head = git::head(&root.join(".git"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/git.rs");
    for path in &head.read {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let given = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        std::env::var(name).ok().filter(|value| !value.trim().is_empty())
    };
    // Who builds from an archive names its revision.
    let known = |given: Option<String>, found: Option<String>| given.or(found).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=AION_REVISION={}", known(given("AION_REVISION"), head.revision));
    println!("cargo::rustc-env=AION_BRANCH={}", known(given("AION_BRANCH"), head.branch));
    let date = given("SOURCE_DATE_EPOCH").and_then(|s| s.trim().parse().ok()).map(git::date).unwrap_or_default();
    println!("cargo::rustc-env=AION_BUILD_DATE={date}");
    println!("cargo::rustc-env=AION_RUSTC={}", rustc().unwrap_or_else(|| "unknown".to_owned()));
}

/// The compiler's version, `1.95.0`.
fn rustc() -> Option<String> {
    let output = Command::new(std::env::var_os("RUSTC")?).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split_whitespace().nth(1).map(str::to_owned)
}
