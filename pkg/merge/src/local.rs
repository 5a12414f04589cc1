//! Files in the job's directory, read by position. No maps: mapped pages would count as the process' memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

/// A file opened for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LocalFile {
    file: Arc<File>,
    path: Arc<Path>,
    len: u64,
}

impl LocalFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::local("open", path))?;
        let len = file.metadata().map_err(Error::local("open", path))?.len();
        Ok(Self { file: Arc::new(file), path: path.into(), len })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read_exact_at(&self, at: u64, out: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(out, at).map_err(Error::local("read", &self.path))
    }

    /// A reader through a buffer of `bytes`.
    pub(crate) fn window(&self, bytes: usize) -> Window {
        Window { file: self.clone(), buffer: Vec::new(), start: 0, step: bytes.max(64) }
    }
}

/// One buffer that moves over a file.
#[derive(Debug)]
pub(crate) struct Window {
    file: LocalFile,
    buffer: Vec<u8>,
    start: u64,
    step: usize,
}

impl Window {
    /// The bytes from `at`: at least `want` of them unless the file ends before, perhaps more.
    #[inline]
    pub(crate) fn get(&mut self, at: u64, want: usize) -> Result<&[u8]> {
        self.hold(at, want)?;
        Ok(self.held(at))
    }

    /// What is held from `at` on, which [`Self::hold`] was asked for.
    #[inline]
    pub(crate) fn held(&self, at: u64) -> &[u8] {
        &self.buffer[(at - self.start) as usize..]
    }

    /// Reads as [`Self::get`] does.
    #[inline]
    pub(crate) fn hold(&mut self, at: u64, want: usize) -> Result<()> {
        let end = self.start + self.buffer.len() as u64;
        let left = self.file.len.saturating_sub(at);
        let need = (want as u64).min(left);
        if at < self.start || at + need > end {
            let len = (self.step.max(want) as u64).min(left) as usize;
            self.buffer.resize(len, 0);
            self.start = at;
            self.file.read_exact_at(at, &mut self.buffer)?;
            // One large entry must not keep its memory.
            if len <= self.step && self.buffer.capacity() > 2 * self.step {
                self.buffer.shrink_to(self.step);
            }
        }
        Ok(())
    }

    pub(crate) fn file(&self) -> &LocalFile {
        &self.file
    }
}

/// A file written front to back through a buffer.
#[derive(Debug)]
pub(crate) struct LocalWriter {
    file: std::io::BufWriter<File>,
    path: PathBuf,
    len: u64,
}

impl LocalWriter {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(Error::local("create", path))?;
        Ok(Self { file: std::io::BufWriter::with_capacity(128 << 10, file), path: path.to_owned(), len: 0 })
    }

    /// Goes on behind the first `len` bytes; what lies behind them is cut off.
    pub(crate) fn resume(path: &Path, len: u64) -> Result<Self> {
        use std::io::Seek;
        let mut file = File::options().write(true).open(path).map_err(Error::local("open", path))?;
        file.set_len(len).map_err(Error::local("truncate", path))?;
        file.seek(std::io::SeekFrom::Start(len)).map_err(Error::local("seek", path))?;
        Ok(Self { file: std::io::BufWriter::with_capacity(128 << 10, file), path: path.to_owned(), len })
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        use std::io::Write;
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(Error::local("write", &self.path))
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        use std::io::Write;
        self.file.flush().map_err(Error::local("write", &self.path))
    }

    /// Flushes, and opens the file for reading.
    pub(crate) fn finish(mut self) -> Result<LocalFile> {
        self.flush()?;
        LocalFile::open(&self.path)
    }
}
