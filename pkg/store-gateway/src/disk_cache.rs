//! Pieces kept on disk: records one after the other in files of equal size, the oldest of which makes way as a whole. What
//! is where is known in memory only, and found again at a start by reading the heads of the records.
//!
//! A record: `be32 crc32c of the rest | be16 length of the name | be32 length of the piece | be64 offset | name | piece`.
//! Name and checksum are checked with each read, so that whatever else lies in the files becomes no piece.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use encoding::crc32c;
use labels::LabelHasher;
use parking_lot::Mutex;

/// Of a record, before its name.
const HEAD_BYTES: usize = 18;
/// No name is longer: a ULID and the path of a segment.
const NAME_BYTES_MAX: usize = 256;
/// The cache makes way in parts of one of so many.
const FILES: u64 = 32;
const FILE_BYTES_MIN: u64 = 1 << 20;
/// Places are 32-bit.
const FILE_BYTES_MAX: u64 = 1 << 30;
const SUFFIX: &str = "pieces";
const LOCK: &str = "lock";

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    file: u32,
    at: u32,
    len: u32,
}

#[derive(Debug)]
struct Pieces {
    number: u32,
    file: Arc<File>,
    path: PathBuf,
    bytes: u64,
    keys: Vec<u64>,
}

#[derive(Debug, Default)]
struct State {
    /// By the hash of name and offset.
    places: HashMap<u64, Place>,
    /// The oldest first; the last one grows.
    files: VecDeque<Pieces>,
    next: u32,
}

/// Pieces in a directory.
#[derive(Debug)]
pub(crate) struct DiskCache {
    dir: PathBuf,
    max_bytes: u64,
    file_bytes: u64,
    piece_bytes_max: u64,
    /// Files of lower numbers are an earlier run's: they may end in the middle of a record, and do not grow.
    first: u32,
    state: Mutex<State>,
    stopped: AtomicBool,
    /// Held while the cache is, so that no other process writes into the directory.
    _lock: File,
}

impl DiskCache {
    /// The cache in `dir` of at most `max_bytes`, with pieces of at most `piece_bytes_max`. What an earlier run left is there
    /// after [`Self::recover`].
    ///
    /// # Errors
    /// When the directory cannot be written, or another process has it.
    pub(crate) fn open(dir: &Path, max_bytes: u64, piece_bytes_max: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
        lock.try_lock().map_err(|e| match e {
            std::fs::TryLockError::WouldBlock => io::Error::other("another process caches here"),
            std::fs::TryLockError::Error(e) => e,
        })?;
        let file_bytes = (max_bytes / FILES).clamp(FILE_BYTES_MIN, FILE_BYTES_MAX).min(max_bytes);
        let mut state = State::default();
        for (number, path) in files_in(dir)? {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let bytes = file.metadata()?.len();
            state.next = state.next.max(number.saturating_add(1));
            state.files.push_back(Pieces { number, file: Arc::new(file), path, bytes, keys: Vec::new() });
        }
        let (dir, first) = (dir.to_owned(), state.next);
        let (state, stopped) = (Mutex::new(state), AtomicBool::new(false));
        let cache = Self { dir, max_bytes, file_bytes, piece_bytes_max, first, state, stopped, _lock: lock };
        cache.make_way(&mut cache.state.lock(), 0);
        Ok(cache)
    }

    /// Ends what takes long.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Finds what an earlier run left, file by file. Takes a read for each piece.
    pub(crate) fn recover(&self) {
        let files: Vec<_> = self.state.lock().files.iter().map(|f| (f.number, f.file.clone(), f.bytes)).collect();
        for (number, file, bytes) in files {
            let found = self.scan(number, &file, bytes);
            let mut state = self.state.lock();
            let State { places, files, .. } = &mut *state;
            // It may have made way by now.
            let Some(pieces) = files.iter_mut().find(|f| f.number == number) else { continue };
            for (key, place) in found {
                // What was written since the start is newer.
                places.entry(key).or_insert(place);
                pieces.keys.push(key);
            }
        }
    }

    /// The records of a file, up to the first that cannot be one.
    fn scan(&self, number: u32, file: &File, bytes: u64) -> Vec<(u64, Place)> {
        let (mut found, mut at) = (Vec::new(), 0u64);
        let mut head = [0; HEAD_BYTES + NAME_BYTES_MAX];
        while at + (HEAD_BYTES as u64) < bytes && !self.stopped.load(Ordering::Relaxed) {
            let have = head.len().min((bytes - at) as usize);
            if file.read_exact_at(&mut head[..have], at).is_err() {
                break;
            }
            let Some(record) = Head::parse(&head[..have]) else { break };
            let len = record.len();
            let Some(name) = record.name(&head[..have]) else { break };
            if record.piece as u64 > self.piece_bytes_max || at + len as u64 > bytes {
                break;
            }
            found.push((key(name, record.offset), Place { file: number, at: at as u32, len: len as u32 }));
            at += len as u64;
        }
        found
    }

    /// Whether there is a piece, as far as memory knows.
    pub(crate) fn has(&self, name: &str, offset: u64) -> bool {
        self.state.lock().places.contains_key(&key(name, offset))
    }

    /// Bytes of all files.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.state.lock().files.iter().map(|f| f.bytes).sum()
    }

    /// A piece; `None` if it is not here. May block.
    ///
    /// # Errors
    /// What was read is not what was written: it is forgotten.
    pub(crate) fn get(&self, name: &str, offset: u64) -> io::Result<Option<Bytes>> {
        let key = key(name, offset);
        let (place, file) = {
            let state = self.state.lock();
            let Some(place) = state.places.get(&key).copied() else { return Ok(None) };
            let Some(pieces) = state.files.iter().find(|f| f.number == place.file) else { return Ok(None) };
            (place, pieces.file.clone())
        };
        let mut record = vec![0; place.len as usize];
        let read = file.read_exact_at(&mut record, u64::from(place.at)).and_then(|()| {
            let head = Head::parse(&record).filter(|head| head.len() == record.len());
            let head = head.ok_or_else(|| io::Error::other("a record is corrupt"))?;
            if crc32c(&record[4..]) != head.crc {
                return Err(io::Error::other("a record does not have its checksum"));
            }
            Ok((head.name(&record) == Some(name) && head.offset == offset).then_some(HEAD_BYTES + head.name))
        });
        match read {
            // Another piece with the same hash.
            Ok(None) => Ok(None),
            Ok(Some(at)) => Ok(Some(Bytes::from(record).slice(at..))),
            Err(e) => {
                self.forget_place(key, place);
                Err(e)
            }
        }
    }

    /// Keeps a piece. May block.
    ///
    /// # Errors
    /// When the disk does not take it: nothing is kept then.
    pub(crate) fn put(&self, name: &str, offset: u64, piece: &[u8]) -> io::Result<()> {
        if name.len() > NAME_BYTES_MAX || piece.len() as u64 > self.piece_bytes_max {
            return Ok(());
        }
        let mut record = Vec::with_capacity(HEAD_BYTES + name.len() + piece.len());
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&(name.len() as u16).to_be_bytes());
        record.extend_from_slice(&(piece.len() as u32).to_be_bytes());
        record.extend_from_slice(&offset.to_be_bytes());
        record.extend_from_slice(name.as_bytes());
        record.extend_from_slice(piece);
        let crc = crc32c(&record[4..]);
        record[..4].copy_from_slice(&crc.to_be_bytes());
        let len = record.len() as u64;
        let key = key(name, offset);
        let (place, file) = {
            let mut state = self.state.lock();
            if state.places.contains_key(&key) {
                return Ok(());
            }
            if state.files.back().is_none_or(|f| f.number < self.first || f.bytes + len > self.file_bytes) {
                self.begin_file(&mut state)?;
            }
            self.make_way(&mut state, len);
            let Some(last) = state.files.back_mut() else { return Ok(()) };
            let place = Place { file: last.number, at: last.bytes as u32, len: len as u32 };
            last.bytes += len;
            last.keys.push(key);
            (place, last.file.clone())
        };
        file.write_all_at(&record, u64::from(place.at))?;
        self.state.lock().places.insert(key, place);
        Ok(())
    }

    /// Drops a piece.
    pub(crate) fn forget(&self, name: &str, offset: u64) {
        self.state.lock().places.remove(&key(name, offset));
    }

    fn forget_place(&self, key: u64, place: Place) {
        let mut state = self.state.lock();
        if state.places.get(&key) == Some(&place) {
            state.places.remove(&key);
        }
    }

    fn begin_file(&self, state: &mut State) -> io::Result<()> {
        let number = state.next;
        let path = self.dir.join(format!("{number:010}.{SUFFIX}"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        state.next = number.saturating_add(1);
        state.files.push_back(Pieces { number, file: Arc::new(file), path, bytes: 0, keys: Vec::new() });
        Ok(())
    }

    /// Drops the oldest files until there is room for `bytes`.
    fn make_way(&self, state: &mut State, bytes: u64) {
        let mut all: u64 = state.files.iter().map(|f| f.bytes).sum();
        while (all + bytes > self.max_bytes || state.files.len() as u64 > 2 * FILES) && state.files.len() > 1 {
            let Some(oldest) = state.files.pop_front() else { return };
            all -= oldest.bytes;
            for key in oldest.keys {
                if state.places.get(&key).is_some_and(|place| place.file == oldest.number) {
                    state.places.remove(&key);
                }
            }
            if let Err(e) = std::fs::remove_file(&oldest.path) {
                tracing::warn!(file = %oldest.path.display(), err = %e, "cannot remove a file of the chunk cache");
            }
        }
    }
}

/// The head of a record.
struct Head {
    crc: u32,
    name: usize,
    piece: usize,
    offset: u64,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_first_chunk::<4>()?;
        let (offset, _) = rest.split_first_chunk::<8>()?;
        let name = usize::from(u16::from_be_bytes(*name));
        (1..=NAME_BYTES_MAX).contains(&name).then_some(Self {
            crc: u32::from_be_bytes(*crc),
            name,
            piece: u32::from_be_bytes(*piece) as usize,
            offset: u64::from_be_bytes(*offset),
        })
    }

    /// Bytes of the whole record.
    fn len(&self) -> usize {
        HEAD_BYTES + self.name + self.piece
    }

    fn name<'b>(&self, record: &'b [u8]) -> Option<&'b str> {
        std::str::from_utf8(record.get(HEAD_BYTES..HEAD_BYTES + self.name)?).ok()
    }
}

fn key(name: &str, offset: u64) -> u64 {
    let mut hasher = LabelHasher::new();
    hasher.add(name, "");
    hasher.finish() ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The files of an earlier run with their numbers, the oldest first.
fn files_in(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == SUFFIX)) {
            files.push((number, path));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn piece(n: u64) -> Vec<u8> {
        (0..10_000u64).map(|i| (i * 7 + n) as u8).collect()
    }

    #[test]
    fn keeps_what_it_is_given_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 4 * MIB, 16_000).unwrap();
        assert!(DiskCache::open(dir.path(), 4 * MIB, 16_000).is_err(), "two at a time");
        for n in 0..100 {
            cache.put("a", n, &piece(n)).unwrap();
        }
        cache.put("a", 1000, &[]).unwrap();
        let check = |cache: &DiskCache| {
            for n in 0..100 {
                assert_eq!(cache.get("a", n).unwrap().as_deref(), Some(&piece(n)[..]));
            }
            assert_eq!(cache.get("a", 1000).unwrap().as_deref(), Some(&[][..]));
            assert_eq!((cache.get("b", 1).unwrap(), cache.get("a", 100).unwrap()), (None, None));
        };
        check(&cache);
        drop(cache);
        let cache = DiskCache::open(dir.path(), 4 * MIB, 16_000).unwrap();
        assert!(!cache.has("a", 1));
        cache.recover();
        check(&cache);
        // It goes on where it was.
        cache.put("c", 1, b"more").unwrap();
        assert_eq!(cache.get("c", 1).unwrap().as_deref(), Some(&b"more"[..]));
        check(&cache);
    }

    #[test]
    fn the_oldest_make_way() {
        let dir = tempfile::tempdir().unwrap();
        let cache = DiskCache::open(dir.path(), 4 * MIB, 16_000).unwrap();
        for n in 0..1000 {
            cache.put("a", n, &piece(n)).unwrap();
            assert!(cache.size_bytes() <= 4 * MIB);
        }
        let on_disk: u64 = files_in(dir.path()).unwrap().iter().map(|(_, p)| p.metadata().unwrap().len()).sum();
        assert!((2 * MIB..=4 * MIB).contains(&on_disk), "{on_disk}");
        assert!(!cache.has("a", 0) && cache.has("a", 999) && cache.has("a", 800));
        drop(cache);
        // A smaller one makes way at once.
        let cache = DiskCache::open(dir.path(), 2 * MIB, 16_000).unwrap();
        cache.recover();
        assert!(cache.size_bytes() <= 2 * MIB && cache.has("a", 999));
    }

    /// Each bit of a file turned: what comes out is what was put in, or nothing.
    #[test]
    fn corrupt_files_give_no_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let put = |cache: &DiskCache| (0..3).for_each(|n| cache.put("name", n, &[n as u8; 20]).unwrap());
        put(&DiskCache::open(dir.path(), MIB, 100).unwrap());
        let path = files_in(dir.path()).unwrap().remove(0).1;
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            for bit in [0, 3, 7] {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << bit;
                std::fs::write(&path, &bytes).unwrap();
                let cache = DiskCache::open(dir.path(), MIB, 100).unwrap();
                cache.recover();
                let right = |n: u64| match cache.get("name", n) {
                    Ok(Some(got)) => got[..] == [n as u8; 20],
                    Ok(None) | Err(_) => !cache.has("name", n),
                };
                assert!((0..3).all(right), "byte {at} bit {bit}");
            }
        }
        // Cut anywhere.
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            let cache = DiskCache::open(dir.path(), MIB, 100).unwrap();
            cache.recover();
            assert!((0..3).all(|n| cache.get("name", n).unwrap().is_none_or(|got| got[..] == [n as u8; 20])));
            put(&cache);
            assert!((0..3).all(|n| cache.get("name", n).unwrap().is_some()), "cut at {len}");
        }
    }
}
