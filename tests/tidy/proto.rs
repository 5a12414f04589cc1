//! The Rust of the wire messages, made from `proto/*/*.proto`. It lies in the repository so that a build needs no compiler
//! of `.proto` files.

use std::path::Path;

use prost::Message;
use tests::root;

/// The files in `proto/`, in the order in which they are read.
const NAMES: [&str; 14] = [
    "thanos/labels.proto",
    "thanos/types.proto",
    "thanos/store.proto",
    "thanos/hints.proto",
    "thanos/info.proto",
    "thanos/query.proto",
    "thanos/rules.proto",
    "thanos/targets.proto",
    "thanos/metadata.proto",
    "thanos/exemplars.proto",
    "thanos/status.proto",
    "prometheus/types.proto",
    "prometheus/remote.proto",
    "aion/evaluator.proto",
];

/// The descriptors as a Rust literal: a text, so that changes of it can be read.
fn literal(bytes: &[u8]) -> String {
    let mut out = String::from("b\"");
    let mut is_line_start = false;
    for byte in bytes {
        match byte {
            // A literal that goes on in the next line begins there with the first byte that is no space.
            b' ' if is_line_start => out.push_str("\\x20"),
            _ => out.extend(byte.escape_ascii().map(char::from)),
        }
        is_line_start = *byte == b'\n';
        if is_line_start {
            out.push_str("\\\n");
        }
    }
    out.push_str("\"\n");
    out
}

fn generate(out: &Path) {
    let mut descriptors = protox::compile(NAMES, [root().join("proto")]).unwrap();
    descriptors.file.iter_mut().for_each(|f| f.source_code_info = None);
    std::fs::write(out.join("descriptors.rs"), literal(&descriptors.encode_to_vec())).unwrap();
    let builder = tonic_prost_build::configure().bytes(".").include_file("all.rs").out_dir(out);
    builder.compile_fds(descriptors).unwrap();
}

#[test]
fn generated_code_is_current() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let kept = root().join("proto/src/generated");
    let mut names: Vec<_> = std::fs::read_dir(fresh.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() > 4, "{names:?}");
    for name in names {
        let text = std::fs::read_to_string(fresh.path().join(&name)).unwrap();
        let path = kept.join(&name);
        if std::env::var_os("AION_UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(&kept).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == text,
            "{} is out of date: AION_UPDATE_DOCS=1 cargo test -p tests --test tidy",
            path.display()
        );
    }
}
