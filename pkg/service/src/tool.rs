//! One-shot commands, `aion tools …`: what they are, what they get from outside, how they end. Who runs them needs to know
//! no more; so a component can own a command that works with its parts.

use std::io::Write;
use std::sync::Arc;

use flags::{Flag, Parsed, UsageError};
use futures::future::BoxFuture;
use model::Clock;
use telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// One command of `aion tools bucket`.
pub struct Tool {
    /// Its last word, `ls`.
    pub name: &'static str,
    /// All its words, `tools bucket ls`.
    pub full_name: &'static str,
    /// What it does, for help.
    pub about: &'static str,
    /// Flags that have a letter too.
    pub shorts: &'static [(char, &'static str)],
    /// Its own flags; those of the parent command come before them.
    pub flags: &'static [&'static [Flag]],
    /// Runs it.
    pub run: for<'a> fn(&'a Parsed, &'a mut Deps<'_>) -> BoxFuture<'a, Result<Verdict, Error>>,
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.full_name)
    }
}

/// What commands get from outside.
pub struct Deps<'a> {
    /// Results go here; logs do not.
    pub out: &'a mut (dyn Write + Send + Sync),
    /// What is wrong with what was checked goes here, so that results can be told from it.
    pub err: &'a mut (dyn Write + Send + Sync),
    /// Time of day.
    pub clock: Arc<dyn Clock>,
    /// Environment variables.
    pub env: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
    /// Registry of the metrics.
    pub metrics: Metrics,
    /// Bits for the ids of new blocks.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
    /// Ends commands that run on.
    pub shutdown: CancellationToken,
}

impl std::fmt::Debug for Deps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deps").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Deps<'_> {
    /// Prints `text` to where results go.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn print(&mut self, text: &str) -> Result<(), Error> {
        self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()).map_err(Error::Output)
    }

    /// Prints what is wrong with what was checked.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn print_error(&mut self, text: &str) -> Result<(), Error> {
        self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush()).map_err(Error::Output)
    }
}

/// The outcome of a command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong: exit code 0.
    Fine,
    /// It found what it looks for, or part of the work failed: exit code 1.
    Problems,
}

impl Verdict {
    /// [`Verdict::Problems`] if there are any.
    pub fn of(problems: bool) -> Self {
        if problems { Self::Problems } else { Self::Fine }
    }
}

/// Why a command did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Results cannot be printed.
    #[error("writing the output: {0}")]
    Output(#[source] std::io::Error),
    /// Anything else; says what and where.
    #[error("{0}")]
    Failed(String),
}

impl From<UsageError> for Error {
    fn from(e: UsageError) -> Self {
        Self::Usage(e.0)
    }
}
