//! Tasks with one fate.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// Tasks that start together and end together.
#[derive(Debug)]
pub struct Group {
    tasks: JoinSet<(String, Result<(), String>)>,
    shutdown: CancellationToken,
}

/// How a group ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Asked to: by signal or by the token.
    Asked,
    /// A task failed; its name and error.
    Failed(String),
}

impl Group {
    /// An empty group whose tasks end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), shutdown }
    }

    /// The token that tasks watch.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a task. It must end soon after the token is cancelled; when it ends before, the whole group ends.
    pub fn spawn<E: Display>(
        &mut self,
        name: impl Into<String>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let name = name.into();
        self.tasks.spawn(async move { (name, task.await.map_err(|e| e.to_string())) });
    }

    /// Waits for the end: cancellation or the first task to finish. Then all others get `grace`.
    pub async fn run(mut self, grace: Duration) -> Ended {
        let mut ended = Ended::Asked;
        tokio::select! {
            () = self.shutdown.cancelled() => {}
            Some(done) = self.tasks.join_next() => note(done, &mut ended),
        }
        self.shutdown.cancel();
        let rest = async {
            while let Some(done) = self.tasks.join_next().await {
                note(done, &mut ended);
            }
        };
        if tokio::time::timeout(grace, rest).await.is_err() {
            warn!(tasks = self.tasks.len(), "tasks did not end within the grace period");
            self.tasks.abort_all();
        }
        ended
    }
}

fn note(done: Result<(String, Result<(), String>), tokio::task::JoinError>, ended: &mut Ended) {
    let failure = match done {
        Ok((name, Ok(()))) => return info!(task = name, "task ended"),
        Ok((name, Err(e))) => format!("{name}: {e}"),
        Err(e) if e.is_cancelled() => return,
        Err(e) => format!("task panicked: {e}"),
    };
    error!(err = failure, "task failed");
    if *ended == Ended::Asked {
        *ended = Ended::Failed(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_failure_ends_all() {
        let mut group = Group::new(CancellationToken::new());
        let token = group.shutdown();
        group.spawn("waits", async move {
            token.cancelled().await;
            Ok::<_, String>(())
        });
        group.spawn("fails", async { Err("no disk") });
        assert_eq!(group.run(Duration::from_secs(5)).await, Ended::Failed("fails: no disk".into()));
    }

    #[tokio::test]
    async fn panics_are_failures() {
        let mut group = Group::new(CancellationToken::new());
        group.spawn("panics", async {
            if true {
                panic!("at the disco");
            }
            Ok::<_, String>(())
        });
        assert!(matches!(group.run(Duration::from_secs(5)).await, Ended::Failed(_)));
    }

    #[tokio::test]
    async fn cancellation_is_a_good_end() {
        let group = Group::new(CancellationToken::new());
        group.shutdown().cancel();
        assert_eq!(group.run(Duration::from_secs(5)).await, Ended::Asked);
    }
}
