//! Compiles the .proto files in pure Rust: no protoc is needed.

use std::path::{Path, PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = [
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
    ];
    for name in names {
        println!("cargo::rerun-if-changed={}", root.join(name).display());
    }
    let descriptors = protox::compile(names, [root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").include_file("all.rs").compile_fds(descriptors)?;
    Ok(())
}
