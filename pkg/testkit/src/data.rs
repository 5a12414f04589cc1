//! Where the conformance data lies, which is not part of this repository.

use std::path::PathBuf;

/// `AION_CONFORMANCE_DIR`, or `../shared/data` beside the workspace; `None` if it is not there.
pub fn conformance_dir() -> Option<PathBuf> {
    let dir = match std::env::var_os("AION_CONFORMANCE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    dir.is_dir().then_some(dir)
}

/// Says loudly that `test` is skipped for want of `what`.
///
/// # Panics
/// In CI (`CI=true`), where nothing may be skipped.
pub fn skip_without(what: &str, test: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {what}");
    eprintln!("=== SKIPPED {test}: {what} is not there ===");
}

/// Says loudly that `test` is skipped since no service of another maker was named by the variable `env`. In CI too: such
/// services are not part of every run.
pub fn skip_without_service(env: &str, test: &str) {
    eprintln!("=== SKIPPED {test}: set {env} to run it ===");
}

/// A number from the environment, for how much a test tries.
///
/// # Panics
/// It is no number.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text:?} is no number")))
}
