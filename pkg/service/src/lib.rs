//! The life of a component: tasks that start together and end together, signals, periodic work.
//!
//! A component builds its parts, spawns them into a [`Group`] and runs it. The group ends when a signal comes or when
//! any task ends; then every task is told through the shared token and given time to finish. Every task has an owner.

mod failpoints;
mod group;
mod repeat;

pub use failpoints::{Failpoint, Failpoints};
pub use group::{Ended, Group};
pub use repeat::{Every, repeat};

/// Calls `hangup` at each SIGHUP, for ever. A signal that asks for a reload never ends the process, whatever can be
/// reloaded.
pub async fn hangups(hangup: impl Fn()) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hup) = signal(SignalKind::hangup()) else { return std::future::pending().await };
    while hup.recv().await.is_some() {
        hangup();
    }
    std::future::pending().await
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
