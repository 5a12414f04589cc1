//! Ports and child processes.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that systems give to whoever connects or listens on port 0.
const PORTS: std::ops::Range<u32> = 22_000..32_000;

/// A TCP port of the loopback interface that was free a moment ago: for programs that cannot listen on port 0. This process
/// gives it to nobody else for long, and no connection gets it.
///
/// # Errors
/// None is free.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = PORTS.end - PORTS.start;
    // Processes that run at the same time begin far apart.
    let begin = std::process::id().wrapping_mul(2_654_435_761) % count;
    for _ in 0..count {
        let offset = (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % count;
        let port = u16::try_from(PORTS.start + offset).map_err(io::Error::other)?;
        match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
            Ok(_) => return Ok(port),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("no port is free"))
}

/// A child process that is killed, by its own id, when dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    /// The operating system's id of the process.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Kills it at once (SIGKILL) and waits for its end.
    ///
    /// # Errors
    /// From the system.
    pub fn kill(&mut self) -> io::Result<std::process::ExitStatus> {
        // One that has ended cannot be killed; its status is what is asked for.
        let _ = self.0.kill();
        self.0.wait()
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dies_with_its_guard() {
        let mut process = Process::start(Command::new("sleep").arg("600")).unwrap();
        assert!(process.id() > 0);
        assert!(!process.kill().unwrap().success());
        assert!(free_port().unwrap() > 0);
    }
}
