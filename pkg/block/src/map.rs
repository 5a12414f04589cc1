//! Files mapped into memory as [`Bytes`].

use std::fs::File;
use std::path::Path;

use bytes::Bytes;

use crate::{Error, Result};

/// Maps `path` read-only. The mapping lives as long as any slice of it.
///
/// # Errors
/// [`Error::Io`] if the operating system refuses.
pub fn map_file(path: &Path) -> Result<Bytes> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let len = file.metadata().map_err(Error::io("stat", path))?.len();
    if len == 0 {
        // An empty mapping is an error on some systems.
        return Ok(Bytes::new());
    }
    // SAFETY: the files of a block are written under another directory name and renamed, and never change afterwards;
    // removing them keeps the mapping valid. Should someone else shrink such a file in place, the process gets a bus
    // error, as every reader of mapped blocks does.
    #[allow(unsafe_code)]
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::io("map", path))?;
    Ok(Bytes::from_owner(map))
}
