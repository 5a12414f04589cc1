//! Writes chunks to the files, reads them, and removes files.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use chunkenc::TimedChunk;
use encoding::Corrupt;
use parking_lot::{Mutex, RwLock};
use storage::EncodedChunk;
use wal::{Disk, LocalDisk, SegmentFile};

use crate::head::{ChunkSink, ChunkStore};

use super::files::{self, MappedFile};
use super::format::{At, FILE_HEADER_BYTES, MappedChunk, check_file_header, file_header, is_zero, parse, put_chunk};
use super::scan::{Scan, walk};

/// How chunks are written.
#[derive(Debug, Clone)]
pub struct MappedOptions {
    /// A file is closed before it gets longer; below 4 GiB.
    pub file_bytes_max: u64,
    /// The file system.
    pub disk: Arc<dyn Disk>,
}

impl Default for MappedOptions {
    fn default() -> Self {
        Self { file_bytes_max: 128 << 20, disk: Arc::new(LocalDisk) }
    }
}

/// What [`MappedChunks::load`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Chunks that hold together.
    pub chunks: u64,
    /// Places that do not, by file number and offset. Chunks behind them were found again.
    pub corrupt: Vec<(u64, Corrupt)>,
}

/// The chunks in a directory. All methods may be called by several threads at a time.
pub struct MappedChunks {
    dir: PathBuf,
    options: MappedOptions,
    files: RwLock<BTreeMap<u32, Arc<MappedFile>>>,
    active: Mutex<Active>,
}

/// The file that is written.
struct Active {
    file: Option<(u32, Box<dyn SegmentFile>)>,
    /// The number of the next file.
    next: u32,
    chunk: Vec<u8>,
}

impl fmt::Debug for MappedChunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappedChunks").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl MappedChunks {
    /// Opens the directory and creates it if it is not there. A last file without content, which a crash leaves, is removed.
    ///
    /// # Errors
    /// The directory cannot be made or listed.
    pub fn open(dir: &Path, options: MappedOptions) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut found = files::list(dir)?;
        if let Some((_, path, len)) = found.last()
            && (*len <= FILE_HEADER_BYTES as u64 || block::map_file(path).is_ok_and(|b| is_zero(&b)))
        {
            std::fs::remove_file(path)?;
            found.pop();
        }
        let next = found.last().map_or(1, |(number, ..)| number.saturating_add(1));
        let files = found.into_iter().map(|(number, path, len)| (number, MappedFile::new(path, len))).collect();
        let active = Active { file: None, next, chunk: Vec::new() };
        Ok(Self { dir: dir.to_owned(), options, files: RwLock::new(files), active: Mutex::new(active) })
    }

    /// The chunks in `dir`, which is not changed; none if it is not there.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn open_read_only(dir: &Path) -> io::Result<Self> {
        let found = if dir.exists() { files::list(dir)? } else { Vec::new() };
        let files = found.into_iter().map(|(number, path, len)| (number, MappedFile::new(path, len))).collect();
        // Nobody writes: no number is given out.
        let active = Active { file: None, next: u32::MAX, chunk: Vec::new() };
        Ok(Self {
            dir: dir.to_owned(),
            options: MappedOptions::default(),
            files: RwLock::new(files),
            active: Mutex::new(active),
        })
    }

    /// Shows all chunks to `visit`, in the order in which they were written. To be called before any is written.
    pub fn load(&self, visit: &mut dyn FnMut(MappedChunk)) -> Loaded {
        let mut loaded = Loaded::default();
        let files: Vec<_> = self.files.read().iter().map(|(number, file)| (*number, file.clone())).collect();
        for (number, file) in files {
            self.load_file(number, &file, visit, &mut loaded);
        }
        loaded
    }

    fn load_file(&self, number: u32, file: &MappedFile, visit: &mut dyn FnMut(MappedChunk), loaded: &mut Loaded) {
        let name = file.path.display().to_string();
        let len = file.len.load(Ordering::Acquire);
        let mut take = |chunk| {
            loaded.chunks += 1;
            visit(chunk);
        };
        // What else there is, only a look at the whole file tells.
        let bytes = match walk(number, (&file.path, len), &mut take).map_err(|e| e.to_string()) {
            Ok(None) => return,
            Ok(Some(walked)) => file.bytes(0, true).map(|bytes| (bytes, walked)).map_err(|e| e.to_string()),
            Err(why) => Err(why),
        };
        let (bytes, walked) = match bytes {
            Ok(bytes) => bytes,
            Err(why) => {
                loaded.corrupt.push((u64::from(number) << 32, Corrupt::new(name, 0, why)));
                return;
            }
        };
        if let Some(why) = check_file_header(&bytes) {
            loaded.corrupt.push((u64::from(number) << 32, Corrupt::new(&name, 0, why)));
        }
        for found in Scan::new(number, &bytes, walked) {
            match found {
                Ok(chunk) => {
                    loaded.chunks += 1;
                    visit(chunk);
                }
                Err(bad) => {
                    let why = format!("{}; {} bytes are left out", bad.why, bad.end - bad.offset);
                    let place = u64::from(number) << 32 | bad.offset;
                    loaded.corrupt.push((place, Corrupt::new(&name, bad.offset, why)));
                }
            }
        }
        // The pages that were read count as this process' memory while they are mapped.
        file.unmap();
    }

    /// Writes a chunk of a series, and tells where it is, for [`Self::read`].
    ///
    /// # Errors
    /// Those of the disk. Nothing was written then, or what was is never read; the next call begins afresh.
    pub fn write(&self, series_ref: u64, chunk: &TimedChunk, out_of_order: bool) -> io::Result<u64> {
        let active = &mut *self.active.lock();
        active.chunk.clear();
        put_chunk(&mut active.chunk, series_ref, chunk, out_of_order);
        let (number, len) = self.file_for(active)?;
        let Some((_, file)) = &active.file else { return Err(io::ErrorKind::NotFound.into()) };
        let mapped = self.files.read().get(&number).cloned();
        let Some(mapped) = mapped else { return Err(io::ErrorKind::NotFound.into()) };
        if let Err(e) = write_all(&**file, &active.chunk, len) {
            // What was written of it is cut off, or ends its file.
            if file.set_len(len).is_err() {
                active.file = None;
            }
            return Err(io::Error::new(e.kind(), format!("write {}: {e}", mapped.path.display())));
        }
        mapped.len.store(len + active.chunk.len() as u64, Ordering::Release);
        Ok(u64::from(number) << 32 | len)
    }

    /// The file that takes the chunk, and its length.
    fn file_for(&self, active: &mut Active) -> io::Result<(u32, u64)> {
        if let Some((number, file)) = &active.file {
            let len = self.files.read().get(number).map_or(u64::MAX, |f| f.len.load(Ordering::Acquire));
            if len.saturating_add(active.chunk.len() as u64) <= self.options.file_bytes_max {
                return Ok((*number, len));
            }
            file.sync()?;
            active.file = None;
        }
        let number = active.next;
        let path = self.dir.join(format!("{number:06}"));
        let within = |e: io::Error| io::Error::new(e.kind(), format!("create {}: {e}", path.display()));
        let file = self.options.disk.create(&path).map_err(within)?;
        // A number is used once, even if the file could not be begun.
        active.next = number.checked_add(1).ok_or_else(|| io::Error::other("no file numbers are left"))?;
        if let Err(e) = write_all(&*file, &file_header(), 0) {
            drop(file);
            // If it cannot be removed, it is an empty file in the order of the others.
            if std::fs::remove_file(&path).is_ok() {
                active.next = number;
            }
            return Err(within(e));
        }
        let len = FILE_HEADER_BYTES as u64;
        self.files.write().insert(number, MappedFile::new(path, len));
        active.file = Some((number, file));
        Ok((number, len))
    }

    /// The chunk at a place that [`Self::write`] or [`Self::load`] told. Its checksum is compared with each call.
    ///
    /// # Errors
    /// [`storage::Error::Corrupt`] when it does not hold together, naming the file and the offset.
    pub fn read(&self, reference: u64) -> storage::Result<EncodedChunk> {
        Ok(self.find(reference)?.1)
    }

    /// The chunk at a place, and what is known of it.
    fn find(&self, reference: u64) -> storage::Result<(MappedChunk, EncodedChunk)> {
        let (number, offset) = ((reference >> 32) as u32, reference & u64::from(u32::MAX));
        let file = self.files.read().get(&number).cloned();
        let Some(file) = file else {
            let what = format!("{}: there is no file {number:06} of chunks", self.dir.display());
            return Err(storage::Error::Corrupt(what));
        };
        let bytes = file.bytes(offset, false)?;
        match parse(number, &bytes, offset as usize) {
            At::Chunk { chunk, data, .. } => {
                Ok((chunk, EncodedChunk { encoding: chunk.encoding, data: bytes.slice(data) }))
            }
            At::End => Err(corrupt(&file, offset, "no chunk begins here")),
            At::Corrupt { why, .. } => Err(corrupt(&file, offset, &why)),
        }
    }

    /// Removes the leading files whose chunks lie all before `oldest_ref`, the lowest reference that is still in use; all
    /// of them if none is. Those who read them may go on. Returns how many.
    ///
    /// # Errors
    /// One cannot be removed; those behind it stay then.
    pub fn truncate(&self, oldest_ref: Option<u64>) -> io::Result<usize> {
        let mut active = self.active.lock();
        let keep_from = oldest_ref.map_or(u32::MAX, |r| (r >> 32) as u32);
        let numbers: Vec<u32> = self.files.read().range(..keep_from).map(|(number, _)| *number).collect();
        let mut removed = 0;
        for number in numbers {
            let Some(path) = self.files.read().get(&number).map(|f| f.path.clone()) else { continue };
            if active.file.as_ref().is_some_and(|(n, _)| *n == number) {
                active.file = None;
            }
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => self.files.write().remove(&number),
            };
            removed += 1;
        }
        Ok(removed)
    }

    /// Bytes of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.read().values().map(|f| f.len.load(Ordering::Acquire)).sum()
    }

    /// Makes all chunks durable. Until the samples are in a block they are in the log too, so that this is for a shutdown.
    ///
    /// # Errors
    /// As the file system says.
    pub fn sync(&self) -> io::Result<()> {
        match &self.active.lock().file {
            Some((_, file)) => file.sync(),
            None => Ok(()),
        }
    }
}

impl ChunkSink for MappedChunks {
    fn write(&self, series_ref: u64, chunk: &TimedChunk, out_of_order: bool) -> io::Result<u64> {
        Self::write(self, series_ref, chunk, out_of_order)
    }
}

impl ChunkStore for MappedChunks {
    fn read(&self, mapped_ref: u64) -> storage::Result<EncodedChunk> {
        Self::read(self, mapped_ref)
    }

    fn number(&self, mapped_ref: u64) -> storage::Result<u64> {
        Ok(self.find(mapped_ref)?.0.series_ref)
    }
}

fn corrupt(file: &MappedFile, offset: u64, why: &str) -> storage::Error {
    storage::Error::Corrupt(Corrupt::new(file.path.display().to_string(), offset, why).to_string())
}

fn write_all(file: &dyn SegmentFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|r| !r.is_empty()) {
        match file.write_at(rest, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
