//! Ports and child processes.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command};

/// A TCP port of the loopback interface that was free a moment ago: for programs that cannot listen on port 0.
///
/// # Errors
/// None is free.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
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
