//! The write seam: [`Appendable`] is what a head, a forwarding receiver, a remote-write queue and a test's memory have in
//! common; scrapes, rules, remote write and OTLP write through it.
//!
//! # Shape
//! A writer opens an [`Appender`] (one transaction), resolves label sets to references once, and appends columns of
//! references, times and values. Calls are per batch, never per sample. Commit makes everything visible at once; rollback,
//! or dropping the appender, leaves nothing behind. Prometheus 3.14's `AppenderV2` has the same parts (reference, labels,
//! start timestamp, float or histogram, exemplars, metadata) for one sample at a time.
//!
//! # What a row may be refused for
//! A row that cannot be taken is a value ([`Refused`]: its index and a [`Refusal`]), never the failure of its batch: one
//! late sample must not cost a scrape. An `Err` of a batch means that none of its rows was taken (budget, cancellation, a
//! closed store); the appender may still be committed or dropped.
//!
//! Rows are judged in order, each as if those before it in this appender were committed. Another appender may commit in
//! between, so that a row which was fine is late at commit: such rows are in [`Committed::refused`].
//!
//! # Why a head with a write-ahead log fits
//! - Such a head logs series, then samples, then applies them. Logging is I/O, so [`Appender::commit`] is a future; the
//!   other calls work in memory. A record of a log holds columns of one kind, as a batch does.
//! - It knows series by number. [`SeriesRef`] is that number: it is valid in every appender of the same [`Appendable`] and
//!   never names another series. Collecting an idle series is allowed while no open appender has resolved it; rows with its
//!   reference are then [`Refusal::UnknownSeries`], and the writer resolves the labels again.
//! - It must not keep series that nobody wrote to, so a series whose first appender was rolled back may be forgotten, and
//!   a stale marker alone does not make a series ([`Refusal::NothingToMark`]).
//! - A failed write of the log leaves the caller in doubt. [`CommitError::visible`] says whether anything can be read now
//!   or after a restart.
//!
//! # Untrusted writers
//! [`Ctx::budget`] bounds what an appender holds, [`AppendOptions::labels`] what label sets may be, and each store how many
//! series it takes ([`SeriesRefusal::TooManySeries`]).

mod columns;
mod label_set;
mod refusal;

use std::fmt;

use futures::future::BoxFuture;

pub use columns::{Exemplars, Floats, HistogramValue, Histograms, Metadata};
pub use label_set::{LabelLimits, label_set};
pub use refusal::{Column, CommitError, Committed, Refusal, Refused, SeriesRefusal, Visible};

use crate::{Ctx, Result};

/// A series of one [`Appendable`], by number. The number means nothing elsewhere or after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u64);

/// How a transaction is to be taken.
#[derive(Debug, Clone, Default)]
pub struct AppendOptions {
    /// Refuse samples older than their series' newest even where the store has an out-of-order window: for rules, whose
    /// results must not rewrite what was alerted on.
    pub reject_out_of_order: bool,
    /// What label sets may be.
    pub labels: LabelLimits,
}

/// A place that samples can be written to.
pub trait Appendable: fmt::Debug + Send + Sync {
    /// Begins a transaction. Any number may be open at a time; each is used by one task.
    fn appender(&self, ctx: &Ctx, options: AppendOptions) -> Box<dyn Appender>;
}

/// One transaction. Dropping it is a rollback.
pub trait Appender: fmt::Debug + Send {
    /// The references of label sets, in their order; series that are new are created. Pairs come in any order, as the input
    /// has them, and are held against [`label_set`].
    ///
    /// # Errors
    /// Budget or cancellation; no series was created then.
    fn resolve(&mut self, series: &[&[(&str, &str)]]) -> Result<Vec<std::result::Result<SeriesRef, SeriesRefusal>>>;

    /// Appends float samples, each of the series in its row.
    ///
    /// # Errors
    /// [`crate::Error::Invalid`] for columns of unequal length, budget, cancellation; no row was taken then.
    fn floats(&mut self, rows: Floats<'_>) -> Result<Vec<Refused>>;

    /// Appends native histograms, each to the series in its row.
    ///
    /// # Errors
    /// The same as those of [`Appender::floats`].
    fn histograms(&mut self, rows: Histograms<'_>) -> Result<Vec<Refused>>;

    /// Appends exemplars, of each series by ascending time.
    ///
    /// # Errors
    /// The same as those of [`Appender::floats`].
    fn exemplars(&mut self, rows: Exemplars<'_>) -> Result<Vec<Refused>>;

    /// Notes type, help and unit of series; the newest stands.
    ///
    /// # Errors
    /// The same as those of [`Appender::floats`].
    fn metadata(&mut self, rows: Metadata<'_>) -> Result<Vec<Refused>>;

    /// Makes everything visible at once.
    ///
    /// # Errors
    /// [`CommitError`], which says whether anything can have become visible. Dropping the future leaves that open too.
    fn commit(self: Box<Self>) -> BoxFuture<'static, std::result::Result<Committed, CommitError>>;

    /// Gives everything up; nothing of it is ever visible.
    fn rollback(self: Box<Self>);
}
