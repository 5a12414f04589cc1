//! What the tests of the whole have in common: where things are, programs and data to try them with.

pub mod aion;
pub mod blocks;
pub mod client;
pub mod compare;
pub mod data;
pub mod engines;
pub mod peer;
pub mod remote_write;
pub mod s3;

use std::path::{Path, PathBuf};

/// The project's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// Tables of other projects' flags and metric names, which tests hold ours against. `None`, said aloud, where they are
/// not there; in CI that is a failure.
pub fn reference(name: &str) -> Option<String> {
    let dir = match std::env::var_os("AION_REFERENCE_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => {
            let data = std::env::var_os("AION_CONFORMANCE_DIR").map(PathBuf::from);
            data.unwrap_or_else(|| root().join("../shared/data")).join("../reference")
        }
    };
    match std::fs::read_to_string(dir.join(name)) {
        Ok(text) => Some(text),
        Err(e) if std::env::var_os("CI").is_some() => panic!("{}: {e}", dir.join(name).display()),
        Err(e) => {
            eprintln!("SKIPPED: {}: {e}", dir.join(name).display());
            None
        }
    }
}

/// All tools of the program.
pub fn all_tools() -> tools::Tools {
    tools::Tools::with(&[&compactor::DOWNSAMPLE_TOOL])
}

/// All command lines of the program.
pub fn commands() -> Vec<flags::Command> {
    let components = [
        up::command(),
        demo::command(),
        sidecar::command(),
        store_gateway::command(),
        compactor::command(),
        querier::command(),
        ruler::command(),
        server::command(),
        uicommand::command(),
    ];
    components.into_iter().chain(all_tools().commands()).collect()
}
