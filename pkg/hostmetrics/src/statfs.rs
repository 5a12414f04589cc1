//! Asking file systems for their room, some of which may never answer.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use tracing::warn;

/// The most mounts that may hang at one time, each with a thread of its own; further ones are not asked.
const STUCK_MAX: usize = 16;

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Room {
    pub size_bytes: u64,
    pub free_bytes: u64,
    /// Free for others than root.
    pub available_bytes: u64,
    pub files: u64,
    pub files_free: u64,
}

/// Asks one mount; may take forever.
pub(crate) type Ask = Arc<dyn Fn(&Path) -> io::Result<Room> + Send + Sync>;

/// Asks mounts on a thread of its own, and leaves a mount that does not answer to that thread.
pub(crate) struct Rooms {
    ask: Ask,
    /// For each mount.
    timeout: Duration,
    /// Mounts that were given up, as long as their thread waits.
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("timeout", &self.timeout).field("stuck", &*self.stuck.lock()).finish()
    }
}

impl Rooms {
    pub fn new(ask: Ask, timeout: Duration) -> Self {
        Self { ask, timeout, stuck: Arc::default() }
    }

    /// The room of each mount, in their order; `None` where it failed or was not told in time.
    pub fn of(&self, mounts: &[PathBuf]) -> Vec<Option<Room>> {
        let mut rooms = Vec::with_capacity(mounts.len());
        while let Some(rest) = mounts.get(rooms.len()..).filter(|r| !r.is_empty()) {
            if self.stuck.lock().len() >= STUCK_MAX || !self.take_answers(rest, &mut rooms) {
                rooms.resize(mounts.len(), None);
            }
        }
        rooms
    }

    /// Takes answers until one fails to come. False if there is no thread to be had.
    fn take_answers(&self, mounts: &[PathBuf], rooms: &mut Vec<Option<Room>>) -> bool {
        let (send, answers) = mpsc::channel();
        let (ask, stuck, asked) = (self.ask.clone(), self.stuck.clone(), mounts.to_vec());
        let work = move || {
            for mount in asked {
                let is_stuck = stuck.lock().contains(&mount);
                let room = if is_stuck { None } else { ask(&mount).ok() };
                // Under one lock with giving up: an answer is either taken, or ends this thread.
                let mut given_up = stuck.lock();
                if (!is_stuck && given_up.remove(&mount)) || send.send(room).is_err() {
                    return;
                }
            }
        };
        if let Err(e) = std::thread::Builder::new().name("statfs".to_owned()).spawn(work) {
            warn!(err = %e, "no thread to ask file systems for their room: their metrics are left out of this page");
            return false;
        }
        for mount in mounts {
            match answers.recv_timeout(self.timeout) {
                Ok(room) => rooms.push(room),
                Err(RecvTimeoutError::Timeout) => {
                    let mut stuck = self.stuck.lock();
                    if let Ok(room) = answers.try_recv() {
                        rooms.push(room);
                        continue;
                    }
                    warn!(mount = %mount.display(), timeout = ?self.timeout, "the file system does not answer, it is left out until it does");
                    stuck.insert(mount.clone());
                    rooms.push(None);
                    return true;
                }
                Err(RecvTimeoutError::Disconnected) => {
                    rooms.push(None);
                    return true;
                }
            }
        }
        true
    }
}

/// Asks the system.
#[cfg(target_os = "linux")]
pub(crate) fn system() -> Ask {
    Arc::new(|mount| {
        let told = rustix::fs::statfs(mount)?;
        let block = u64::try_from(told.f_bsize).unwrap_or(0);
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        Ok(Room {
            size_bytes: bytes(told.f_blocks),
            free_bytes: bytes(told.f_bfree),
            available_bytes: bytes(told.f_bavail),
            files: told.f_files,
            files_free: told.f_ffree,
        })
    })
}

/// Asks nobody: there is no page here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn system() -> Ask {
    Arc::new(|_| Err(io::ErrorKind::Unsupported.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers for all mounts but `/hung`, which waits until the gate opens.
    fn with_gate() -> (mpsc::Sender<()>, Rooms) {
        let (open, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let ask: Ask = Arc::new(move |mount| {
            if mount == Path::new("/bad") {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            if mount == Path::new("/hung") {
                let _ = gate.lock().recv();
            }
            Ok(Room { size_bytes: 7, ..Room::default() })
        });
        (open, Rooms::new(ask, Duration::from_millis(50)))
    }

    fn sizes(rooms: &Rooms, mounts: &[&str]) -> Vec<Option<u64>> {
        let mounts: Vec<PathBuf> = mounts.iter().map(PathBuf::from).collect();
        rooms.of(&mounts).into_iter().map(|r| r.map(|r| r.size_bytes)).collect()
    }

    #[test]
    fn each_mount_in_its_order() {
        let (_open, rooms) = with_gate();
        assert_eq!(sizes(&rooms, &["/", "/bad", "/home"]), [Some(7), None, Some(7)]);
        assert_eq!(sizes(&rooms, &[]), []);
    }

    #[tokio::test]
    async fn one_that_hangs_costs_only_itself_until_it_answers() {
        let (open, rooms) = with_gate();
        let mounts = ["/", "/hung", "/home"];
        assert_eq!(sizes(&rooms, &mounts), [Some(7), None, Some(7)]);
        assert_eq!(rooms.stuck.lock().len(), 1);
        // It is not asked again: a second request would wait for the gate too.
        assert_eq!(sizes(&rooms, &mounts), [Some(7), None, Some(7)]);
        assert_eq!(rooms.stuck.lock().len(), 1);
        drop(open);
        let back = async || rooms.stuck.lock().is_empty();
        testkit::wait_for("the thread to come back", Duration::from_secs(60), back).await;
        assert_eq!(sizes(&rooms, &mounts), [Some(7); 3]);
    }

    #[test]
    fn threads_that_hang_are_limited() {
        let (_open, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let ask: Ask = Arc::new(move |_| {
            let _ = gate.lock().recv();
            Ok(Room::default())
        });
        let rooms = Rooms::new(ask, Duration::from_millis(1));
        let mounts: Vec<PathBuf> = (0..3 * STUCK_MAX).map(|n| format!("/{n}").into()).collect();
        assert_eq!(rooms.of(&mounts), vec![None; mounts.len()]);
        assert_eq!(rooms.stuck.lock().len(), STUCK_MAX);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_root_of_this_host() {
        let room = system()(Path::new("/")).unwrap();
        assert!(room.size_bytes >= room.free_bytes && room.free_bytes >= room.available_bytes && room.size_bytes > 0);
        assert!(system()(Path::new("/nowhere/at/all")).is_err());
    }
}
