//! Operators over the series of a selector, of which each becomes one series or none: what becomes of one does not depend on
//! the others, so that several threads can work on them.

use storage::Series;

use crate::crew::Crew;
use crate::eval::{Cx, Operator, Result};
use crate::fetch::Fetch;
use crate::series::StepSeries;

/// What is done with one series.
pub(crate) trait Each: Send + 'static {
    /// What becomes of `series`, if anything.
    fn make(&mut self, series: Series, cx: &mut Cx) -> Result<Option<StepSeries>>;

    /// Another one that does the same, with memory of its own.
    fn fork(&self, cx: &Cx) -> Self
    where
        Self: Sized;

    /// The steps of what it makes.
    fn steps(&self) -> usize;

    /// About the bytes that are looked at and made for `series`.
    fn work_bytes(&self, series: &Series) -> usize {
        series.chunks.iter().map(|c| c.size_bytes()).sum::<usize>() + self.steps() * 8
    }
}

/// The operator.
pub(crate) struct OverSeries<E> {
    fetch: Fetch,
    each: E,
    crew: Option<Crew>,
    /// Bytes looked at and made since threads were asked for.
    bytes: usize,
}

impl<E: Each> OverSeries<E> {
    pub fn new(fetch: Fetch, each: E) -> Self {
        Self { fetch, each, crew: None, bytes: 0 }
    }

    /// What is done with each series; asked for before the first.
    pub fn each(&mut self) -> &mut E {
        &mut self.each
    }
}

impl<E: Each> Operator for OverSeries<E> {
    fn next(&mut self, cx: &mut Cx) -> Result<Option<StepSeries>> {
        loop {
            if let Some(crew) = &mut self.crew {
                let next = crew.next(&mut self.fetch, &mut self.each, cx)?;
                if next.is_none() {
                    // Others may have its threads.
                    self.crew = None;
                }
                return Ok(next);
            }
            let Some(series) = self.fetch.next(cx)? else { return Ok(None) };
            self.bytes += self.each.work_bytes(&series);
            if self.bytes > cx.options.alone_bytes_max {
                // Little is done sooner than handed over. Where no thread is free, one may be later.
                self.bytes = 0;
                self.crew = Crew::start(&self.each, cx);
            }
            if let Some(made) = self.each.make(series, cx)? {
                return Ok(Some(made));
            }
        }
    }
}
