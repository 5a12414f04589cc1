//! What a kill, a failing disk or somebody who copies files leaves.

use std::path::{Path, PathBuf};

use super::random::Random;

/// What was done to a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// Nothing: all that was written is there.
    None,
    /// The saved open chunks are corrupt, or cut short.
    Saved,
    /// Older ones stand in their place.
    OlderSaved,
    /// The newest file of chunks is corrupt, or cut short.
    Chunks,
    /// The newest segment of the log is cut short.
    TornLog,
    /// A byte of the log is another one.
    Log,
}

impl Damage {
    pub(super) fn any(random: &mut Random) -> Self {
        match random.below(24) {
            0..14 => Self::None,
            14 | 15 => Self::Saved,
            16..21 => Self::OlderSaved,
            21 => Self::Chunks,
            22 => Self::TornLog,
            _ => Self::Log,
        }
    }

    /// Whether acknowledged samples may be missing.
    pub(super) fn loses(self) -> bool {
        matches!(self, Self::TornLog | Self::Log)
    }

    /// Does it to `dir`. `older` are saved open chunks from before.
    pub(super) fn inflict(self, dir: &Path, older: Option<&[u8]>, random: &mut Random) {
        let saved = saved(dir);
        match self {
            Self::None => {}
            Self::Saved if saved.exists() => damage(&saved, random.one_in(2), random),
            Self::OlderSaved => {
                if let Some(older) = older {
                    std::fs::write(saved, older).unwrap();
                }
            }
            Self::Chunks => {
                if let Some(newest) = files(&dir.join("chunks_head")).last() {
                    damage(newest, random.one_in(2), random);
                }
            }
            Self::TornLog => {
                if let Some(newest) = files(&dir.join("wal")).last() {
                    damage(newest, true, random);
                }
            }
            Self::Log => {
                let all = files(&dir.join("wal"));
                if !all.is_empty() {
                    damage(&all[random.below(all.len())], false, random);
                }
            }
            Self::Saved => {}
        }
    }
}

pub(super) fn saved(dir: &Path) -> PathBuf {
    dir.join("wal/open_chunks")
}

pub(super) fn remove_snapshots(dir: &Path) {
    for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.file_name().unwrap().to_str().unwrap().starts_with("chunk_snapshot.") {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

fn damage(path: &Path, cut: bool, random: &mut Random) {
    let mut bytes = std::fs::read(path).unwrap();
    if bytes.is_empty() {
        return;
    }
    let at = random.below(bytes.len());
    if cut {
        bytes.truncate(at)
    } else {
        bytes[at] ^= 1 << random.below(8)
    }
    std::fs::write(path, bytes).unwrap();
}

/// Files whose names are numbers, by these.
fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let is_number = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().parse::<u64>().is_ok();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(is_number).collect();
    files.sort();
    files
}
