//! Tasks with one fate.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Beyond what the tasks asked for, so that each can tell of its own timeout.
const MARGIN: Duration = Duration::from_secs(5);

/// Any error, with its cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a task may end with: nothing, or a result.
pub trait Outcome: Send + 'static {
    /// The same as a result.
    ///
    /// # Errors
    /// The error that the task itself ended with.
    fn outcome(self) -> Result<(), BoxError>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl<E: Into<BoxError> + Send + 'static> Outcome for Result<(), E> {
    fn outcome(self) -> Result<(), BoxError> {
        self.map_err(Into::into)
    }
}

/// Tasks that start together and end together.
#[derive(Debug)]
pub struct Group {
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, String>,
    shutdown: CancellationToken,
    grace: Duration,
}

/// The first task that failed.
#[derive(Debug, thiserror::Error)]
#[error("{task}: {error}")]
pub struct Failed {
    /// The name that the task was spawned with.
    pub task: String,
    /// What the task ended with, or how it panicked.
    #[source]
    pub error: BoxError,
}

impl Group {
    /// An empty group whose tasks end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new(), shutdown, grace: Duration::ZERO }
    }

    /// The token that tasks watch.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Some task may take up to `grace` to end after the token was cancelled. The longest of all holds.
    pub fn allow(&mut self, grace: Duration) {
        self.grace = self.grace.max(grace);
    }

    /// Starts a task. It must end soon after the token is cancelled; when it ends before, the whole group ends.
    pub fn spawn<T: Outcome>(&mut self, name: impl Into<String>, task: impl Future<Output = T> + Send + 'static) {
        let task = self.tasks.spawn(async move { task.await.outcome() });
        self.names.insert(task.id(), name.into());
    }

    /// Waits for the end: cancellation or the first task to finish. Then all others get the longest grace that was
    /// [allowed](Self::allow), and a margin.
    ///
    /// # Errors
    /// The first task that failed or panicked.
    pub async fn run(mut self) -> Result<(), Failed> {
        let mut ended = Ok(());
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            Some(done) = self.tasks.join_next_with_id() => self.note(done, &mut ended),
        }
        self.shutdown.cancel();
        let grace = self.grace.saturating_add(MARGIN);
        let rest = async {
            while let Some(done) = self.tasks.join_next_with_id().await {
                self.note(done, &mut ended);
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            let names: Vec<&str> = self.names.values().map(String::as_str).collect();
            warn!(tasks = names.join(", "), "tasks did not end within the grace period");
            self.tasks.abort_all();
        }
        ended
    }

    fn note(&mut self, done: Result<(Id, Result<(), BoxError>), JoinError>, ended: &mut Result<(), Failed>) {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(e) => e.id(),
        };
        let task = self.names.remove(&id).unwrap_or_default();
        let error = match done {
            Ok((_, Ok(()))) => return info!(task, "task ended"),
            Ok((_, Err(e))) => e,
            Err(e) if e.is_cancelled() => return,
            Err(e) => e.into(),
        };
        let failure = Failed { task, error };
        error!(err = %failure, "task failed");
        if ended.is_ok() {
            *ended = Err(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_failure_ends_all() {
        let mut group = Group::new(CancellationToken::new());
        let token = group.shutdown();
        group.spawn("waits", async move { token.cancelled().await });
        group.spawn("fails", async { Err("no disk") });
        assert_eq!(group.run().await.unwrap_err().to_string(), "fails: no disk");
    }

    #[tokio::test]
    async fn panics_are_failures() {
        let mut group = Group::new(CancellationToken::new());
        group.spawn("panics", async {
            if true {
                panic!("at the disco");
            }
        });
        let error = group.run().await.unwrap_err();
        assert!(error.task == "panics" && error.to_string().contains("at the disco"), "{error}");
    }

    #[tokio::test]
    async fn cancellation_is_a_good_end() {
        let group = Group::new(CancellationToken::new());
        group.shutdown().cancel();
        assert!(group.run().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_grace_holds() {
        let mut group = Group::new(CancellationToken::new());
        for seconds in [30, 10, 40, 60] {
            let token = group.shutdown();
            group.spawn(format!("{seconds} s"), async move {
                token.cancelled().await;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                Err(format!("took {seconds}"))
            });
        }
        group.allow(Duration::from_secs(40));
        group.allow(Duration::from_secs(1));
        group.shutdown().cancel();
        let begun = tokio::time::Instant::now();
        assert_eq!(group.run().await.unwrap_err().to_string(), "10 s: took 10");
        assert_eq!(begun.elapsed().as_secs(), 45, "the last one is cut");
    }
}
