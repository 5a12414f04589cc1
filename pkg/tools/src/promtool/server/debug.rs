//! `aion tools debug pprof|metrics|all`: profiles and metrics of a server in one archive.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use flags::{Flag, Parsed};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use service::tool::Deps;

use super::super::common::Outcome;
use super::{HTTP_CONFIG, client};
use crate::Error;
use crate::output::tar;

pub(crate) const FLAGS: &[Flag] =
    &[HTTP_CONFIG, Flag::duration("timeout", "2m", "The longest time for one answer; a CPU profile takes 30 s.")];

/// In the working directory.
const ARCHIVE: &str = "debug.tar.gz";
/// A longer profile is an error.
const PROFILE_BYTES_MAX: u64 = 1 << 30;

/// Where each file of the archive comes from: path and name.
pub(crate) type Sources = &'static [(&'static str, &'static str)];

pub(crate) const METRICS: Sources = &[("/metrics", "metrics.txt")];
pub(crate) const PPROF: Sources = &[
    ("/debug/pprof/profile?seconds=30", "cpu.pb"),
    ("/debug/pprof/block", "block.pb"),
    ("/debug/pprof/goroutine", "goroutine.pb"),
    ("/debug/pprof/heap", "heap.pb"),
    ("/debug/pprof/mutex", "mutex.pb"),
    ("/debug/pprof/threadcreate", "threadcreate.pb"),
    ("/debug/pprof/trace?seconds=30", "trace.pb"),
];

/// Writes the archive. What the server does not have is told and left out.
pub(crate) async fn run(parsed: &Parsed, deps: &mut Deps<'_>, what: &'static [Sources]) -> Outcome {
    let server = parsed.args()[0].trim_end_matches('/');
    let client = client(parsed, server)?;
    let wrong = |e: std::io::Error| Error::Failed(format!("{ARCHIVE}: {e}"));
    let mut archive = GzEncoder::new(File::create(Path::new(ARCHIVE)).map_err(wrong)?, Compression::default());
    let now_s = deps.clock.now_ms().max(0).unsigned_abs() / 1000;
    let mut files = 0;
    for (path, name) in what.concat() {
        deps.print(&format!("collecting: {server}{path}\n"))?;
        let body = match client.plain(path).await {
            Ok(body) => plain(body).map_err(|e| Error::Failed(format!("{server}{path}: {e}")))?,
            Err(e @ storage::Error::Unsupported(_)) => {
                deps.print_error(&format!("left out: {e}\n"))?;
                continue;
            }
            Err(e) => return Err(Error::Failed(format!("error completing debug command: {e}"))),
        };
        tar::append(&mut archive, name, &body, now_s).map_err(wrong)?;
        files += 1;
    }
    if files == 0 {
        return Err(Error::Failed(format!("{server} has none of it")));
    }
    tar::end(&mut archive).map_err(wrong)?;
    archive.finish().and_then(|mut file| file.flush()).map_err(wrong)?;
    deps.print(&format!("Compiling debug information complete, all files written in {ARCHIVE:?}.\n"))?;
    Ok(0)
}

/// A body that is compressed as a profile is, as it was before.
fn plain(body: Bytes) -> std::io::Result<Vec<u8>> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.into());
    }
    let mut out = Vec::new();
    MultiGzDecoder::new(&body[..]).take(PROFILE_BYTES_MAX + 1).read_to_end(&mut out)?;
    if out.len() as u64 > PROFILE_BYTES_MAX {
        return Err(std::io::Error::other(format!("longer than {PROFILE_BYTES_MAX} bytes")));
    }
    Ok(out)
}
