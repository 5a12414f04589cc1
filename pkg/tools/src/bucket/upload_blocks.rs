//! `tools bucket upload-blocks`: brings blocks of a local directory into the bucket.

use std::path::{Path, PathBuf};

use bucket::shipper::{Pass, Shipper, ShipperOptions, Skipped, Verify};
use flags::{Flag, Parsed};
use service::tool::{Deps, Verdict};

use super::common;
use crate::Error;

pub(super) const ABOUT: &str = "Upload blocks push blocks from the provided path to the object storage.";
pub(super) const SHORTS: &[(char, &str)] = &[];
pub(super) const FLAGS: &[&[Flag]] = &[&[
    Flag::text("path", "./data", "Path to the directory containing blocks to upload."),
    Flag::text("label", "", "External labels to add to the uploaded blocks (repeated).")
        .placeholder("key=\"value\"")
        .repeated(),
    Flag::switch("shipper.upload-compacted", "If true shipper will try to upload compacted blocks as well."),
    Flag::count("shipper.upload-concurrency", "5", "How many parts of one file are uploaded in parallel."),
    Flag::word("shipper.verify", &["index", "full"], "full", "What is checked of a block before it is uploaded.")
        .hidden(),
]];

/// `thanos.source` of blocks that came this way.
const SOURCE: &str = "bucket.upload";

pub(super) async fn run(parsed: &Parsed, deps: &mut Deps<'_>) -> Result<Verdict, Error> {
    let labels = common::label_pairs(parsed, "label")?;
    if labels.is_empty() {
        return Err(Error::Usage(
            "no external labels configured: give --label, so that blocks of different sources can be told apart"
                .to_owned(),
        ));
    }
    let dir = PathBuf::from(parsed.text("path"));
    if !dir.is_dir() {
        return Err(Error::Usage(format!("--path: {} is no directory", dir.display())));
    }
    let bucket = common::open_bucket(parsed, deps)?;
    let parts_in_flight = usize::try_from(parsed.count("shipper.upload-concurrency")).unwrap_or(64).clamp(1, 64);
    let settings = objstore::Settings { parts_in_flight, ..bucket.settings().clone() };
    let options = ShipperOptions {
        upload_compacted: parsed.switch("shipper.upload-compacted"),
        verify: if parsed.text("shipper.verify") == "full" { Verify::Full } else { Verify::Index },
        dir_flag: "--path",
        source: SOURCE.to_owned(),
        clock: deps.clock.clone(),
        ..ShipperOptions::new(&dir)
    };
    let shipper = Shipper::new(bucket.with_settings(settings), options, move || labels.clone(), &deps.metrics);
    let pass = shipper.pass().await.map_err(Error::Failed)?;
    for id in &pass.uploaded {
        deps.print(&format!("{id}: uploaded\n"))?;
    }
    for id in &pass.found {
        deps.print(&format!("{id}: is in the bucket already\n"))?;
    }
    for (name, why) in &pass.failed {
        deps.print(&format!("{name}: not uploaded: {why}\n"))?;
    }
    if pass.waiting > 0 {
        deps.print(&format!(
            "{} for an older one that could not be uploaded\n",
            blocks(pass.waiting, "waits", "wait")
        ))?;
    }
    deps.print(&skipped(&pass, &dir, &shipper.list_path()))?;
    Ok(Verdict::of(!pass.failed.is_empty() || pass.waiting > 0))
}

/// Why blocks were left out, a line for each reason.
fn skipped(pass: &Pass, dir: &Path, list: &Path) -> String {
    let Skipped { listed, compacted, empty } = pass.skipped;
    let mut out = String::new();
    if *pass == Pass::default() {
        out.push_str(&format!("{}: there are no blocks, nothing is uploaded\n", dir.display()));
    }
    if listed > 0 {
        out.push_str(&format!("{} in the bucket already, as {} says\n", blocks(listed, "is", "are"), list.display()));
    }
    if compacted > 0 {
        let left_out = blocks(compacted, "is", "are");
        out.push_str(&format!("{left_out} not uploaded: compacted, give --shipper.upload-compacted\n"));
    }
    if empty > 0 {
        out.push_str(&format!("{} not uploaded: no samples\n", blocks(empty, "is", "are")));
    }
    out
}

/// `1 block waits`, `2 blocks wait`.
fn blocks(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 block {one}") } else { format!("{count} blocks {many}") }
}
