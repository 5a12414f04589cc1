//! The life of a component: tasks that start together and end together, signals, periodic work.
//!
//! A component builds its parts, spawns them into a [`Group`] and runs it. The group ends when a signal comes or when
//! any task ends; then the shared token is cancelled and every task is given time to finish. Every task has an owner.

mod failpoints;
mod group;
mod repeat;
pub mod tool;

pub use failpoints::{Failpoint, Failpoints};
pub use group::{BoxError, Failed, Group, Outcome};
pub use repeat::{Every, repeat};

/// The SIGHUPs of this process. From the first one on the signal never ends the process.
#[derive(Debug)]
pub struct Hangups(Option<tokio::signal::unix::Signal>);

impl Hangups {
    /// Listens from now on; signals from before are lost.
    pub fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::hangup()).ok())
    }

    /// Completes at the next one; never where the system refused to tell.
    pub async fn next(&mut self) {
        let next = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if next.is_none() {
            std::future::pending().await
        }
    }
}

/// Completes at SIGINT or SIGTERM with the signal's name.
pub async fn signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        // Without handlers the default action still ends the process.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => "SIGINT",
        _ = term.recv() => "SIGTERM",
    }
}
